"""Jobs: an id is given once, a time limit is kept, and the bytes that a query reads are told and limited."""

import concurrent.futures
import threading
import uuid

import billing
import catalog
from local_bigquery import errors
from local_bigquery.api import jobs as api
from local_bigquery.errors import BigQueryError
from local_bigquery.jobs import query, runner, store

_claiming = threading.Lock()
_execute, _done, _submit, _results = query.execute, runner._done, runner.submit, api.results


def install() -> None:
    errors.STATUSES["bytesBilledLimitExceeded"] = (400, "INVALID_ARGUMENT")
    query.execute = execute
    runner.submit = submit
    runner.cancel = cancel
    runner._done = done
    api.results = results


def submit(project_id, job_id, configuration, upload=None):
    """Start a job. Of several with one id exactly one is started; the others are told that it exists."""
    catalog.check_labels(configuration.labels)
    if configuration.dryRun:
        return _submit(project_id, job_id, configuration, upload)
    with _claiming:
        if _asked_before(job_id) and (known := store.load(project_id, job_id)):
            return known
        job = _submit(project_id, job_id, configuration, upload)
    if configuration.jobTimeoutMs:
        _limit(project_id, job_id, int(configuration.jobTimeoutMs))
    return job


def _asked_before(job_id: str) -> bool:
    """Whether the id is one that the client made for a request: sent again, it gets the first one's answer."""
    try:
        return uuid.UUID(job_id).version == 4
    except ValueError:
        return False


def _limit(project_id: str, job_id: str, milliseconds: int) -> None:
    """End the job when its time is up."""
    if running := runner._running.get((project_id, job_id)):
        timer = threading.Timer(milliseconds / 1000, _end, [running])
        timer.daemon = True
        timer.start()
        running.future.add_done_callback(lambda _: timer.cancel())


def _end(running: runner.Running) -> None:
    """Interrupt until it has ended: what comes between two statements of a job, or before the first, is lost."""
    running.cancelled = True
    while not running.future.done():
        if running.cursor:
            running.cursor.interrupt()
        concurrent.futures.wait([running.future], timeout=0.1)


def cancel(project_id: str, job_id: str):
    """Ask a job to end, and go on; it is told as cancelled unless it was done before."""
    if running := runner._running.get((project_id, job_id)):
        threading.Thread(target=_end, args=[running], daemon=True).start()
    return runner.wait(project_id, job_id, 1000)


def execute(cur, project_id, job_id, config, dry_run=False, session=None):
    """Run a query, with what it reads among its statistics; refuse it if that is more than it may be billed."""
    read = billing.bytes_read(cur, project_id, config) if job_id or dry_run else billing.NOTHING
    most = config.maximumBytesBilled
    if most and not dry_run and read.billed > int(most):
        raise BigQueryError(
            "bytesBilledLimitExceeded",
            f"Query exceeded limit for bytes billed: {most}. {read.billed} or higher required.",
        )
    statistics, children, destination = _execute(cur, project_id, job_id, config, dry_run, session)
    told = {"totalBytesProcessed": str(read.processed), "totalBytesBilled": str(0 if dry_run else read.billed)}
    return statistics.replace(**told), children, destination


def done(job, statistics, error=None):
    """A finished job; its own statistics tell the same bytes as those of its query."""
    finished = _done(job, statistics, error)
    if (asked := finished.statistics.query) and asked.totalBytesProcessed:
        total = finished.statistics.replace(totalBytesProcessed=asked.totalBytesProcessed)
        finished = finished.replace(statistics=total)
    return finished


def results(job, max_results, start, int64_timestamps):
    """What the calls answer that give a query's rows."""
    payload, rows = _results(job, max_results, start, int64_timestamps)
    if payload["jobComplete"]:
        payload["totalBytesProcessed"] = job.statistics.query.totalBytesProcessed
    return payload, rows
