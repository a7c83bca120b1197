"""Damage: extra faulty lines, extra copies, and lines held back, each counted under the reason that an ingest gives.

`malformed` (not JSON), `not_utf8`, `missing:<our column>`, `wrong_type:<our column>`, `duplicates`. Each faulty line
has exactly one fault, is never duplicated and never held back; a line held back is never duplicated.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

import numpy as np
import pyarrow as pa

from dsp_pipeline.simulator.parameters import Faults
from dsp_pipeline.simulator.text import as_list

LATE_SHARE = 0.3  # of an hour's good lines, when its event has a late file

_NO_TIME = ("yesterday", "2026-02-30T25:61:00Z", "n/a")
_NO_NUMBER = ("many", "1,5x", "#REF!")
_NO_TEXT: tuple[Any, ...] = ({"$oid": "5f1d7f"}, {"hex": ["a1"]})
_GARBAGE = (b"%%% log rotated %%%", b"\x1b[31mpanic: runtime error\x1b[0m", b"{]", b'{"id":"1",,}')


@dataclass(frozen=True)
class Target:
    """A field of the raw line that a fault may hit: where it is (dots nest), and which column of ours it fills."""

    path: str
    column: str


@dataclass(frozen=True)
class Targets:
    """The fields of one event. Without any of `needed` a line is rejected; `key` and `time` are two of them."""

    key: Target
    time: Target
    other_needed: tuple[Target, ...]
    numbers: tuple[Target, ...]

    @property
    def needed(self) -> tuple[Target, ...]:
        """All fields without which the line is rejected."""
        return (self.key, self.time, *self.other_needed)


_BID, _PREDICTED = Target("price.bid", "bid_price_micros"), Target("pctr", "predicted_click_rate")
_POSITION, _PAID = Target("slot.pos", "placement_position"), Target("price.paid", "clearing_price_micros")

TARGETS: Mapping[str, Targets] = MappingProxyType(
    {
        "bid": Targets(Target("id", "bid_id"), Target("ts", "bid_at"), (), (_BID, _PREDICTED, _POSITION)),
        "win": Targets(Target("bid", "bid_id"), Target("t", "won_at"), (), (Target("paid", "clearing_price_micros"),)),
        "impression": Targets(
            Target("id", "impression_id"), Target("ts", "served_at"), (), (_BID, _PAID, _PREDICTED, _POSITION)
        ),
        "click": Targets(Target("id", "click_id"), Target("t", "clicked_at"), (Target("imp", "impression_id"),), ()),
        "conversion": Targets(
            Target("id", "conversion_id"),
            Target("t", "converted_at"),
            (Target("imp", "impression_id"),),
            (Target("worth.fen", "value_micros"),),
        ),
    }
)


@dataclass(frozen=True)
class Damaged:
    """What is written of a chunk's lines, and what was done to them."""

    now: pa.BinaryArray
    late: pa.BinaryArray
    faults: Counter[str]


def damage(event: str, lines: pa.BinaryArray, faults: Faults, late: bool, rng: np.random.Generator) -> Damaged:
    """Add faulty lines and duplicates at random places of `lines`, and hold some back when `late`."""
    size, counts = len(lines), Counter[str]()
    held = rng.random(size) < LATE_SHARE if late else np.zeros(size, dtype=bool)
    kept = np.flatnonzero(~held)
    copies = kept[rng.random(len(kept)) < faults.duplicates] if faults.duplicates else kept[:0]
    bad: list[bytes] = []
    for kind in ("malformed", "not_utf8", "wrong_type", "missing"):
        rate = getattr(faults, kind)
        rows = np.flatnonzero(rng.random(size) < rate) if rate else kept[:0]
        for line in as_list(lines.take(pa.array(rows))):
            broken, reason = _break(event, kind, line.rstrip(b"\n"), rng)
            bad.append(broken + b"\n")
            counts[reason] += 1
    if len(copies):
        counts["duplicates"] = len(copies)
    if not (bad or len(copies) or late):
        return Damaged(lines, lines[:0], counts)
    # A copy follows its original within the next hundred lines or so, a faulty line lies anywhere.
    place = np.concatenate([kept, copies + rng.integers(1, 100, len(copies)), rng.uniform(-1, size, len(bad))])
    rows = np.concatenate([kept, copies, size + np.arange(len(bad))])[np.argsort(place, kind="stable")]
    pool = pa.concat_arrays([lines, pa.array(bad, pa.binary())])
    return Damaged(pool.take(pa.array(rows)), lines.take(pa.array(np.flatnonzero(held))), counts)


def _break(event: str, kind: str, line: bytes, rng: np.random.Generator) -> tuple[bytes, str]:
    """A damaged copy of the line (without newline) and the reason for which it must be rejected."""
    if kind == "malformed":
        if rng.random() < 0.2:
            return _GARBAGE[rng.integers(len(_GARBAGE))], kind
        return line[: rng.integers(1, len(line))], kind  # an object without its last brace is never JSON
    if kind == "not_utf8":
        inside = line.index(b":") + 2  # just within the first value, a text
        return line[:inside] + b"\xff\xfe\xc3" + line[inside:], kind
    targets, row = TARGETS[event], json.loads(line)
    if kind == "missing":
        target = targets.needed[rng.integers(len(targets.needed))]
        _put(row, target.path, (_ABSENT, None, "")[rng.integers(3)])
    else:
        choices = (targets.key, targets.time, *targets.numbers)
        target = choices[rng.integers(len(choices))]
        wrong = _NO_TEXT if target is targets.key else _NO_TIME if target is targets.time else _NO_NUMBER
        _put(row, target.path, wrong[rng.integers(len(wrong))])
    return json.dumps(row, separators=(",", ":")).encode(), f"{kind}:{target.column}"


_ABSENT = object()


def _put(row: dict[str, Any], path: str, value: object) -> None:
    *parents, name = path.split(".")
    for parent in parents:
        row = row[parent]
    if value is _ABSENT:
        del row[name]
    else:
        row[name] = value
