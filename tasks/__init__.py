"""The pipeline's tasks, for `luigi --module tasks …`: those of all files in this folder."""

import sys
from pathlib import Path

from scheduler import worker
from tasks import discovery, killed, logs, measuring, notices, parameters, patience, stopped

logs.configure()
parameters.configure()
patience.configure()
killed.configure()
stopped.configure()
measuring.configure()
notices.configure()
worker.configure()

_found, wrong = discovery.find(__name__, __path__)
# `dsp` decides by itself: some of its commands are needed most when a file is wrong.
if wrong is not None and Path(sys.argv[0]).stem != "dsp":
    raise wrong
globals().update(_found)
__all__ = sorted(_found)
