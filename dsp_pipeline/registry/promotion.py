"""Which bundle a person means, and the way back to what was served before."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import datetime

from dsp_pipeline.errors import BundleError, UnknownNameError
from dsp_pipeline.registry.pointer import Pointer, pointer_back
from dsp_pipeline.registry.registry import BundleRegistry, Version
from dsp_pipeline.storage.base import ObjectStore

_NAMED = 3  # addresses that a message names


def short(address: str) -> str:
    """A bundle's address as people see it: experiment/arm/version/day/attempt."""
    return "/".join(address.split("/")[2:])


def meant(versions: Iterable[Version], name: str, ours: Callable[[str, str], str | None]) -> Version:
    """The bundle that a name means: an address, whole or short, EXPERIMENT/ARM/DAY, or EXPERIMENT/ARM (its newest day).

    `versions` come newest first. A name without a version means the one that `ours(experiment, arm)` names; where that
    is None, as the arm is not known here, the only one there is. So what a branch trained is not served by mistake.
    UnknownNameError if no bundle has the name; BundleError if only others' have it.
    """
    known, fits = {}, []
    for one in versions:
        arm = f"{one.experiment}/{one.arm}"
        if name in (one.address, short(one.address)):
            return one
        if name in (f"{arm}/{one.date}", arm):
            fits.append(one)
        known[f"{arm}/{one.date}"] = one
    if not fits:
        raise UnknownNameError("bundle", name, known)
    wanted = ours(fits[0].experiment, fits[0].arm) or (
        fits[0].version if len({one.version for one in fits}) == 1 else ""
    )
    for one in fits:
        if one.version == wanted:
            return one
    named = ", ".join(short(one.address) for one in fits[:_NAMED])
    raise BundleError(
        f"no bundle of {name} is of the version that this checkout trains; to serve another write it out: {named}"
        f"{' …' if fits[_NAMED:] else ''}."
    )


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
