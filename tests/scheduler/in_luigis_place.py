"""A plugin for pytest: luigi's tests, which say `from luigi.scheduler import Scheduler`, get ours, our calls, and our
look at what parameters a task has."""

import sys
import unittest.mock

import luigi.rpc
import luigi.scheduler
import luigi.server
import luigi.worker

from scheduler import parameters
from scheduler.ready import ReadyScheduler
from scheduler.worker import Fetcher

sys.modules["mock"] = unittest.mock  # which luigi's tests know by its older name
for module in (luigi.scheduler, luigi.server, luigi.worker):
    module.Scheduler = ReadyScheduler  # type: ignore[attr-defined]
luigi.rpc.RequestsFetcher = Fetcher  # type: ignore[misc]
parameters.configure()
