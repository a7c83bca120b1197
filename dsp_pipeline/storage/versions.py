"""What each version is made of: `versions/<of>/<name>.json`, written before the first output of the version."""

from __future__ import annotations

import json
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime

from dsp_pipeline.errors import ConflictError, NotFoundError, StorageError
from dsp_pipeline.fingerprint import Version
from dsp_pipeline.storage.base import ObjectStore, read_record

_ROOT = "versions/"


@dataclass(frozen=True)
class Recorded:
    """A version that something was made by. `revision` is the commit that was first, `at` an ISO time in UTC."""

    version: Version
    name: str
    revision: str
    at: str


class VersionBook:
    """The versions of one store. What is recorded stays as it is."""

    def __init__(self, store: ObjectStore) -> None:
        self._store = store
        self._done: set[tuple[str, str]] = set()  # by this process
        self._read: dict[tuple[str, str], Recorded] = {}  # what is on record stays as it is

    def record(self, version: Version, revision: str) -> None:
        """Write down what the version is made of, if nobody did yet."""
        if (version.of, version.name) in self._done:
            return
        said = {
            "parts": dict(version.parts),
            "texts": dict(version.texts),
            "compatible_with": version.compatible_with,
            "revision": revision,
            "at": datetime.now(UTC).isoformat(timespec="milliseconds"),
        }
        with suppress(ConflictError):  # it is known
            self._store.put(_key(version.of, version.name), json.dumps(said, indent=1).encode(), if_absent=True)
        self._done.add((version.of, version.name))

    def has(self, version: Version) -> bool:
        """Whether something was made by this version. One listing."""
        key = _key(version.of, version.name)
        return any(stored.key == key for stored in self._store.list(key))

    def read(self, of: str, name: str) -> Recorded:
        """NotFoundError if nothing was made by this version."""
        if (of, name) not in self._read:
            self._read[of, name] = self._read_anew(of, name)
        return self._read[of, name]

    def _read_anew(self, of: str, name: str) -> Recorded:
        key = _key(of, name)
        text = read_record(self._store, key)
        try:
            raw = json.loads(text)
            version = Version(of, raw["parts"], raw["texts"], raw["compatible_with"])
            return Recorded(version, name, raw["revision"], raw["at"])
        except (ValueError, TypeError, KeyError, RecursionError) as error:
            raise StorageError(f"{key} is damaged ({error!r}); remove it.") from error

    def known(self, of: str) -> list[Recorded]:
        """All versions of one thing, the oldest first. One listing, and one read each."""
        prefix = f"{_ROOT}{of}/"
        names = [stored.key[len(prefix) :].removesuffix(".json") for stored in self._store.list(prefix)]
        found = []
        for name in names:
            try:
                found.append(self.read(of, name))
            except NotFoundError:
                continue  # removed since the listing
        return sorted(found, key=lambda one: (one.at, one.name))


def _key(of: str, name: str) -> str:
    return f"{_ROOT}{of}/{name}.json"
