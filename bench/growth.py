"""How an ingest grows with its hour: time and peak memory of 1×, 2×, 4× the lines, decoded as one."""

from __future__ import annotations

import shutil
from dataclasses import replace
from functools import partial
from typing import Any

from bench.ingest import DATA, logs
from bench.measure import by_turns, in_own_process, median
from bench.part import Measured, Sizes, alone

_DAY = 24


def measure(sizes: Sizes) -> Measured:
    folder, largest = logs(sizes.lines), max(sizes.growth)

    def run(more: int) -> dict[str, Any]:
        out = DATA / "out"
        shutil.rmtree(out, ignore_errors=True)
        out.mkdir(parents=True)
        hours = str(_DAY * more // largest)
        options = ["--one", "pipeline", "--form", "json", "--logs", str(folder), "--out", str(out), "--hours", hours]
        return in_own_process("bench.ingest", options)

    runs = by_turns({f"{more}x": partial(run, more) for more in sizes.growth}, sizes.times)
    figures = []
    for more in sizes.growth[1:]:
        mine, base = runs[f"{more}x"], runs[f"{sizes.growth[0]}x"]
        for key, word, by in (("cpu_seconds", "CPU per line", more), ("peak_bytes", "memory", 1)):
            figures.append(
                replace(
                    alone(runs, f"{more}x"),
                    contender=f"ingest of {more}x the lines",
                    beside=f"{word} at 1x",
                    ratio=median(mine, key) / median(base, key) / by,
                    target=1.1 if key == "cpu_seconds" else None,
                )
            )
    return Measured(figures, {"lines": sizes.lines, **runs})
