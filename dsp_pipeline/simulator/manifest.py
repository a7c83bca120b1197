"""What a finished folder holds, counted while it was written."""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from dsp_pipeline.errors import SettingsError
from dsp_pipeline.simulator.files import TRUTHS, write_json
from dsp_pipeline.simulator.parameters import EVENT_NAMES, Simulation

NAME = "manifest.json"
PARAMETERS = "parameters.json"


@dataclass(frozen=True)
class HourCounts:
    """The lines of one UTC hour. All are by event, and only for events that are written."""

    hour: datetime
    rows: dict[str, int] = field(default_factory=dict)  # good lines, each once; the late ones included
    faults: dict[str, dict[str, int]] = field(default_factory=dict)  # extra lines by reason, `duplicates` among them
    late: dict[str, int] = field(default_factory=dict)  # those of `rows` that were held back


@dataclass(frozen=True)
class Manifest:
    """All counts of a simulation, and its parameters as JSON."""

    parameters: dict[str, Any]
    hours: tuple[HourCounts, ...]

    @property
    def rows(self) -> dict[str, int]:
        """Good lines by event."""
        return {event: sum(hour.rows[event] for hour in self.hours) for event in self.parameters["events"]}

    @property
    def faults(self) -> dict[str, dict[str, int]]:
        """Extra lines by event and reason."""
        totals: dict[str, Counter[str]] = {event: Counter() for event in self.parameters["events"]}
        for hour in self.hours:
            for event, reasons in hour.faults.items():
                totals[event].update(reasons)
        return {event: dict(sorted(reasons.items())) for event, reasons in totals.items()}

    @property
    def late(self) -> dict[str, int]:
        """Lines held back, by event."""
        return {event: sum(hour.late[event] for hour in self.hours) for event in self.parameters["events"]}

    def write(self, out: Path) -> None:
        """Write it; from now on the folder is whole."""
        hours = [asdict(hour) | {"hour": hour.hour.strftime("%Y-%m-%dT%H:00:00Z")} for hour in self.hours]
        totals = {"rows": self.rows, "faults": self.faults, "late": self.late}
        write_json(out, NAME, {"parameters": self.parameters, **totals, "hours": hours})


def read_manifest(out: Path) -> Manifest:
    """The manifest of a finished folder."""
    written = json.loads((out / NAME).read_text())
    hours = (HourCounts(**hour | {"hour": datetime.fromisoformat(hour["hour"])}) for hour in written["hours"])
    return Manifest(written["parameters"], tuple(hours))


def claim(simulation: Simulation, out: Path) -> Manifest | None:
    """Take the folder for this simulation; its manifest when it is whole already.

    SettingsError when it holds another simulation, or logs of which nobody knows the parameters.
    """
    if out.exists() and not out.is_dir():
        raise SettingsError(f"{out} is a file: choose a folder.")
    wanted = simulation.as_json()
    if (out / PARAMETERS).exists():
        there = json.loads((out / PARAMETERS).read_text())
        if there != wanted:
            differing = sorted(name for name in wanted.keys() | there.keys() if wanted.get(name) != there.get(name))
            changes = ", ".join(f"{name} {there.get(name)!r}, not {wanted.get(name)!r}" for name in differing)
            raise SettingsError(
                f"{out} holds another simulation ({changes}): choose an empty folder, or delete this one first."
            )
        return read_manifest(out) if (out / NAME).exists() else None
    used = sorted(name for name in (*EVENT_NAMES, *TRUTHS, "late", NAME) if (out / name).exists())
    if used:
        raise SettingsError(f"{out} has {', '.join(used)} but no {PARAMETERS}: choose an empty folder.")
    write_json(out, PARAMETERS, wanted)
    return None


def utc_hour(hour: int) -> datetime:
    """`hour` counts from 1970."""
    return datetime.fromtimestamp(hour * 3600, UTC)
