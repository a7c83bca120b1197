"""forest.bin, read and scored in NumPy: the reference of what every number in it means.

`dsp_forest.h` does the same in C for bidders, and refuses what this refuses. `flat_layout` describes the bytes, `flat`
writes them.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dsp_pipeline.errors import BundleError
from dsp_pipeline.registry import flat_layout as layout
from dsp_pipeline.registry.calibration import KINDS, Calibration

_BLOCK = 1 << 20  # values that are worked on at a time


@dataclass(frozen=True, eq=False)
class FlatForest:
    """The sections of a forest.bin that was found whole, as arrays over its bytes. `names` are the features'."""

    names: tuple[str, ...]
    calibration: Calibration
    base_margin: np.float32
    slots: int
    depth: int
    features: NDArray[np.void]
    roots: NDArray[np.uint32]
    nodes: NDArray[np.void]
    rows: NDArray[np.uint32]

    @classmethod
    def read(cls, data: bytes, where: str = "forest.bin") -> FlatForest:
        """BundleError, naming `where`, if the bytes are cut short, changed, of another version, or point outside."""
        try:
            return _read(data)
        except ValueError as error:
            raise BundleError(f"{where} {error}; fetch the bundle again, or export the model again.") from error

    def margins(self, matrix: NDArray[np.float32]) -> NDArray[np.float32]:
        """Base margin and leaves summed in float32 in the order of the trees, shape (rows,)."""
        found = np.empty(len(matrix), dtype=np.float32)
        block = max(1, _BLOCK // (self.slots + 4 * len(self.roots)))
        for first in range(0, len(matrix), block):
            found[first : first + block] = self._margins(matrix[first : first + block])
        return found

    def score(self, matrix: NDArray[np.float32]) -> NDArray[np.float64]:
        """Probabilities of rows of shape (rows, features): numbers, codes, NaN where missing. Shape (rows,)."""
        return self.calibration.apply(self.margins(matrix).astype(np.float64))

    def _margins(self, matrix: NDArray[np.float32]) -> NDArray[np.float32]:
        slots = self._slots(matrix)
        at = np.broadcast_to(self.roots.astype(np.intp), (len(matrix), len(self.roots)))
        for _ in range(self.depth):
            node = self.nodes[at]
            slot = np.take_along_axis(slots, (node["slot"] & ~np.uint16(layout.CATEGORICAL)).astype(np.intp), axis=1)
            mask = np.where(node["slot"] & layout.CATEGORICAL, node["key"], np.uint32(0xFFFFFFFF))
            at = at + node["step"] + ((slot & mask) >= node["key"])
        leaves = np.ascontiguousarray(self.nodes["key"][at]).view(np.float32)
        base = np.full((len(matrix), 1), self.base_margin, dtype=np.float32)
        # A running sum adds one value after another; np.sum would add pairwise.
        return np.asarray(np.cumsum(np.hstack([base, leaves]), axis=1, dtype=np.float32)[:, -1])

    def _slots(self, matrix: NDArray[np.float32]) -> NDArray[np.uint32]:
        """What the nodes look at, shape (rows, slots)."""
        slots = np.zeros((len(matrix), self.slots), dtype=np.uint32)
        for place, feature in enumerate(self.features):
            value, first = matrix[:, place], int(feature["slot"])
            missing = np.isnan(value)
            known = np.where(missing, np.float32(0), value)
            if feature["type"] == layout.NUMBER:
                key = layout.ordered(known)
                slots[:, first] = np.where(missing, np.uint32(0), key)
                slots[:, first + 1] = np.where(missing, np.uint32(0xFFFFFFFF), key)
                continue
            seen = (known >= 0) & (known < float(feature["codes"]))
            code = layout.FIRST_CODE + np.where(seen, known, np.float32(0)).astype(np.intp)
            row = np.where(missing, layout.MISSING, np.where(seen, code, layout.UNSEEN))
            width = np.arange(int(feature["width"]))
            slots[:, first + width] = self.rows[int(feature["row"]) + row[:, None] * len(width) + width]
        return slots


def _read(data: bytes) -> FlatForest:
    """ValueError, with the end of a sentence, on anything that is not as `flat_layout` says."""
    size = layout.HEADER.itemsize
    _must(len(data) >= size, f"has {len(data)} bytes, fewer than its header")
    header = np.frombuffer(data, dtype=layout.HEADER, count=1)[0]
    _must(bytes(header["magic"]) == layout.MAGIC, "is no flat forest")
    version = int(header["version"])
    _must(version == layout.VERSION, f"is of version {version} and this reads {layout.VERSION}")
    _must(int(header["size"]) == len(data), f"has {len(data)} bytes and says {header['size']}")
    _must(
        zlib.crc32(memoryview(data)[layout.CHECKED_FROM :]) == header["checksum"], "was changed: its checksum is wrong"
    )
    groups, knots = int(header["groups"]), int(header["knots"])
    features = _section(data, header, "feature_at", layout.FEATURE, int(header["features"]))
    roots = _section(data, header, "root_at", layout.U4, groups * layout.LANES)
    group = _section(data, header, "group_at", layout.GROUP, groups)
    nodes = _section(data, header, "node_at", layout.NODE, int(header["nodes"]))
    rows = _section(data, header, "row_at", layout.U4, int(header["rows"]))
    words = _section(data, header, "word_at", layout.WORD_ENTRY, int(header["words"]))
    curve = _section(data, header, "knot_at", layout.F8, 2 * knots).reshape(2, knots)
    text = _section(data, header, "text_at", np.dtype("u1"), int(header["text"])).tobytes()
    _must(int(header["trees"]) <= len(roots), "says more trees than it has")
    _must(1 <= header["slots"] <= layout.MAX_SLOTS, f"has {header['slots']} slots")
    _must(header["calibration"] < len(KINDS), f"is calibrated in way {header['calibration']}, which is unknown")
    offset, slope, intercept = (float(header[name]) for name in ("offset", "slope", "intercept"))
    margins, probabilities = (tuple(one.tolist()) for one in curve)
    calibration = Calibration(KINDS[header["calibration"]], offset, slope, intercept, margins, probabilities)
    problem = calibration.problem()
    _must(problem is None, f"has a calibration that {problem}")
    _must(bool(np.isfinite(header["base_margin"])), "has a base margin that is not finite")
    _check_features(features, words, len(rows), int(header["slots"]), len(text))
    depth = _check_trees(roots, group, nodes, int(header["slots"]))
    # A name that is not UTF-8 equals none of a contract; that is found where they are compared, as in C.
    names = tuple(
        text[at : at + size].decode(errors="replace") for at, size in features[["name", "name_size"]].tolist()
    )
    return FlatForest(
        names, calibration, np.float32(header["base_margin"]), int(header["slots"]), depth, features, roots, nodes, rows
    )


def _must(true: bool, otherwise: str) -> None:
    if not true:
        raise ValueError(otherwise)


def _section(data: bytes, header: np.void, name: str, kind: np.dtype[Any], count: int) -> NDArray[Any]:
    at = int(header[name])
    _must(at % layout.ALIGNMENT == 0 and at + count * kind.itemsize <= len(data), f"has {name} {at}, outside of it")
    return np.frombuffer(data, dtype=kind, count=count, offset=at) if count else np.empty(0, dtype=kind)


def _check_features(features: NDArray[np.void], words: NDArray[np.void], rows: int, slots: int, text: int) -> None:
    """Slots, rows, words and names lie inside of what there is of them."""
    raw = {name: features[name].astype(np.int64) for name in layout.FEATURE.names or ()}
    number = raw["type"] == layout.NUMBER
    taken = np.where(number, 2, raw["width"])
    used = np.where(number, 0, (raw["codes"] + layout.FIRST_CODE) * raw["width"])
    inside = (
        (raw["type"] <= layout.WORD)
        & (raw["codes"] <= layout.MAX_CODES)
        & (raw["slot"] >= 1)
        & (raw["slot"] + taken <= slots)
        & (raw["row"] + used <= rows)
        & (raw["word"] + raw["words"] <= len(words))
        & (raw["name"] + raw["name_size"] <= text)
    )
    _must(bool(inside.all()), "has a feature that points outside of it")
    ends = words["text"].astype(np.int64) + words["size"]
    _must(bool((ends <= text).all()), "has a word that points outside of it")


def _check_trees(roots: NDArray[np.uint32], group: NDArray[np.void], nodes: NDArray[np.void], slots: int) -> int:
    """The trees lie one after another in the order of their levels. Returns the depth of the deepest."""
    inner, slot = nodes["step"] != 0, nodes["slot"].astype(np.int64)
    categorical = slot >= layout.CATEGORICAL
    _must(bool(((slot & ~layout.CATEGORICAL) < slots).all()), "has a node that looks outside of the slots")
    _must(bool(((slot > 0) == inner).all()), "has a node that is neither a leaf nor a test")
    _must(bool((nodes["key"] != 0).all()), "has a key that is 0")
    leaves = nodes["key"][~inner].view(np.float32)
    _must(bool(np.isfinite(leaves).all()), "has a leaf that is not finite")
    starts = roots.astype(np.int64)
    sizes = np.diff(np.append(starts, len(nodes)))
    _must(len(starts) != 0 or len(nodes) == 0, "has nodes of no tree")
    _must(bool((starts[:1] == 0).all() and (sizes > 0).all()), "has trees that do not lie one after another")
    place = np.arange(len(nodes)) - np.repeat(starts, sizes)
    before = np.concatenate([[0], np.cumsum(inner)])
    rank = before[1:] - np.repeat(before[starts], sizes)
    _must(
        bool((nodes["step"][inner] == (2 * rank - 1 - place)[inner]).all()), "has a node whose children are elsewhere"
    )
    _must(bool((2 * np.diff(before[np.append(starts, len(nodes))]) + 1 == sizes).all()), "has a tree that is not whole")
    depths = np.zeros(len(starts), dtype=np.int64)
    for level, trees in enumerate(_levels(starts, nodes)):
        depths[trees] = level
    by_group = depths.reshape(-1, layout.LANES).max(axis=1) if len(depths) else depths
    _must(bool((group["depth"] == by_group).all()), "says a wrong depth")
    owner = np.repeat(np.arange(len(starts)) // layout.LANES, sizes)
    found = np.zeros(len(group), dtype=bool)
    found[owner[categorical]] = True
    _must(bool((group["categorical"] == found).all()), "says wrongly where categories are")
    return int(depths.max(initial=0))


def _levels(starts: NDArray[np.int64], nodes: NDArray[np.void]) -> Iterator[NDArray[np.intp]]:
    """Of each level, which trees reach it."""
    trees, at = np.arange(len(starts)), starts
    while len(at):
        yield trees
        inner = nodes["step"][at] != 0
        child = at[inner] + nodes["step"][at[inner]]
        trees, at = np.repeat(trees[inner], 2), np.stack([child, child + 1], axis=1).ravel()
