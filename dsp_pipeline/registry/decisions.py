"""What was decided about bundles, with the numbers, for good: `decisions/<environment>/<model>/<time>-<id>.json`.

A decision is never changed or removed by us; the reason why a model is served, or is not, can be read years later.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from typing import Any

from dsp_pipeline.errors import BundleError, ConflictError, NotFoundError
from dsp_pipeline.registry.manifest import dump_json, load_json, read_small
from dsp_pipeline.storage.base import ObjectStore

_FOLDER, _END = "decisions/", ".json"
_TEXTS = ("environment", "model", "decided_at", "kind", "candidate")


@dataclass(frozen=True)
class Check:
    """One thing that was asked: `reason` is a sentence with the numbers, `value` lies between `low` and `high`.

    Numbers are None where there is none, as the ratio to something that did not happen.
    """

    name: str
    passed: bool
    reason: str
    value: float | None = None
    low: float | None = None
    high: float | None = None


@dataclass(frozen=True)
class Decision:
    """Whether `candidate` may be served in `environment`, in place of `champion` (None: the first one).

    `kind` is first, refresh or challenger; candidate and champion are experiment/arm/version/day. It is accepted if
    every check passed. `numbers` are plain values: the evidence, its big slices and the bounds. Times are ISO, in UTC.
    """

    environment: str
    model: str
    decided_at: str
    kind: str
    accepted: bool
    candidate: str
    champion: str | None
    checks: tuple[Check, ...]
    numbers: Mapping[str, Any]

    @property
    def reasons(self) -> tuple[str, ...]:
        """What decided: the checks that failed, or all of them where none did."""
        failed = tuple(check.reason for check in self.checks if not check.passed)
        return failed or tuple(check.reason for check in self.checks)

    def to_json(self) -> bytes:
        """Equal bytes for equal decisions."""
        return dump_json({**vars(self), "checks": [asdict(check) for check in self.checks]})

    @classmethod
    def from_json(cls, text: bytes, where: str) -> Decision:
        """BundleError, naming `where`, if this is no decision."""
        raw = load_json(text, where)
        try:
            champion, accepted, numbers = raw["champion"], raw["accepted"], raw["numbers"]
            if not isinstance(accepted, bool) or not isinstance(numbers, dict):
                raise TypeError("accepted or numbers are of another type")
            return cls(
                **{name: str(raw[name]) for name in _TEXTS},
                accepted=accepted,
                champion=None if champion is None else str(champion),
                checks=tuple(Check(**check) for check in raw["checks"]),
                numbers=numbers,
            )
        except (KeyError, TypeError) as error:
            raise BundleError(f"{where} is no decision ({error!r}); remove it, and it is decided anew.") from error


def keep(store: ObjectStore, decision: Decision) -> str:
    """Write the decision, and return its key; the same one twice is there once."""
    text = decision.to_json()
    at = datetime.fromisoformat(decision.decided_at).astimezone(UTC).strftime("%Y%m%dT%H%M%S.%f")[:-3]
    name = f"{at}Z-{hashlib.sha256(text).hexdigest()[:12]}{_END}"
    key = f"{_FOLDER}{decision.environment}/{decision.model}/{name}"
    with suppress(ConflictError):  # the name is made of the bytes: what is there already is this decision
        store.put(key, text, if_absent=True)
    return key


def kept(store: ObjectStore, environment: str = "", model: str = "", *, most: int = 200) -> list[Decision]:
    """The newest decisions, newest first: of an environment, of a model in it, or of all. One listing, one read each.

    BundleError if one of them is damaged.
    """
    keys = []
    for stored in store.list(f"{_FOLDER}{environment}/" if environment else _FOLDER):
        parts = stored.key.split("/")
        if len(parts) == 4 and parts[3].endswith(_END) and model in ("", parts[2]):
            keys.append(stored.key)
    newest = sorted(keys, key=lambda key: (key.rpartition("/")[2], key), reverse=True)[:most]
    found = []
    for key in newest:
        try:
            with store.get(key) as stream:
                text = read_small(stream, key, "remove it, and it is decided anew")
            found.append(Decision.from_json(text, key))
        except NotFoundError:
            continue  # removed by a rule of the bucket since it was listed
    return found
