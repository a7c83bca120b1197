"""Run a task with worker processes against luigid, and show how far it is."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import luigi.configuration
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from console import luigid
from dsp_pipeline.errors import DspError

_LOOK_EVERY = 0.25  # seconds
SET_FIRST = "--set stands before the command, as in `dsp --set dsp.environment=production plan`."


@dataclass(frozen=True)
class Ran:
    """A run that ended well: when it began and ended (UTC) and where its workers' logs are."""

    began: datetime
    ended: datetime
    logs: tuple[Path, ...]

    @property
    def seconds(self) -> float:
        return (self.ended - self.began).total_seconds()


def options(settings: Mapping[str, str]) -> list[str]:
    """Settings, by names such as `dsp.lake`, as options of luigi's command."""
    return [
        word for name, value in settings.items() for word in (f"--{name.replace('.', '-').replace('_', '-')}", value)
    ]


def configure(settings: Mapping[str, str]) -> None:
    """The same settings for luigi in this process, in the place of luigi.cfg's."""
    config = luigi.configuration.get_config()
    for name, value in settings.items():
        config.set(*name.split("."), value)


def run(
    task: Sequence[str],
    settings: Mapping[str, str],
    *,
    complete: Callable[[], bool],
    address: str,
    assistants: int,
    console: Console,
) -> Ran:
    """Run `luigi --module tasks TASK` and its assistants, processes that share the graph through luigid.

    DspError, with the errors that the workers printed, if the task is not `complete` in the end.
    """
    began = datetime.now(UTC)
    folder = luigid.STATE / "logs" / began.strftime("%Y-%m-%dT%H-%M-%S")
    folder.mkdir(parents=True, exist_ok=True)
    processes: list[subprocess.Popen[bytes]] = []

    def start(command: Sequence[str]) -> subprocess.Popen[bytes]:
        with (folder / f"worker-{len(processes) + 1}.log").open("wb") as out:
            processes.append(subprocess.Popen(command, stdout=out, stderr=out))
        return processes[-1]

    try:
        command = str(Path(sys.executable).with_name("luigi"))
        planner = start([command, "--module", "tasks", *task, *options(settings), "--scheduler-url", address])
        for _ in _progress(planner, address, console):
            # Luigid may remember tasks of an earlier run as done whose outputs are gone. Once the planner works, it
            # has told luigid of every task, and nobody can be handed one whose inputs are still to be made.
            if len(processes) == 1 and luigid.count(address, "RUNNING"):
                for _ in range(assistants):
                    start([sys.executable, "-m", "console", "assist", address, *map("=".join, settings.items())])
    finally:
        for process in processes:
            if process.poll() is None:
                process.terminate()
                process.wait()
    logs = sorted(folder.iterdir())
    # A worker's exit code tells only of its own share of the graph, so the task itself is asked.
    if not complete():
        raise DspError(_told(logs))
    return Ran(began, datetime.now(UTC), tuple(logs))


def _progress(planner: subprocess.Popen[bytes], address: str, console: Console) -> Iterator[None]:
    """Show how many tasks are done, and yield after each look, until the planner ends."""
    done_before = luigid.count(address, "DONE")
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, console=console, transient=not console.is_terminal) as progress:
        bar = progress.add_task("tasks", total=None)
        while planner.poll() is None:
            done = max(0, luigid.count(address, "DONE") - done_before)
            ahead = luigid.count(address, "PENDING") + luigid.count(address, "RUNNING")
            progress.update(bar, completed=done, total=done + ahead)
            yield
            time.sleep(_LOOK_EVERY)
        done = max(1, luigid.count(address, "DONE") - done_before)
        progress.update(bar, completed=done, total=done)


def _told(logs: Sequence[Path]) -> str:
    """The errors in the workers' logs, each once."""
    told: list[str] = []
    for log in logs:
        for line in log.read_text(errors="replace").splitlines():
            _, level, text = line.partition(" ERROR ")
            if level and text.strip() not in told:
                told.append(text.strip())
    if not told:
        told = [
            "not all tasks ran",
            logs[0].read_text(errors="replace").partition("Execution Summary =====")[2].strip(),
        ]
    return "\n".join([*told, f"(all that the workers said: {logs[0].parent}/)"])
