"""CPU a tiny task: luigi as it is, ours, gokart, Prefect 3 with a server, and a plain loop on the same graph.

What counts is the CPU of all processes, workers and server, from the first call of the orchestrator until everything is
recorded. Luigi, ours and gokart read the same luigi.cfg, this project's. Where there are two workers, the same command
was started twice. Above 500 tasks the slow ones run once: at 4,998 they take minutes each.

python -m bench.orchestration                  # 204 tasks; --tasks 204,1020,4998 takes half an hour
"""

from __future__ import annotations

import argparse
import json
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from bench.measure import keep, median, table
from bench.part import FULL, Figure, Measured, Sizes, alone, compared
from bench.peers import MissingPeerError, python_of
from bench.servers import LUIGID, EndedEarlyError, Serving, luigid, prefect_server, prefect_settings

ADAY = 51  # tasks
MODERATE_TASKS, FULL_TASKS = (204, 1_020), (204, 1_020, 4_998)
_MIDDLE = 2_000  # the largest size of the targets a task
_SLOW_ONCE = 500
_HISTORY = "[core]\nautoload_range = true\n[scheduler]\nrecord_task_history = {history}\nretry_delay = 86400\n"
_HISTORY += "[task_history]\ndb_connection = sqlite:///history.db\n"


@dataclass(frozen=True)
class Contender:
    """A program of bench/orchestrators/, its words, how many processes of it, and the server that they ask.

    `server` is a command without its port; Prefect has its own. With more than `most` tasks it is left out.
    """

    module: str
    words: Sequence[str] = ()
    workers: int = 1
    server: Sequence[str] = ()
    history: bool = False
    peer: str = ""
    slow: bool = False
    most: int = 10_000  # tasks


_LUIGIS = (str(Path(sys.executable).with_name("luigid")), "--address", "127.0.0.1", "--state-path", "state", "--port")
# With more tasks at once its server drops events, and never has all of them.
_PREFECT: dict[str, Any] = {"peer": "prefect", "slow": True, "most": 2_000}
CONTENDERS = {
    "plain loop": Contender("loop"),
    "luigi": Contender("luigi_tasks", slow=True),
    "ours": Contender("luigi_tasks", ("--ours", "yes")),
    "luigid, 1 worker": Contender("luigi_tasks", server=_LUIGIS, slow=True),
    "luigid, 2 workers": Contender("luigi_tasks", workers=2, server=_LUIGIS, slow=True),
    "our luigid, 1 worker": Contender("luigi_tasks", ("--ours", "yes"), server=LUIGID),
    "our luigid, 2 workers": Contender("luigi_tasks", ("--ours", "yes"), workers=2, server=LUIGID),
    "our luigid with history, 1 worker": Contender("luigi_tasks", ("--ours", "yes"), server=LUIGID, history=True),
    "gokart": Contender("gokart_tasks", peer="gokart", slow=True),
    "Prefect, until recorded": Contender("prefect_tasks", **_PREFECT),
    "Prefect without its log": Contender("prefect_tasks", ("--quiet", "yes"), **_PREFECT),
}


def run(contender: Contender, days: int) -> dict[str, Any]:
    """What all its processes spent on so many days of the graph."""
    python = str(Path(python_of(contender.peer)).absolute()) if contender.peer else sys.executable
    Path(".cache/bench").mkdir(parents=True, exist_ok=True)
    work = Path(tempfile.mkdtemp(prefix="orchestration-", dir=".cache/bench")).absolute()
    (work / "out").mkdir()
    (work / "luigi.cfg").write_text(_HISTORY.format(history=str(contender.history).lower()))
    environment = {**prefect_settings(work), "PYTHONPATH": str(Path.cwd())}
    try:
        words = ["--days", str(days), "--folder", str(work / "out"), *contender.words]
        with _server(contender, python, work, environment) as (url, spent):
            if url:
                words += ["--url", url]
                environment["PREFECT_API_URL"] = url
            command = [python, "-m", f"bench.orchestrators.{contender.module}", *words]
            processes = [
                subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment)
                for _ in range(contender.workers)
            ]
            told = []
            for process in processes:
                out, err = process.communicate()
                if process.returncode:
                    raise EndedEarlyError(f"{' '.join(command)} ended with {process.returncode}: {err[-2_000:]}")
                told.append(json.loads(out.splitlines()[-1]))
            if contender.history:
                time.sleep(1.5)  # the last of it is written within a second
            served = spent()
        if told[0]["tasks"] != days * ADAY:
            raise EndedEarlyError(f"{' '.join(command)} wrote {told[0]['tasks']} files of {days * ADAY}")
        return {
            "tasks": days * ADAY,
            "seconds": max(one["seconds"] for one in told),
            "cpu_seconds": sum(one["cpu_seconds"] for one in told) + served,
            "peak_bytes": max(one["peak_bytes"] for one in told),
            "server_cpu_seconds": served,
        }
    finally:
        shutil.rmtree(work, ignore_errors=True)


