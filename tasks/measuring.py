"""What is measured of tasks and runs, by luigi's events and our receipts, and who is told (docs/monitoring.md).

Nothing is measured unless somebody is to be told. Whatever goes wrong with that costs a warning and no task.
"""

from __future__ import annotations

import json
import logging
import os
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from datetime import UTC, datetime, timedelta
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

import luigi
from luigi.execution_summary import LuigiRunResult, LuigiStatusCode
from luigi.worker import Worker

from dsp_pipeline.errors import first_line
from dsp_pipeline.monitoring.measured import of_model, of_newest_hour, of_receipt
from dsp_pipeline.monitoring.metrics import METRICS, MODEL, Measurement
from dsp_pipeline.monitoring.pushgateway import push
from dsp_pipeline.receipts import Receipt
from dsp_pipeline.registry.manifest import METRICS as REPORT
from tasks import stopped
from tasks.receipt_task import MADE, ReceiptTask, store_index, table_index
from tasks.settings import platform, receivers

if TYPE_CHECKING:
    from dsp_pipeline.monitoring.dogstatsd import DogStatsDAgent

log = logging.getLogger("dsp")

_SUBJECT = ("event", "table", "experiment", "arm")  # parameters with few values
_WELL = (LuigiStatusCode.SUCCESS, LuigiStatusCode.SUCCESS_WITH_RETRY)
# What the processes of a run's tasks must know, however they are started: the run's name, and the file in which all of
# them note what is to be pushed at its end.
_RUN, _NOTES = "DSP_MEASURED_RUN", "DSP_MEASURED_IN"
_began = time.monotonic()


def _done(task: luigi.Task) -> None:
    _measured([Measurement("dsp.tasks", 1, {**_subject(task), "outcome": "done"})])


def _took(task: luigi.Task, seconds: float) -> None:
    _measured([Measurement("dsp.task.duration.seconds", seconds, _subject(task))])


def _failed(task: luigi.Task, _why: object) -> None:
    outcome = "stopped" if stopped.asked() else "failed"
    _measured([Measurement("dsp.tasks", 1, {**_subject(task), "outcome": outcome})])


def _made(task: ReceiptTask, receipt: Receipt) -> None:
    from tasks.train_model import TrainModel

    _measured(of_receipt(_subject(task), receipt))
    if isinstance(task, TrainModel) and _somebody():
        shelf, day = task.place()
        # A challenger is also trained for older days, to be compared: its newest day is what counts.
        if max([name.removeprefix(shelf) for name in store_index(shelf).names()], default=day) <= day:
            with task.platform.outputs.open(receipt, REPORT) as stream:
                _measured(of_model(json.load(stream)))


_HANDLERS: Mapping[str, Callable[..., None]] = {
    luigi.Event.SUCCESS: _done,
    luigi.Event.PROCESSING_TIME: _took,
    luigi.Event.FAILURE: _failed,
    luigi.Event.PROCESS_FAILURE: _failed,  # the process of a task died
    luigi.Event.TIMEOUT: _failed,
    luigi.Event.BROKEN_TASK: _failed,  # it could not be planned
    MADE: _made,
}


def _subject(task: luigi.Task) -> dict[str, str]:
    given = {name: str(task.param_kwargs[name]) for name in _SUBJECT if name in task.param_kwargs}
    return {"task": task.task_family, **given}


def _somebody() -> bool:
    """Whether anybody is to be told."""
    to = receivers()
    return bool(to.dogstatsd_host or to.pushgateway)


