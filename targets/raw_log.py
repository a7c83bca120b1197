"""Luigi's view of raw logs: an hour is there when a file that shows its arrival is."""

from __future__ import annotations

import time
from datetime import datetime

import luigi

from dsp_pipeline.events.paths import PathPattern
from dsp_pipeline.storage.base import ObjectStore

_FRESH = 5.0


class RawListings:
    """Listings of the raw logs, one a prefix, kept for a few seconds: the hours of a day share one."""

    def __init__(self, raw: ObjectStore) -> None:
        self._raw = raw
        self._kept: dict[str, tuple[float, list[str]]] = {}

    def keys(self, prefix: str) -> list[str]:
        asked_at, keys = self._kept.get(prefix, (float("-inf"), []))
        if time.monotonic() - asked_at > _FRESH:
            keys = [stored.key for stored in self._raw.list(prefix)]
            self._kept[prefix] = (time.monotonic(), keys)
        return keys


class RawLogTarget(luigi.Target):
    """The raw files of one hour, by the pattern that shows their arrival."""

    def __init__(self, listings: RawListings, arrival: PathPattern, hour: datetime) -> None:
        self._listings, self._arrival, self._hour = listings, arrival, hour

    def __str__(self) -> str:
        return self._arrival.example(self._hour)

    def exists(self) -> bool:
        keys = self._listings.keys(self._arrival.prefix(self._hour))
        return any(self._arrival.match(self._hour, key) is not None for key in keys)
