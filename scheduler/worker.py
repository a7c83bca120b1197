"""The worker's side: the scheduler of `--local-scheduler`, and calls to luigid that cost less."""

from __future__ import annotations

import luigi.rpc
import requests
from luigi.interface import _WorkerSchedulerFactory

from scheduler.ready import ReadyScheduler


def _scheduler(_factory: _WorkerSchedulerFactory) -> ReadyScheduler:
    return ReadyScheduler(prune_on_get_work=True, record_task_history=False)


class Fetcher(luigi.rpc.RequestsFetcher):
    """Luigi's, which asks the environment for proxies, certificates and passwords once instead of at each call."""

    def fetch(self, full_url: str, body: dict[str, str], timeout: float) -> str:
        self.check_pid()
        session = self.session
        if session.trust_env:
            found = session.merge_environment_settings(full_url, {}, None, None, None)
            session.proxies, session.verify = found["proxies"], found["verify"]
            session.auth = requests.utils.get_netrc_auth(full_url)
            session.trust_env = False
        text: str = super().fetch(full_url, body, timeout)
        return text


def configure() -> None:
    """Called when the tasks are imported, which is before luigi makes its scheduler."""
    _WorkerSchedulerFactory.create_local_scheduler = _scheduler  # type: ignore[method-assign]  # luigi has no other place
    luigi.rpc.RequestsFetcher = Fetcher  # type: ignore[misc]