def _measured(batch: Sequence[Measurement]) -> None:
    """Send these to the agent, and note them for the Pushgateway."""
    if not _somebody():
        return
    to = receivers()
    environment, run = platform().settings.environment, os.environ.get(_RUN, "none")
    tagged = [
        Measurement(
            one.name,
            one.value,
            {"environment": environment, **({} if METRICS[one.name].about == MODEL else {"run": run}), **one.tags},
        )
        for one in batch
    ]
    if to.dogstatsd_host and (agent := _agent(to.dogstatsd_host, to.dogstatsd_port)):
        agent.send(tagged)
    if to.pushgateway and _NOTES in os.environ:
        line = json.dumps([asdict(one) for one in tagged])
        with Path(os.environ[_NOTES]).open("ab", buffering=0) as notes:  # one write: processes append to the same file
            notes.write(f"{line}\n".encode())


@cache
def _agent(host: str, port: int) -> DogStatsDAgent | None:
    """None, told once, if it cannot be reached at all."""
    from dsp_pipeline.monitoring.dogstatsd import DogStatsDAgent

    try:
        return DogStatsDAgent(host, port)
    except ModuleNotFoundError as error:
        log.warning("metrics are not sent: %s is not installed; install the extra `metrics`", error.name)
    except OSError as error:
        log.warning("metrics are not sent: the DogStatsD agent %s has no address (%s)", host, first_line(error))
    return None


def _notes(path: Path) -> Iterator[list[Measurement]]:
    """The batches that the processes of this run noted, in their order."""
    with path.open(encoding="utf-8") as lines:
        for line in lines:
            yield [Measurement(**one) for one in json.loads(line)]


def _run(worker: Worker, runs: Callable[[Worker], bool]) -> bool:
    """All that is measured until the end is of this run; then the run itself is, and everything is pushed."""
    first = next((task.task_family for task, *_ in worker._add_task_history), "none")
    with platform().scratch() as scratch:
        notes = scratch / "measured.jsonl"
        notes.touch()
        if host := receivers().dogstatsd_host:
            _agent(host, receivers().dogstatsd_port)  # before processes are forked, which would each make their own
        os.environ.update({_RUN: "assistant" if worker._assistant else first, _NOTES: str(notes)})
        broken = True
        try:
            well = runs(worker)
            broken = False
            return well
        finally:
            if not stopped.asked():  # whoever was told to end has no time for this
                with _warned():
                    _ended(worker, broken)
                    if url := receivers().pushgateway:
                        push(url, _notes(notes))
            for name in (_RUN, _NOTES):
                os.environ.pop(name, None)


def _ended(worker: Worker, broken: bool) -> None:
    from tasks.bigquery_load import BigQueryLoad

    now = datetime.now(UTC)
    if not worker._assistant:  # which knows of its own tasks alone
        well = not broken and LuigiRunResult(worker).status in _WELL
        _measured([Measurement("dsp.run.duration.seconds", time.monotonic() - _began)])
        _measured([Measurement("dsp.run.success", int(well))])
        if well:
            _measured([Measurement("dsp.run.success.timestamp.seconds", now.timestamp())])
    loads = [task for task, *_ in worker._add_task_history if isinstance(task, BigQueryLoad)]
    for event in sorted({task.event for task in loads}):
        if hours := table_index(event).names():
            end = datetime.strptime(hours[-1], "%Y-%m-%dT%H").replace(tzinfo=UTC) + timedelta(hours=1)
            _measured(of_newest_hour(event, end, now))


@contextmanager
def _warned() -> Iterator[None]:
    try:
        yield
    except Exception as error:
        _tell(f"{type(error).__name__}: {first_line(error)}")


@cache  # told once
def _tell(problem: str) -> None:
    log.warning("not all of this run is measured (%s)", problem)


def _guarded(handler: Callable[..., None]) -> Callable[..., None]:
    def handle(*given: object) -> None:
        with _warned():
            handler(*given)

    return handle


def configure() -> None:
    """Called when the tasks are imported, and after those that change luigi's worker, whose run is measured whole."""
    for event, handler in _HANDLERS.items():
        luigi.Task.event_handler(event)(_guarded(handler))
    runs = Worker.run
    Worker.run = lambda worker: _run(worker, runs) if _somebody() else runs(worker)  # type: ignore[method-assign]
