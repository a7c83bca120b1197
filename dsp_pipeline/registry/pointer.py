"""Which bundle bidders load: one small file for each environment and model, `serving/<environment>/<model>.json`."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime
from typing import Any

from dsp_pipeline.errors import BundleError, NotFoundError
from dsp_pipeline.registry.manifest import MANIFEST, Identity, Manifest, dump_json, load_json, read_small
from dsp_pipeline.storage.base import ObjectStore

HISTORY = 10  # addresses that a pointer can go back to
_LEFT = 100  # addresses of which it says when they were left: more than can be served in the days that matter
_PARTS = 7  # of a bundle's address
_KEYS = ("address", "version", "experiment", "arm", "manifest_sha256", "pointed_at")


@dataclass(frozen=True)
class Pointer:
    """A pointer to the bundle at `address`.

    `history` are the addresses served before that a rollback goes back to, newest first. A pointer that is `held` was
    rolled back, and stays until somebody promotes. `left` says, by address, when bidders were last sent away from a
    bundle: for a while some may still be loading it. `etag` is what the store called the pointer when it was read; it
    is not part of the file. Times are ISO, in UTC.
    """

    address: str
    version: str
    experiment: str
    arm: str
    date: date
    manifest_sha256: str
    pointed_at: str
    history: tuple[str, ...] = ()
    held: bool = False
    left: Mapping[str, str] = field(default_factory=dict)
    etag: str | None = None

    def to_json(self) -> bytes:
        return dump_json({**{key: value for key, value in vars(self).items() if key != "etag"}, "date": str(self.date)})

    @classmethod
    def from_json(cls, text: bytes, key: str, etag: str) -> Pointer:
        """BundleError, naming `key`, if this is no pointer.

        Before there was `history`, `previous` was its newest address.
        """
        raw: dict[str, Any] = load_json(text, key)
        previous = raw.get("previous")
        try:
            return cls(
                **{name: str(raw[name]) for name in _KEYS},
                date=date.fromisoformat(raw["date"]),
                history=tuple(str(address) for address in raw.get("history", [previous] if previous else [])),
                held=bool(raw.get("held", False)),
                left={str(address): str(at) for address, at in raw.get("left", {}).items()},
                etag=etag,
            )
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise BundleError(f"{key} is no pointer ({error!r}); remove it and point again.") from error


def pointer_to(store: ObjectStore, address: str, *, pointed_at: datetime, current: Pointer | None) -> Pointer:
    """A pointer to a published bundle, not held; `current` is what it will replace, and the newest of its history.

    BundleError if there is no whole bundle at the address.
    """
    history = [one for one in dict.fromkeys((current.address, *current.history)) if one != address] if current else []
    return _pointer(store, address, pointed_at, current, history[:HISTORY], held=False)


def pointer_back(store: ObjectStore, address: str, *, pointed_at: datetime, current: Pointer) -> Pointer:
    """A held pointer to an address of `current`'s history, which keeps what is older than that.

    BundleError if there is no whole bundle at the address.
    """
    older = current.history[current.history.index(address) + 1 :]
    return _pointer(store, address, pointed_at, current, older, held=True)


def _pointer(
    store: ObjectStore, address: str, at: datetime, current: Pointer | None, history: Sequence[str], *, held: bool
) -> Pointer:
    manifest, sha256 = read_manifest(store, address)
    one: Identity = manifest.identity
    now = at.isoformat(timespec="milliseconds")
    left = {**current.left, current.address: now} if current else {}
    left.pop(address, None)
    newest = sorted(left.items(), key=lambda pair: pair[1], reverse=True)[:_LEFT]
    return Pointer(
        address=address,
        version=one.version,
        experiment=one.experiment,
        arm=one.arm,
        date=one.date,
        manifest_sha256=sha256,
        pointed_at=now,
        history=tuple(history),
        held=held,
        left=dict(newest),
    )


def made_again(address: str) -> str:
    """What makes another attempt of a published bundle: a run does not, as the receipt is there."""
    parts = address.split("/")
    if len(parts) != _PARTS:
        return "`dsp rerun` its ExportModel"
    return f"`dsp rerun ExportModel {parts[2]}/{parts[3]} {parts[5]}` makes it again"


def read_manifest(store: ObjectStore, address: str) -> tuple[Manifest, str]:
    """The manifest of a published bundle and its SHA-256. BundleError if it is not there."""
    key = f"{address}/{MANIFEST}"
    try:
        with store.get(key) as stream:
            text = read_small(stream, key, made_again(address))
    except NotFoundError:
        raise BundleError(
            f"{key} is missing, so {address} was not published to its end, or lost it; {made_again(address)}."
        ) from None
    return Manifest.from_json(text, key), hashlib.sha256(text).hexdigest()
