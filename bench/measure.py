"""Measuring in processes of their own, by turns, so that what else the machine does falls on all alike."""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from dsp_pipeline.meter import Meter

RESULTS = Path(__file__).with_name("results")


def in_own_process(module: str, arguments: Sequence[str], python: str = sys.executable) -> dict[str, Any]:
    """What `python -m module arguments` prints last, a JSON object. The child's errors are shown and end the run."""
    environment = {**os.environ, "OMP_WAIT_POLICY": "PASSIVE"}  # as tasks/settings.py sets it
    done = subprocess.run(
        [python, "-m", module, *arguments], stdout=subprocess.PIPE, text=True, check=True, env=environment
    )
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return found


def by_turns(cases: Mapping[str, Callable[[], dict[str, Any]]], times: int) -> dict[str, list[dict[str, Any]]]:
    """Each case `times` times: a round of all, then the next, in the opposite order."""
    found: dict[str, list[dict[str, Any]]] = {name: [] for name in cases}
    for turn in range(times):
        for name in list(cases)[:: 1 if turn % 2 == 0 else -1]:
            found[name].append(cases[name]())
    return found


def median(results: Sequence[Mapping[str, Any]], key: str) -> float:
    return statistics.median(float(one[key]) for one in results)


def cost(meter: Meter) -> dict[str, float]:
    """What has been spent since the meter began."""
    return {"seconds": meter.seconds, "cpu_seconds": meter.cpu_seconds, "peak_bytes": meter.peak_memory_bytes}


def keep(name: str, result: Mapping[str, Any]) -> Path:
    """Write the result with what the machine is into bench/results/, which git ignores."""
    RESULTS.mkdir(exist_ok=True)
    path = RESULTS / f"{name}.json"
    machine = {"cores": os.cpu_count(), "load": os.getloadavg(), "python": sys.version.split()[0]}
    whole = {"measured_at": datetime.now(UTC).isoformat(timespec="seconds"), "machine": machine, **result}
    path.write_text(json.dumps(whole, indent=1) + "\n", encoding="utf-8")
    return path


def table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Columns to the right, but for the first."""
    widths = [max(len(row[place]) for row in [head, *rows]) for place in range(len(head))]
    return "\n".join(
        "  ".join(cell.ljust(width) if place == 0 else cell.rjust(width) for place, (cell, width) in enumerate(cells))
        for cells in (list(zip(row, widths, strict=True)) for row in [head, *rows])
    )
