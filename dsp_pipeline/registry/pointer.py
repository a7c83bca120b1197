"""Which bundle bidders load: one small file for each environment and model, `serving/<environment>/<model>.json`."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any

from dsp_pipeline.errors import BundleError, NotFoundError
from dsp_pipeline.registry.manifest import MANIFEST, Identity, Manifest, dump_json, load_json
from dsp_pipeline.storage.base import ObjectStore

_KEYS = ("address", "version", "experiment", "arm", "manifest_sha256")


@dataclass(frozen=True)
class Pointer:
    """A pointer to the bundle at `address`. `previous` is where it pointed before, for a rollback.

    `etag` is what the store called the pointer when it was read; it is not part of the file. `pointed_at` is an ISO
    time in UTC.
    """

    address: str
    version: str
    experiment: str
    arm: str
    date: date
    manifest_sha256: str
    pointed_at: str
    previous: str | None = None
    etag: str | None = None

    def to_json(self) -> bytes:
        return dump_json({**{key: value for key, value in vars(self).items() if key != "etag"}, "date": str(self.date)})

    @classmethod
    def from_json(cls, text: bytes, key: str, etag: str) -> Pointer:
        """BundleError, naming `key`, if this is no pointer."""
        raw: dict[str, Any] = load_json(text, key)
        try:
            return cls(
                **{name: str(raw[name]) for name in _KEYS},
                date=date.fromisoformat(raw["date"]),
                pointed_at=str(raw["pointed_at"]),
                previous=raw.get("previous"),
                etag=etag,
            )
        except (KeyError, TypeError, ValueError) as error:
            raise BundleError(f"{key} is no pointer ({error!r}); remove it and point again.") from error


def pointer_to(store: ObjectStore, address: str, *, pointed_at: datetime, current: Pointer | None) -> Pointer:
    """A pointer to a published bundle, for an export and for a rollback alike; `current` is what it will replace.

    BundleError if there is no whole bundle at the address.
    """
    manifest, sha256 = read_manifest(store, address)
    one: Identity = manifest.identity
    return Pointer(
        address=address,
        version=one.version,
        experiment=one.experiment,
        arm=one.arm,
        date=one.date,
        manifest_sha256=sha256,
        pointed_at=pointed_at.isoformat(timespec="milliseconds"),
        previous=current.address if current else None,
    )


def read_manifest(store: ObjectStore, address: str) -> tuple[Manifest, str]:
    """The manifest of a published bundle and its SHA-256. BundleError if it is not there."""
    key = f"{address}/{MANIFEST}"
    try:
        with store.get(key) as stream:
            text = stream.read()
    except NotFoundError:
        raise BundleError(
            f"{key} is missing, so {address} was not published to its end; export the model again."
        ) from None
    return Manifest.from_json(text, key), hashlib.sha256(text).hexdigest()
