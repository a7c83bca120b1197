"""Jobs that happen once.

A job's id is chosen by us from what the job is to do, and BigQuery takes each id only once: of two writers of one
partition the second is told that the job exists, and a writer whose answer was lost finds the job that it started.
"""

from __future__ import annotations

import logging
import secrets
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from dsp_pipeline.errors import DspError, first_line
from dsp_pipeline.warehouse.bigquery.clients import Clients
from dsp_pipeline.warehouse.bigquery.errors import TRANSIENT, JobError, explained, link, reason_of

log = logging.getLogger("dsp")

# A job that another writer started counts for ours only for this long: it says nothing of what was done to the rows by
# hand since, and to load them once more is always right.
_RECENT = timedelta(hours=1)
# BigQuery takes no label value that is longer.
_LABEL = 63
_PAUSES = (0.05, 5.0)  # seconds between two looks at a running job: the first, and the longest


@dataclass(frozen=True)
class Ran:
    """A job that is done: started here (`mine`), or by another who asked for the same content (`ours` is either)."""

    job: Any
    number: int
    mine: bool
    ours: bool


class Jobs:
    """Starts jobs, waits for them, and stops them when this process is told to stop."""

    def __init__(self, clients: Clients) -> None:
        self._clients = clients
        self._settings = clients.settings

    def once(self, name: str, content: str, what: str, start: Callable[[str, Mapping[str, str]], Any]) -> Iterator[Ran]:
        """Run the job called `name`, or find it: yields the first of that name which did not fail.

        `content` identifies what the job does; `start` starts it with the given id and labels. Going on with the
        iteration starts another job after it, for a caller who cannot use what was done (see `Ran.ours`).
        JobError if the job that was started here fails.
        """
        content = content[:_LABEL]
        number = failed = 0
        deadline = time.monotonic() + self._clients.patience
        while True:
            mine = secrets.token_hex(8)
            job_id = f"{name}-{number}"
            with self._stopping(lambda: self._started(job_id, mine)):  # noqa: B023
                job = self._claimed(job_id, what, lambda: start(job_id, {"attempt": mine, "content": content}))  # noqa: B023
            is_mine = job.labels.get("attempt") == mine
            with self._stopping(lambda: job if is_mine else None):  # noqa: B023
                self._wait(job, what)
            problem = job.error_result
            if problem is None:
                same = job.labels.get("content") == content
                yield Ran(job, number, is_mine, is_mine or (same and self._counts(job, f"{name}-{number + 1}")))
                deadline = time.monotonic() + self._clients.patience
            elif is_mine:
                failed += 1
                if problem.get("reason") not in TRANSIENT or time.monotonic() > deadline:
                    shown = link(self._settings, job_id, job.location)
                    raise JobError(what, problem.get("reason", "?"), problem.get("message", "?").splitlines()[0], shown)
                time.sleep(self._pause(failed))
            number += 1

    def ask(self, sql: str, parameters: list[Any], what: str, most: int | None = None) -> list[Any]:
        """The rows of a query that changes nothing. It fails if it would read more than `most` bytes."""
        from google.cloud import bigquery

        config = bigquery.QueryJobConfig(query_parameters=parameters, labels=dict(self._settings.labels))
        if most is not None:
            config.maximum_bytes_billed = most
        with self.told(what):
            client, retry = self._clients.bigquery, self._clients.retry
            return list(client.query_and_wait(sql, job_config=config, retry=retry, job_retry=retry))

    @contextmanager
    def told(self, what: str) -> Iterator[None]:
        """Errors of Google's clients as ours."""
        import requests
        from google.api_core import exceptions as api
        from google.auth import exceptions as auth
        from google.resumable_media import InvalidResponse

        try:
            yield
        except DspError:
            raise
        except (api.GoogleAPIError, auth.GoogleAuthError, requests.RequestException, InvalidResponse) as error:
            raise explained(error, what, self._settings) from error
        except (ConnectionError, TimeoutError) as error:
            raise explained(error, what, self._settings) from error

    def _claimed(self, job_id: str, what: str, start: Callable[[], Any]) -> Any:
        """Start the job, or find the one that has the id. An answer that was lost is asked for again."""
        import requests
        from google.api_core import exceptions as api

        client, retry = self._clients.bigquery, self._clients.retry
        deadline = time.monotonic() + self._clients.patience
        tries = 0
        with self.told(what):
            while True:
                try:
                    return start()
                except api.Conflict:
                    return client.get_job(job_id, location=self._settings.location, retry=_until_found(retry))
                except (api.GoogleAPICallError, requests.RequestException, ConnectionError) as error:
                    tries += 1
                    if not _lost(error) or time.monotonic() + self._pause(tries) > deadline:
                        raise
                    time.sleep(self._pause(tries))

    def _wait(self, job: Any, what: str) -> None:
        """Until the job is done."""
        pause = _PAUSES[0]
        with self.told(what):
            while not job.done(retry=self._clients.retry):
                time.sleep(pause)
                pause = min(pause * 1.5, _PAUSES[1])

    def _counts(self, job: Any, following: str) -> bool:
        """Whether the rows are still those of a job that another writer started: none came after it."""
        with self.told(f"the job {following} cannot be looked for"):
            return bool(datetime.now(UTC) - job.ended < _RECENT and self._found(following) is None)

    def _started(self, job_id: str, attempt: str) -> Any:
        """The job of this attempt, if BigQuery has come to start it."""
        job = self._found(job_id)
        return job if job and job.labels.get("attempt") == attempt else None

    def _found(self, job_id: str) -> Any:
        """The job with this id, None if there is none."""
        from google.api_core import exceptions as api

        try:
            return self._clients.bigquery.get_job(
                job_id, location=self._settings.location, retry=self._clients.retry.with_timeout(10), timeout=10
            )
        except api.NotFound:
            return None

    @contextmanager
    def _stopping(self, find: Callable[[], Any]) -> Iterator[None]:
        """If this process is told to stop meanwhile, so is the job that it started, if there is one."""
        try:
            yield
        except Exception:
            raise
        except BaseException:
            try:
                if job := find():
                    job.cancel(retry=None, timeout=10)
            except Exception as error:
                log.warning("a job of BigQuery could not be stopped (%s); it may go on", first_line(error))
            raise

    def _pause(self, tries: int) -> float:
        return min(float(2**tries) / 2, self._clients.patience / 8)


def birth(table: Any) -> str:
    """When a table was made, for ids of jobs: one that was removed and made again is another table."""
    return f"{table.created:%Y%m%d%H%M%S%f}"


def _lost(error: Exception) -> bool:
    """Whether nobody knows what became of the request, or BigQuery asks to send it again."""
    from google.api_core import exceptions as api

    if isinstance(error, api.GoogleAPICallError):
        return isinstance(error, (api.ServerError, api.TooManyRequests)) or reason_of(error) in TRANSIENT
    return True


def _until_found(retry: Any) -> Any:
    """After a conflict BigQuery may not show the other's job at once."""
    from google.api_core import exceptions as api

    return retry.with_predicate(lambda error: isinstance(error, api.NotFound) or retry._predicate(error))
