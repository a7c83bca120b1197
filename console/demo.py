"""`make run` and its like: raw logs, then the whole graph under a real luigid, then where things are."""

from __future__ import annotations

import os
from collections.abc import Mapping
from datetime import date
from pathlib import Path

import luigi
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from console import luigid, open_bandit, report, truth, workers
from dsp_pipeline.simulator import DEMO_FAULTS, Simulation, simulate
from tasks.daily_pipeline import DailyPipeline
from tasks.settings import platform

ASSISTANTS = 1  # beside the worker that plans the graph
SIMULATED = Simulation(first=date(2026, 11, 17), days=6, impressions_per_day=50_000, seed=22, faults=DEMO_FAULTS)
SIMULATED_DAY, OPEN_BANDIT_DAY = date(2026, 11, 21), date(2019, 11, 30)


def run_simulated() -> int:
    console = new_console()
    raw = Path("raw/simulator")
    simulated(SIMULATED, raw, console)
    _tell_again(console, run(console, SIMULATED_DAY, {}))
    ratio = truth.predicted_to_true(platform(), "click_rate", SIMULATED_DAY, raw / "truth")
    if ratio is not None:
        console.print(
            f"The simulator knows the true probabilities: predicted / true is {ratio:.3f} on {SIMULATED_DAY}."
        )
    return 0


def run_open_bandit() -> int:
    console = new_console()
    raw = Path("raw/open_bandit")
    open_bandit.fetch(raw, console)
    console.print(f"Raw logs are in {raw}/.")
    settings = {
        "dsp.raw": str(raw),
        "dsp.lake": "lake-open-bandit",
        "dsp.source": "open_bandit",
        "dsp.first_date": "2019-11-24",
    }
    _tell_again(console, run(console, OPEN_BANDIT_DAY, settings))
    return 0


def simulated(simulation: Simulation, raw: Path, console: Console) -> None:
    """Write the logs, and show how far it is."""
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, console=console, transient=not console.is_terminal) as progress:
        bar = progress.add_task("simulated hours", total=simulation.days * 24)
        simulate(simulation, raw, lambda done, total: progress.update(bar, completed=done, total=total))
        progress.update(bar, completed=simulation.days * 24)
    console.print(f"Raw logs are in {raw}/.")


def new_console() -> Console:
    console = Console(highlight=False)
    return console if console.is_terminal else Console(highlight=False, width=120)  # a file has no width of its own


def run(console: Console, day: date, settings: Mapping[str, str]) -> str:
    """Run DailyPipeline of the day, with these settings in the place of luigi.cfg's, and tell what it made.

    Returns the command that does the same by hand.
    """
    address = luigid.start()
    console.print(f"luigid is at {address} (make ui opens it, make stop ends it).")
    words = ["DailyPipeline", "--date", day.isoformat()]
    workers.configure(settings)
    task = DailyPipeline(date=day)  # the same task in this process, to ask it for its receipts
    ran = workers.run(words, settings, complete=task.complete, address=address, assistants=ASSISTANTS, console=console)
    _report(console, task, ran)
    command = " ".join(["luigi --module tasks", *words, *workers.options(settings)])
    return f"{command} --scheduler-url {address}"


def _tell_again(console: Console, command: str) -> None:
    console.print(f"Again, by hand: {command}", soft_wrap=True)


def _report(console: Console, task: luigi.Task, ran: workers.Ran) -> None:
    found = report.graph(task)
    report.show(found, ran, console)
    lake = platform().settings.lake
    lake = lake if "://" in lake else os.path.relpath(lake)
    for step, receipt in found["ExportModel"]:
        served = ", which is what bidders load" if step.serves() else ""
        console.print(
            f"Bundle of {step.experiment} / {step.arm}: {lake}/{receipt.details['bundle']}/{served}", soft_wrap=True
        )
    console.print(f"Pointers: {lake}/serving/{platform().settings.environment}/*.json", soft_wrap=True)
    console.print(f"Logs of the workers: {ran.logs[0].parent}/", soft_wrap=True)
