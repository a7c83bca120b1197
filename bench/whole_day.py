"""All of a day, from raw logs to bundles that a bidder could load: luigi, beside a script of the same steps.

The script makes each step after those that it needs, and nothing else: no scheduler, no look at what is there, no lock.
The steps are the same, with their checks and receipts, so what is seen is what orchestration costs.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import shutil
import subprocess
import sys
import time
from collections.abc import Sequence
from datetime import date
from functools import partial
from pathlib import Path
from typing import Any

from bench.measure import by_turns, in_own_process
from bench.part import Measured, Sizes, alone, compared

DATA = Path(".cache/bench/whole_day")
FIRST, LAST, DAYS = date(2026, 11, 1), date(2026, 11, 3), 4  # what is made of LAST needs the clicks of the day after
CONTENDERS = {
    "pipeline": ["luigi", "--module", "tasks", "DailyPipeline", "--date", str(LAST), "--local-scheduler"],
    "script": ["bench.whole_day", "--script"],
}


def measure(sizes: Sizes) -> Measured:
    folder = _logs(sizes.whole)
    runs = by_turns({name: partial(_run, name, folder) for name in CONTENDERS}, sizes.times)
    if (ours := runs["pipeline"][0]["outputs"]) != (theirs := runs["script"][0]["outputs"]):
        raise AssertionError(f"the script made {theirs} outputs, the pipeline {ours}.")
    figures = [
        compared(runs, "pipeline", "script", target=1.1),
        compared(runs, "pipeline", "script", "seconds", target=1.1),
        alone(runs, "script"),
    ]
    return Measured(figures, {"impressions": DAYS * sizes.whole, **runs})


def _logs(impressions: int) -> Path:
    from dsp_pipeline.simulator.parameters import Simulation
    from dsp_pipeline.simulator.simulate import simulate

    folder = DATA / str(impressions)
    simulate(Simulation(first=FIRST, days=DAYS, impressions_per_day=impressions, seed=9), folder / "raw")
    return folder


def _run(name: str, folder: Path) -> dict[str, Any]:
    shutil.rmtree(folder / "lake", ignore_errors=True)
    found = in_own_process("bench.whole_day", ["--one", name, "--folder", str(folder)])
    found["outputs"] = sum(1 for _ in (folder / "lake").glob("**/receipts/**/*.json"))
    shutil.rmtree(folder / "lake")
    return found


def script() -> None:
    """Settings come as for luigi."""
    from tasks.daily_pipeline import DailyPipeline
    from tasks.plan import steps

    for step in steps(DailyPipeline(date=LAST)):
        draft = step.platform.draft(step.output().address, step.version(), step.inputs())
        step.output().written(step.make(draft, replace=False))


def _measured(name: str, folder: Path) -> dict[str, float]:
    """What the contender and its children cost, in settings of its own."""
    settings = folder / "luigi.cfg"
    settings.write_text(
        f"[dsp]\nenvironment = bench\nlake = {folder}/lake\nraw = {folder}/raw\nfirst_date = {FIRST}\n",
        encoding="utf-8",
    )
    began = time.perf_counter()
    done = subprocess.run(
        [sys.executable, "-m", *CONTENDERS[name]],
        env={**os.environ, "LUIGI_CONFIG_PATH": str(settings)},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    if done.returncode:
        raise SystemExit(f"{name} ended with {done.returncode}:\n{done.stdout[-4000:]}")
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return {
        "seconds": time.perf_counter() - began,
        "cpu_seconds": used.ru_utime + used.ru_stime,
        "peak_bytes": used.ru_maxrss * 1024,
    }


def main(arguments: Sequence[str] | None = None) -> None:
    """One contender, in a process that measures it."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--one", choices=tuple(CONTENDERS))
    parser.add_argument("--folder", type=Path)
    parser.add_argument("--script", action="store_true", help="be the script")
    options = parser.parse_args(arguments)
    if options.script:
        script()
    else:
        print(json.dumps(_measured(options.one, options.folder)))


if __name__ == "__main__":
    main()
