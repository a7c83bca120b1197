"""Tasks that end badly: `luigi --module tests.tasks.dying Dies --signal 9`."""

from __future__ import annotations

import os
import signal

import luigi

import tasks

assert tasks.__all__  # its hooks are those of every run


class Dies(luigi.Task):
    """Its process is ended by a signal, as by the kernel."""

    signal = luigi.IntParameter()

    def run(self) -> None:
        os.kill(os.getpid(), self.signal)


class Exits(luigi.Task):
    """Its process ends itself."""

    def run(self) -> None:
        os._exit(3)


class Lingers(luigi.Task):
    """It never ends."""

    worker_timeout = 1

    def run(self) -> None:
        signal.pause()
