"""What the faults have come to, in one line at the end of the tests, whichever processes did them.

A test hands its counts to pytest as properties of its report, which reach the process that prints the summary. The full
length may be interrupted, or run out of time: what has passed with a seed is kept, and the next run goes on from there.
"""

from __future__ import annotations

import json
import os
import subprocess
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

FULL = os.environ.get("DSP_FAULTS", "short") == "full"
SEED = int(os.environ.get("DSP_FAULTS_SEED", "1"))
MINUTES = float(os.environ.get("DSP_FAULTS_MINUTES", "inf"))
COUNTS = (
    *("kills", "recovered", "lost rows", "duplicate rows", "orphans", "orphans unknown to the janitor"),
    *("faults of S3", "faults of BigQuery", "full disks", "damaged files", "fuzzed lines", "steps of state machines"),
)
Count = Callable[..., None]
_PROJECT = Path(__file__).parents[2]
_BEGUN = time.monotonic()
_NAME = "faults: "


def counter(request: pytest.FixtureRequest) -> Count:
    """A function that adds to this test's counts: `count("kills")`, `count("lost rows", 0)`."""

    def count(name: str, number: int = 1) -> None:
        assert name in COUNTS, name
        request.node.user_properties.append((f"{_NAME}{name}", number))

    return count


def skip_if_done(test: str) -> None:
    """In the full length: what has passed before with this seed and revision, and all once the time is up."""
    if FULL and test in _passed():
        pytest.skip(f"skipped: it has passed with seed {SEED} before")
    if FULL and time.monotonic() - _BEGUN > 60 * MINUTES:
        pytest.skip("skipped: the time is up; the same command goes on from here")


def pytest_runtest_logreport(report: Any) -> None:
    """Keep what has passed, with its counts, and at once why a test has failed, which pytest tells an hour later."""
    if not FULL or "PYTEST_XDIST_WORKER" in os.environ or not report.nodeid.startswith("tests/faults/"):
        return
    _record().parent.mkdir(parents=True, exist_ok=True)
    if report.failed:
        with _record().with_suffix(".failures.txt").open("a") as out:
            out.write(f"{report.nodeid}\n{report.longreprtext}\n\n")
    elif report.when == "call" and report.passed:
        with _record().open("a") as out:
            out.write(json.dumps({"test": report.nodeid, "counts": _counts(report)}) + "\n")


def pytest_terminal_summary(terminalreporter: Any) -> None:
    """The counts, if a fault was injected at all: of this run, and in the full length of what had passed before."""
    total: Counter[str] = Counter()
    seen = set()
    for reports in terminalreporter.stats.values():
        for report in reports:
            if getattr(report, "when", "") == "call" and not report.skipped:
                seen.add(report.nodeid)
                total.update(_counts(report))
    if FULL:
        for test, counts in _passed().items():
            total.update(counts if test not in seen else {})
    told = [f"{name} {total[name]:,}" for name in COUNTS if name in total]
    if told:
        length = f"full, seed {SEED}" if FULL else "short; `make test-faults` for hundreds"
        terminalreporter.section(f"faults ({length})")
        terminalreporter.line(" · ".join(told))


def _counts(report: Any) -> dict[str, int]:
    total: Counter[str] = Counter()
    for name, number in report.user_properties:
        if name.startswith(_NAME):
            total[name.removeprefix(_NAME)] += number
    return dict(total)


def _record() -> Path:
    words = ["git", "rev-parse", "--short=12", "HEAD"]
    done = subprocess.run(words, cwd=_PROJECT, capture_output=True, text=True, check=False)
    return _PROJECT / ".cache" / "faults" / f"{done.stdout.strip() or 'unknown'}-{SEED}.jsonl"


def _passed() -> dict[str, dict[str, int]]:
    try:
        lines = _record().read_text().splitlines()
    except FileNotFoundError:
        return {}
    return {one["test"]: one["counts"] for one in map(json.loads, lines)}
