"""Which bundle a person means, and the way back to what was served before."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime

from dsp_pipeline.errors import BundleError, UnknownNameError
from dsp_pipeline.registry.pointer import Pointer, pointer_back
from dsp_pipeline.registry.registry import BundleRegistry, Version
from dsp_pipeline.storage.base import ObjectStore


def short(address: str) -> str:
    """A bundle's address as people see it: experiment/arm/version/day/attempt."""
    return "/".join(address.split("/")[2:])


def meant(versions: Iterable[Version], name: str) -> Version:
    """The bundle that a name means: an address, whole or short, EXPERIMENT/ARM/DAY, or EXPERIMENT/ARM.

    Where several bundles have the name it is the first, so give them newest first. UnknownNameError if none has it.
    """
    known = {}
    for one in versions:
        arm = f"{one.experiment}/{one.arm}"
        if name in (one.address, short(one.address), f"{arm}/{one.date}", arm):
            return one
        known[f"{arm}/{one.date}"] = one
    raise UnknownNameError("bundle", name, known)


@dataclass(frozen=True)
class RolledBack:
    """A pointer before and after. `skipped` tells why bundles that were served in between were passed over."""

    before: Pointer
    now: Pointer
    skipped: tuple[str, ...]


def roll_back(store: ObjectStore, environment: str, model: str, current: Pointer, at: datetime) -> RolledBack:
    """Point at the newest whole bundle of the history, and hold the pointer there. Nothing is downloaded.

    BundleError if there is none; ConflictError if somebody else moved the pointer since `current` was read.
    """
    registry = BundleRegistry(store)
    skipped: list[str] = []
    for address in current.history:
        try:
            back = pointer_back(store, address, pointed_at=at, current=current)
            return RolledBack(current, registry.point(environment, model, back, current.etag), tuple(skipped))
        except BundleError as error:
            skipped.append(str(error))
    if skipped:
        raise BundleError(
            f"no bundle of {model} that {environment} served before is whole any more ({skipped[0].rstrip('.')}); "
            "choose one with `dsp models` and `dsp promote` it."
        )
    raise BundleError(
        f"{environment} served no other bundle of {model} before {short(current.address)}; "
        "choose one with `dsp models` and `dsp promote` it."
    )
