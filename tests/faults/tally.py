"""What the faults have come to, in one line at the end of the tests, whichever processes did them.

A test hands its counts to pytest as properties of its report, which reach the process that prints the summary.
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Callable
from typing import Any

import pytest

FULL = os.environ.get("DSP_FAULTS", "short") == "full"
SEED = int(os.environ.get("DSP_FAULTS_SEED", "1"))
COUNTS = (
    *("kills", "recovered", "lost rows", "duplicate rows", "orphans", "orphans unknown to the janitor"),
    *("faults of S3", "faults of BigQuery", "full disks", "damaged files", "fuzzed lines", "steps of state machines"),
)
Count = Callable[..., None]


def counter(request: pytest.FixtureRequest) -> Count:
    """A function that adds to this test's counts: `count("kills")`, `count("lost rows", 0)`."""

    def count(name: str, number: int = 1) -> None:
        assert name in COUNTS, name
        request.node.user_properties.append((f"faults: {name}", number))

    return count


def pytest_terminal_summary(terminalreporter: Any) -> None:
    """The counts, if a fault was injected at all."""
    total: Counter[str] = Counter()
    for reports in terminalreporter.stats.values():
        for report in reports:
            if getattr(report, "when", "") == "call":
                for name, number in report.user_properties:
                    total[name] += number if name.startswith("faults: ") else 0
    told = [(name, total[f"faults: {name}"]) for name in COUNTS if f"faults: {name}" in total]
    if told:
        length = f"full, seed {SEED}" if FULL else "short; `make test-faults` for hundreds"
        terminalreporter.section(f"faults ({length})")
        terminalreporter.line(" · ".join(f"{name} {number:,}" for name, number in told))
