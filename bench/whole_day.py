"""All of a day, from raw logs to bundles that a bidder could load: luigi, beside a script of the same steps.

The script makes each step after those that it needs, and nothing else: no scheduler, no look at what is there, no lock.
The steps are the same, with their checks and receipts, so what is seen is what orchestration costs.

One click model of the same logs is also made beside a Prefect flow with pandas, as most teams would write it.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from configparser import ConfigParser
from contextlib import contextmanager, nullcontext
from datetime import date, timedelta
from functools import partial
from pathlib import Path
from typing import Any

from bench.measure import by_turns, in_own_process, median
from bench.part import Figure, Measured, Sizes, alone, compared
from bench.peers import MissingPeerError, python_of
from bench.servers import EndedEarlyError, Serving, luigid, prefect_server, prefect_settings

DATA = Path(".cache/bench/whole_day")
FIRST, LAST, DAYS = date(2026, 11, 1), date(2026, 11, 3), 4  # what is made of LAST needs the clicks of the day after
ONE_MODEL, PREFECT, PEER = "pipeline, one model", "Prefect + pandas", "pandas_flow"
TWO_WORKERS = f"{ONE_MODEL}, 2 workers"
_LUIGI, _OF_LAST = ("luigi", "--module", "tasks"), ("--date", str(LAST))
_EXPORT = (*_LUIGI, "ExportModel", "--experiment", "click_rate_baseline", *_OF_LAST)
CONTENDERS = {
    "pipeline": (*_LUIGI, "DailyPipeline", *_OF_LAST, "--local-scheduler"),
    "script": ("bench.whole_day", "--script"),
    ONE_MODEL: (*_EXPORT, "--local-scheduler"),
    TWO_WORKERS: (*_EXPORT, "--scheduler-url", "{url}"),
    PREFECT: (f"bench.peers.{PEER}", "{folder}/raw", "{folder}/flow/out", str(FIRST), str(LAST)),
}
_CLOSE = 1e-9  # of a number of a training row, relative
_SAME_LOSS = 0.02  # of the held-out log losses, relative: trees of other samples, and one model is calibrated


def measure(sizes: Sizes) -> Measured:
    folder = logs(sizes.whole)
    runs = by_turns({name: partial(run, name, folder) for name in ("pipeline", "script")}, sizes.times)
    if (ours := runs["pipeline"][0]["outputs"]) != (theirs := runs["script"][0]["outputs"]):
        raise AssertionError(f"the script made {theirs} outputs, the pipeline {ours}.")
    figures = [
        compared(runs, "pipeline", "script", target=1.1),
        compared(runs, "pipeline", "script", "seconds", target=1.1),
        alone(runs, "script"),
    ]
    try:
        python = str(Path(python_of(PEER)).absolute())
        ours = {name: partial(run, name, folder) for name in (ONE_MODEL, TWO_WORKERS)}
        runs |= by_turns({**ours, PREFECT: partial(_run_flow, folder, python)}, sizes.times)
        _same_quality(runs[ONE_MODEL], runs[PREFECT])
        figures += [
            compared(runs, TWO_WORKERS, PREFECT, "seconds", target=1 / 3),
            compared(runs, TWO_WORKERS, PREFECT),
            compared(runs, ONE_MODEL, PREFECT, "seconds", target=1 / 3),
            compared(runs, ONE_MODEL, PREFECT),
            compared(runs, ONE_MODEL, PREFECT, "peak_bytes"),
            alone(runs, PREFECT),
        ]
    except (MissingPeerError, EndedEarlyError) as error:
        figures.append(Figure(PREFECT, skipped=str(error)))
    return Measured(figures, {"impressions": DAYS * sizes.whole, **runs})


def _same_quality(ours: Sequence[dict[str, Any]], theirs: Sequence[dict[str, Any]]) -> None:
    mine, other = median(ours, "log_loss"), median(theirs, "log_loss")
    if abs(mine / other - 1) > _SAME_LOSS:
        raise AssertionError(f"the model of {PREFECT} has a log loss of {other:.5f}, the pipeline's of {mine:.5f}.")


def logs(impressions: int) -> Path:
    """A folder with so many a day in raw/; made if they are not there."""
    from dsp_pipeline.simulator.parameters import Simulation
    from dsp_pipeline.simulator.simulate import simulate

    folder = DATA / str(impressions)
    simulate(Simulation(first=FIRST, days=DAYS, impressions_per_day=impressions, seed=9), folder / "raw")
    return folder


def run(name: str, folder: Path) -> dict[str, Any]:
    """What a contender spent, with the CPU of luigid, where there is one, which has started already."""
    shutil.rmtree(folder / "lake", ignore_errors=True)
    serving = _luigid(folder) if name == TWO_WORKERS else nullcontext(("", lambda: 0.0))
    with serving as (url, spent):
        found = in_own_process("bench.whole_day", ["--one", name, "--folder", str(folder), "--url", url])
        found["server_cpu_seconds"] = spent()
    found["cpu_seconds"] += found["server_cpu_seconds"]
    found["outputs"] = sum(1 for _ in (folder / "lake").glob("**/receipts/**/*.json"))
    if name in (ONE_MODEL, TWO_WORKERS):
        shutil.rmtree(folder / "made", ignore_errors=True)
        (folder / "made").mkdir()
        for rows in (folder / "lake" / "warehouse" / "tables").glob("click_rate_*/*/*.parquet"):
            shutil.copy(rows, folder / "made" / f"{rows.parent.name}.parquet")
        (metrics,) = (folder / "lake" / "bundles").glob("**/metrics.json")
        found["log_loss"] = json.loads(metrics.read_text(encoding="utf-8"))["holdout"]["log_loss"]
    shutil.rmtree(folder / "lake")
    return found


@contextmanager
def _luigid(folder: Path) -> Iterator[Serving]:
    work = folder.absolute() / "luigid"
    shutil.rmtree(work, ignore_errors=True)
    work.mkdir()
    with luigid(work, {**os.environ, "PYTHONPATH": str(Path.cwd())}) as serving:
        yield serving


def _run_flow(folder: Path, python: str) -> dict[str, Any]:
    """With the CPU of its server, which has started already."""
    work = folder.absolute() / "flow"
    shutil.rmtree(work, ignore_errors=True)
    work.mkdir()
    with prefect_server(python, work, prefect_settings(work)) as (url, spent):
        words = ["--one", PREFECT, "--folder", str(folder), "--python", python, "--url", url]
        found = in_own_process("bench.whole_day", words)
        found["server_cpu_seconds"] = spent()
    found["cpu_seconds"] += found["server_cpu_seconds"]
    for name in (f"{FIRST + timedelta(days=after)}.parquet" for after in range((LAST - FIRST).days + 1)):
        _same_rows(folder / "made" / name, work / "out" / "click_rate" / name)  # the pipeline has been first
    (metrics,) = (work / "out" / "bundle").glob("*/metrics.json")
    found["log_loss"] = json.loads(metrics.read_text(encoding="utf-8"))["log_loss"]
    shutil.rmtree(work)
    return found


def _same_rows(ours: Path, theirs: Path) -> None:
    """AssertionError unless the two files of training rows hold the same, in whatever order."""
    import numpy as np
    import pyarrow as pa
    import pyarrow.parquet as pq

    left, right = (pq.read_table(path, partitioning=None).sort_by("impression_id") for path in (ours, theirs))
    left = left.drop_columns("date")
    if left.num_rows != right.num_rows or set(left.column_names) != set(right.column_names):
        raise AssertionError(f"{theirs} has {right.num_rows} rows of {right.column_names}, unlike {ours}.")
    for field in left.schema:
        one, other = left[field.name], right[field.name].cast(field.type)
        if pa.types.is_floating(field.type):
            same = np.allclose(one.to_numpy(), other.to_numpy(), rtol=_CLOSE, atol=0, equal_nan=True)
        else:
            same = one.equals(other)
        if not same:
            raise AssertionError(f"{field.name} of {theirs} is not as in {ours}.")


def script() -> None:
    """Settings come as for luigi."""
    from tasks.daily_pipeline import DailyPipeline
    from tasks.plan import steps

    for step in steps(DailyPipeline(date=LAST)):
        draft = step.platform.draft(step.output().address, step.version(), step.inputs())
        step.output().written(step.make(draft, replace=False))


def _measured(name: str, folder: Path, python: str, server: str) -> dict[str, float]:
    """What the contender and its children cost, in settings of its own. `server` is whom they ask."""
    settings = ConfigParser()
    settings.read("luigi.cfg", encoding="utf-8")
    settings["dsp"].update(
        {"environment": "bench", "lake": f"{folder}/lake", "raw": f"{folder}/raw", "first_date": str(FIRST)}
    )
    with (folder / "luigi.cfg").open("w", encoding="utf-8") as file:
        settings.write(file)
    environment = {**os.environ, "LUIGI_CONFIG_PATH": str(folder / "luigi.cfg")}
    if name == PREFECT:
        environment = {**prefect_settings(folder.absolute() / "flow"), "PREFECT_API_URL": server}
    command = [python, "-m", *(word.format(folder=folder, url=server) for word in CONTENDERS[name])]
    with tempfile.TemporaryFile("w+") as said:
        began = time.perf_counter()
        started = [
            subprocess.Popen(command, env=environment, stdout=said, stderr=said)
            for _ in range(2 if name == TWO_WORKERS else 1)
        ]
        codes = [one.wait() for one in started]
        seconds = time.perf_counter() - began
        if any(codes):
            said.seek(0)
            raise SystemExit(f"{name} failed:\n{said.read()[-4000:]}")
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return {
        "seconds": seconds,
        "cpu_seconds": used.ru_utime + used.ru_stime,
        "peak_bytes": used.ru_maxrss * 1024,
    }


def main(arguments: Sequence[str] | None = None) -> None:
    """One contender, in a process that measures it."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--one", choices=tuple(CONTENDERS))
    parser.add_argument("--folder", type=Path)
    parser.add_argument("--python", default=sys.executable)
    parser.add_argument("--url", default="", help="of luigid, or of Prefect's server")
    parser.add_argument("--script", action="store_true", help="be the script")
    options = parser.parse_args(arguments)
    if options.script:
        script()
    else:
        print(json.dumps(_measured(options.one, options.folder, options.python, options.url)))


if __name__ == "__main__":
    main()
