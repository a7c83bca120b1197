"""What a caller may choose. The same parameters give the same bytes, whenever and wherever they are run."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass, field, fields
from datetime import UTC, date, datetime
from typing import Any

from dsp_pipeline.errors import SettingsError, UnknownNameError
from dsp_pipeline.events.schema import EVENTS

EVENT_NAMES: tuple[str, ...] = tuple(EVENTS)  # bid, win, impression, click, conversion

# Part of the written parameters: a folder made by an older simulator is another simulation. Raise it with every
# change that alters a byte of a log.
LAYOUT = 2

MOST_IMPRESSIONS = 500_000_000  # a day; identifiers have room for no more bids in an hour


@dataclass(frozen=True)
class Faults:
    """What goes wrong in the logs; nothing by default. Rates are shares of an hour's good lines, 0 to 1.

    Faulty lines and duplicates are EXTRA to the good lines: a faulty line is a damaged copy of a good one that is
    there too. So what a correct ingest keeps of a log with faults equals what it keeps of the same log without.
    """

    malformed: float = 0.0
    """Lines that are not JSON: cut off, or garbage."""
    not_utf8: float = 0.0
    """Lines with bytes that are not UTF-8."""
    wrong_type: float = 0.0
    """Lines with a word for a number, a time that is none, or an object for the key."""
    missing: float = 0.0
    """Lines whose key, time or required column is absent, null or empty."""
    duplicates: float = 0.0
    """Exact copies of good lines, in the same file."""
    late_files: float = 0.0
    """Share of all hours of an event that have a second file, held back under `late/` until `deliver_late`."""
    empty_hours: tuple[int, ...] = ()
    """Hours, counted from the simulation's first, in which we answer no bid request. Clicks and conversions of
    earlier impressions still happen in them."""
    truncated_files: tuple[tuple[str, int], ...] = ()
    """(event, hour counted from the first): its gzip file ends too early."""

    def __post_init__(self) -> None:
        for rate in ("malformed", "not_utf8", "wrong_type", "missing", "duplicates", "late_files"):
            value = getattr(self, rate)
            if not (isinstance(value, int | float) and math.isfinite(value) and 0 <= value <= 1):
                raise SettingsError(f"faults.{rate} is {value!r}: give a share from 0 to 1.")
        for event, _ in self.truncated_files:
            if event not in EVENT_NAMES:
                raise UnknownNameError("event", event, EVENT_NAMES)


DEMO_FAULTS = Faults(
    malformed=0.0002,
    not_utf8=0.00005,
    wrong_type=0.0001,
    missing=0.0001,
    duplicates=0.001,
    late_files=0.02,
    empty_hours=(44,),  # 20:00 UTC of the second day, 04:00 in Shanghai: the night of a release
)


@dataclass(frozen=True)
class Simulation:
    """One simulated DSP. Hours are UTC, from `first` at 00:00 for `days` days."""

    first: date
    days: int = 1
    impressions_per_day: int = 100_000
    seed: int = 7
    events: tuple[str, ...] = EVENT_NAMES
    faults: Faults = field(default_factory=Faults)

    def __post_init__(self) -> None:
        for name, least in (("days", 1), ("impressions_per_day", 0), ("seed", 0)):
            value = getattr(self, name)
            if isinstance(value, bool) or not isinstance(value, int) or value < least:
                raise SettingsError(f"{name} is {value!r}: give a whole number of at least {least}.")
        if self.impressions_per_day > MOST_IMPRESSIONS:
            raise SettingsError(f"impressions_per_day is {self.impressions_per_day}: give at most {MOST_IMPRESSIONS}.")
        if not isinstance(self.first, date) or isinstance(self.first, datetime) or not 1970 <= self.first.year <= 2200:
            raise SettingsError(f"first is {self.first!r}: give a date from 1970 to 2200.")
        if not self.events:
            raise SettingsError(f"events is empty: name at least one of {', '.join(EVENT_NAMES)}.")
        for event in self.events:
            if event not in EVENT_NAMES:
                raise UnknownNameError("event", event, EVENT_NAMES)
        # One order for all, so that two ways to name the same logs are the same simulation.
        object.__setattr__(self, "events", tuple(event for event in EVENT_NAMES if event in self.events))

    @property
    def first_hour(self) -> int:
        """The first hour, in hours since 1970."""
        return int(datetime(self.first.year, self.first.month, self.first.day, tzinfo=UTC).timestamp()) // 3600

    @property
    def hours(self) -> int:
        """How many hours are simulated."""
        return 24 * self.days

    def as_json(self) -> dict[str, Any]:
        """The parameters as they are written to a folder; equal if and only if the logs are."""
        faults = asdict(self.faults)
        faults["empty_hours"] = sorted(set(self.faults.empty_hours))
        faults["truncated_files"] = sorted(list(pair) for pair in set(self.faults.truncated_files))
        written = {item.name: getattr(self, item.name) for item in fields(self)}
        return written | {
            "first": self.first.isoformat(),
            "events": list(self.events),
            "faults": faults,
            "layout": LAYOUT,
        }
