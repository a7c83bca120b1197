"""Luigi's view of raw logs: an hour is there when a file that shows its arrival is."""

from __future__ import annotations

import time
from datetime import datetime

import luigi

from dsp_pipeline.events.paths import PathPattern
from dsp_pipeline.storage.base import ObjectStore, Stored

_FRESH = 5.0


class RawListings:
    """Listings of the raw logs, one a prefix, kept for a few seconds: the hours of a day share one."""

    def __init__(self, raw: ObjectStore) -> None:
        self._raw = raw
        self._kept: dict[str, tuple[float, list[Stored]]] = {}

    def files(self, pattern: PathPattern, hour: datetime) -> list[Stored]:
        """The files of the hour by this pattern, in the order of their names."""
        prefix = pattern.prefix(hour)
        asked_at, listed = self._kept.get(prefix, (float("-inf"), []))
        if time.monotonic() - asked_at > _FRESH:
            listed = list(self._raw.list(prefix))
            self._kept[prefix] = (time.monotonic(), listed)
        return [stored for stored in listed if pattern.match(hour, stored.key) is not None]


class RawLogTarget(luigi.Target):
    """The raw files of one hour, by the pattern that shows their arrival."""

    def __init__(self, listings: RawListings, arrival: PathPattern, hour: datetime) -> None:
        self._listings, self._arrival, self._hour = listings, arrival, hour

    def __str__(self) -> str:
        return self._arrival.example(self._hour)

    def exists(self) -> bool:
        return bool(self._listings.files(self._arrival, self._hour))