def _server(
    contender: Contender, python: str, work: Path, environment: Mapping[str, str]
) -> AbstractContextManager[Serving]:
    """What it asks; without one no address, and nothing spent."""
    if contender.peer == "prefect":
        return prefect_server(python, work, environment)
    if contender.server:
        return luigid(work, environment, contender.server)
    return nullcontext(("", partial(float, 0)))


def measure(sizes: Sizes) -> Measured:
    """CPU a task of each contender, beside the targets."""
    return measure_tasks(FULL_TASKS if sizes.name == FULL.name else MODERATE_TASKS, sizes.times)


def measure_tasks(tasks: Sequence[int], times: int) -> Measured:
    """The same for so many tasks, each a multiple of 51."""
    runs: dict[str, list[dict[str, Any]]] = {}
    skipped: dict[str, str] = {}
    for size in tasks:
        for turn in range(times):
            for name in list(CONTENDERS)[:: 1 if turn % 2 == 0 else -1]:
                contender = CONTENDERS[name]
                if name in skipped or size > contender.most or (turn and size > _SLOW_ONCE and contender.slow):
                    continue
                try:
                    runs.setdefault(_of(name, size), []).append(run(contender, size // ADAY))
                except (MissingPeerError, EndedEarlyError) as error:
                    if not contender.peer:
                        raise
                    skipped[name] = str(error)
    return Measured([*_figures(tasks, runs), *(Figure(name, skipped=why) for name, why in skipped.items())], runs)


def _of(name: str, size: int) -> str:
    return f"{name}, {size:,} tasks"


def _figures(tasks: Sequence[int], runs: dict[str, list[dict[str, Any]]]) -> Iterator[Figure]:
    for size in tasks:
        for name in CONTENDERS:
            if name == "plain loop":
                yield alone(runs, _of(name, size))
            elif _of(name, size) in runs:
                yield compared(runs, _of(name, size), _of("plain loop", size))
    middle = max((size for size in tasks if size <= _MIDDLE), default=min(tasks))
    for name, target in (("ours", 1.5), ("our luigid, 1 worker", 6.0)):
        found = _a_task(runs, _of(name, middle))
        yield Figure(_of(name, middle), f"{target} CPU ms a task", found / target, 1.0)
    plain, kept = (_a_task(runs, _of(f"our luigid{kind}, 1 worker", middle)) for kind in ("", " with history"))
    yield Figure(f"history, {middle:,} tasks", "1 CPU ms a task", kept - plain, 1.0)
    prefects: dict[str, float | None] = {"Prefect, until recorded": 1 / 8, "Prefect without its log": None}
    for prefect, most in prefects.items():
        if _of(prefect, middle) in runs:
            yield compared(runs, _of("our luigid, 1 worker", middle), _of(prefect, middle), target=most)
    smallest, largest = min(tasks), max(tasks)
    for name in ("ours", "our luigid, 1 worker"):
        if smallest < largest:
            grown = _a_task(runs, _of(name, largest)) / _a_task(runs, _of(name, smallest))
            yield Figure(_of(name, largest), f"CPU a task of {smallest:,} tasks", grown, 1.3)
    for name, luigis in (("ours", "luigi"), ("our luigid, 1 worker", "luigid, 1 worker")):
        of_many = 1 / 20 if name == "ours" and largest > _MIDDLE else None
        yield compared(runs, _of(name, largest), _of(luigis, largest), target=of_many)


def _a_task(runs: dict[str, list[dict[str, Any]]], name: str) -> float:
    """CPU milliseconds."""
    return median(runs[name], "cpu_seconds") / float(runs[name][0]["tasks"]) * 1_000


def main() -> None:
    parser = argparse.ArgumentParser(description=str(__doc__).splitlines()[0])
    parser.add_argument("--tasks", default="204", metavar="A,B", help="multiples of 51")
    parser.add_argument("--times", type=int, default=5)
    asked = parser.parse_args()
    found = measure_tasks([int(one) for one in asked.tasks.split(",")], asked.times)
    rows = [
        [name, f"{_a_task(dict(found.runs), name):.2f}", f"{median(some, 'seconds'):.1f}", str(len(some))]
        for name, some in found.runs.items()
    ]
    print(table(["", "CPU ms a task", "seconds", "runs"], rows))
    print()
    judged = [one for one in found.figures if one.target is not None or one.skipped]
    print(
        table(
            ["", "beside", "ratio", "target", ""],
            [
                [one.contender, one.beside, f"{one.ratio or 0:.3f}", f"{one.target or 0:.3f}", one.verdict]
                for one in judged
            ],
        )
    )
    print(f"\nkept in {keep('orchestration', found.as_json())}")


if __name__ == "__main__":
    main()
