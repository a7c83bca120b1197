"""Folders of logs that many tests read and none changes."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any

import pytest

from dsp_pipeline.simulator import Manifest, Simulation, simulate


@dataclass(frozen=True)
class Folder:
    """A folder of logs with what it was made from."""

    out: Path
    simulation: Simulation
    manifest: Manifest


def make_simulation(**changes: Any) -> Simulation:
    """A day of 1,500 impressions unless changed."""
    defaults: dict[str, Any] = {"first": date(2026, 11, 17), "days": 1, "impressions_per_day": 1_500, "seed": 7}
    return Simulation(**(defaults | changes))


def write(out: Path, **changes: Any) -> Folder:
    """Simulate into a folder, in this process."""
    simulation = make_simulation(**changes)
    return Folder(out, simulation, simulate(simulation, out, workers=1))


@pytest.fixture(scope="session")
def small(tmp_path_factory: pytest.TempPathFactory) -> Folder:
    """A day without faults."""
    return write(tmp_path_factory.mktemp("small") / "logs")


@pytest.fixture(scope="session")
def large(tmp_path_factory: pytest.TempPathFactory) -> Folder:
    """Enough impressions for rates: three days, without the bid log's files."""
    return write(
        tmp_path_factory.mktemp("large") / "logs",
        days=3,
        impressions_per_day=20_000,
        events=("win", "impression", "click", "conversion"),
    )


@pytest.fixture
def fresh(tmp_path: Path) -> Callable[..., Folder]:
    """Makes a folder of its own: fresh(seed=8)."""
    numbers = iter(range(100))
    return lambda **changes: write(tmp_path / f"logs{next(numbers)}", **changes)
