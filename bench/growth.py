"""How work grows: CPU a unit and peak memory of 1×, 2×, 4× as much of it, each size in the same run.

Ingest of an hour's lines, features of a day's impressions, hours that are complete already, and in `--full` the whole
day. How training grows is told by bench/train.py, and how tasks do by bench/orchestration.py.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import partial
from typing import Any

from bench import features, ingest, nothing_to_do, whole_day
from bench.measure import by_turns, in_own_process
from bench.part import FULL, Measured, Sizes, compared

_DAY = 24


def measure(sizes: Sizes) -> Measured:
    """Of each work, its largest size beside its smallest, and those between."""
    largest, figures, runs = max(sizes.growth), [], {}
    for work, run in _works(sizes).items():
        cases = {f"{more}x": partial(run, more, largest) for more in sizes.growth}
        runs[work] = by_turns(cases, sizes.times)
        for more in sizes.growth[1:]:
            about = {"contender": f"{more}x {work}", "beside": "CPU a unit at 1x"}
            figures.append(replace(compared(runs[work], f"{more}x", "1x", target=1.1, times=more), **about))
            about["beside"] = "memory at 1x"
            figures.append(replace(compared(runs[work], f"{more}x", "1x", "peak_bytes"), **about))
    return Measured(figures, {"growth": list(sizes.growth), **runs})


def _works(sizes: Sizes) -> Mapping[str, Callable[[int, int], dict[str, Any]]]:
    """Each makes so many of that many parts of its largest size."""
    lines = ingest.logs(sizes.lines)

    def ingested(more: int, largest: int) -> dict[str, Any]:
        out = ingest.DATA / "out"
        shutil.rmtree(out, ignore_errors=True)
        out.mkdir(parents=True)
        options = ["--one", "pipeline", "--form", "json", "--logs", str(lines), "--out", str(out)]
        return in_own_process("bench.ingest", [*options, "--hours", str(_DAY * more // largest)])

    def built(more: int, largest: int) -> dict[str, Any]:
        return features.run("pipeline", features.warehouse_of(sizes.impressions * more // largest))

    def complete(more: int, largest: int) -> dict[str, Any]:
        hours = sizes.hours * more // largest
        return nothing_to_do.run("pipeline", str(nothing_to_do.year_of(hours)), hours)

    def whole(more: int, largest: int) -> dict[str, Any]:
        return whole_day.run("pipeline", whole_day.logs(sizes.whole * more // largest))

    works = {"the lines ingested": ingested, "the impressions built": built, "the complete hours": complete}
    return {**works, **({"the whole day": whole} if sizes.name == FULL.name else {})}
