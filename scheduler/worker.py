"""The worker's side: the scheduler of `--local-scheduler`, calls to luigid and looks at tasks that cost less."""

from __future__ import annotations

import os
from typing import Any
from urllib.parse import urlencode

import luigi.rpc
import requests
import urllib3
from luigi.interface import _WorkerSchedulerFactory

from scheduler import parameters
from scheduler.ready import ReadyScheduler


def _scheduler(_factory: _WorkerSchedulerFactory) -> ReadyScheduler:
    return ReadyScheduler(prune_on_get_work=True, record_task_history=False)


class Fetcher(luigi.rpc.RequestsFetcher):
    """Luigi's, which has requests find out where and how to call once for each of luigid's methods, not at each call.

    Proxies, certificates and passwords are those that requests takes from the address and the environment.
    """

    def __init__(self) -> None:
        super().__init__()
        self.raises = (requests.RequestException, urllib3.exceptions.HTTPError)  # type: ignore[assignment]
        self._ways: dict[str, tuple[Any, str, dict[str, str]]] = {}

    def fetch(self, full_url: str, body: dict[str, str], timeout: float) -> str:
        if os.getpid() != self.process_id:  # a fork must not write into its parent's connection
            self._ways.clear()
        self.check_pid()
        if full_url not in self._ways:
            self._ways[full_url] = self._way(full_url)
        pool, target, headers = self._ways[full_url]
        answer = pool.urlopen(
            "POST", target, body=urlencode(body), headers=headers, timeout=timeout, retries=False, redirect=False
        )
        if answer.status != 200:
            raise requests.HTTPError(f"luigid answered {answer.status} {answer.reason} to {full_url}")
        return str(answer.data.decode())

    def _way(self, full_url: str) -> tuple[Any, str, dict[str, str]]:
        """The connections to its machine, what stands in the first line of the request, and the headers."""
        request = self.session.prepare_request(requests.Request("POST", full_url, data={"data": ""}))
        given = self.session.merge_environment_settings(full_url, {}, None, None, None)
        adapter = self.session.get_adapter(full_url)
        pool = adapter.get_connection_with_tls_context(request, given["verify"], given["proxies"], given["cert"])
        headers = {name: value for name, value in request.headers.items() if name != "Content-Length"}
        return pool, adapter.request_url(request, given["proxies"]), headers


def configure() -> None:
    """Called when the tasks are imported, which is before luigi makes its scheduler."""
    _WorkerSchedulerFactory.create_local_scheduler = _scheduler  # type: ignore[method-assign]  # luigi has no other place
    luigi.rpc.RequestsFetcher = Fetcher  # type: ignore[misc]
    parameters.configure()
