"""The pipeline's tasks, for `luigi --module tasks …`: those of all files in this folder."""

from tasks import discovery, killed, logs, patience, stopped

logs.configure()
patience.configure()
killed.configure()
stopped.configure()

_found = discovery.find(__name__, __path__)
globals().update(_found)
__all__ = sorted(_found)
