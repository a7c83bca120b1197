"""A second worker that takes tasks which another one planned.

Each `luigi` command plans the whole graph and tells luigid of every task in it, at some milliseconds a task; an
assistant (luigi's word) only asks for work. It stays until it is ended.
"""

from __future__ import annotations

from collections.abc import Mapping

from luigi.rpc import RemoteScheduler
from luigi.worker import Worker

from console.workers import configure


def assist(address: str, settings: Mapping[str, str]) -> None:
    """Work for the luigid at `address`, with these settings in the place of luigi.cfg's."""
    configure(settings)
    import tasks  # noqa: F401  # sets logging up

    with Worker(scheduler=RemoteScheduler(address), assistant=True) as worker:
        worker.run()
