"""Writes forest.bin, the block of bytes that a bidder maps into memory and scores from.

`flat_layout` describes it, `dsp_forest.h` scores it in C, `flat_forest` in NumPy.
"""

from __future__ import annotations

import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dsp_pipeline.errors import BundleError
from dsp_pipeline.registry import flat_layout as layout
from dsp_pipeline.registry.calibration import KINDS, Calibration
from dsp_pipeline.registry.contract import CATEGORY, Column, columns_of
from dsp_pipeline.registry.forest import Forest, Tree

_MINUS_ZERO = 0x80000000  # of float32


@dataclass
class _Tests:
    """The different tests of a feature, numbered as they are met. A number has none; `slot` is where it begins."""

    slot: int = 0
    known: dict[tuple[bytes, bool], int] = field(default_factory=dict)

    def number_of(self, codes: NDArray[np.int32], missing: bool) -> int:
        """`missing`: whether a missing value passes, which is to go right."""
        return self.known.setdefault((codes.tobytes(), missing), len(self.known))

    @property
    def width(self) -> int:
        return -(-len(self.known) // 32)

    def rows(self) -> NDArray[np.uint32]:
        """Bits of shape (codes + 2, width): for a missing value, for an unseen code, for each code."""
        sets = [(np.frombuffer(codes, dtype=np.int32), missing) for codes, missing in self.known]
        count = max((int(codes[-1]) + 1 for codes, _ in sets), default=0)
        bits = np.zeros((layout.FIRST_CODE + count, self.width), dtype=np.uint32)
        for test, (codes, missing) in enumerate(sets):
            bit = np.uint32(1 << test % 32)
            bits[layout.FIRST_CODE + codes, test // 32] |= bit
            if missing:
                bits[layout.MISSING, test // 32] |= bit
        return bits


@dataclass(frozen=True)
class _FlatTree:
    """Nodes in the order of their levels. `tested` are the categorical ones: (node, feature, number of the test)."""

    nodes: NDArray[np.void]
    depth: int
    tested: Sequence[tuple[int, int, int]]


def write_flat(forest: Forest, contract: Mapping[str, Any], where: str = "features.json") -> bytes:
    """forest.bin of a forest and its contract; equal bytes for equal ones.

    BundleError if they do not belong together, or if the forest is larger than the layout can hold.
    """
    columns = columns_of(contract, forest, where)
    calibration = Calibration.read(contract, where)
    tests, slots = [_Tests() for _ in columns], 1
    for column, one in zip(columns, tests, strict=True):
        if column.type != CATEGORY:
            one.slot, slots = slots, slots + 2
    trees = [_flat_tree(tree, tests) for tree in forest.trees]
    trees += [_nothing()] * (-len(trees) % layout.LANES)
    for column, one in zip(columns, tests, strict=True):
        if column.type == CATEGORY:
            one.slot, slots = slots, slots + one.width
    if slots > layout.MAX_SLOTS:
        raise BundleError(
            f"the forest needs {slots:,} slots for its features and their categorical splits and forest.bin holds "
            f"{layout.MAX_SLOTS:,}; grow fewer trees, or use fewer features."
        )
    roots = np.cumsum([0, *(len(tree.nodes) for tree in trees)]).astype(layout.U4)[:-1]
    nodes = np.concatenate([np.empty(0, dtype=layout.NODE), *(tree.nodes for tree in trees)])
    for root, tree in zip(roots.tolist(), trees, strict=True):
        for node, place, test in tree.tested:
            nodes["slot"][root + node] = layout.CATEGORICAL | (tests[place].slot + test // 32)
    groups = [trees[first : first + layout.LANES] for first in range(0, len(trees), layout.LANES)]
    depths = [(max(one.depth for one in group), any(one.tested for one in group)) for group in groups]
    features, rows, words, text = _features(columns, tests)
    knots = np.asarray([calibration.margins, calibration.probabilities], dtype=layout.F8)
    header = np.zeros((), dtype=layout.HEADER)
    for name, value in (
        ("magic", layout.MAGIC),
        ("version", layout.VERSION),
        ("features", len(features)),
        ("slots", slots),
        ("trees", len(forest.trees)),
        ("groups", len(groups)),
        ("nodes", len(nodes)),
        ("rows", len(rows)),
        ("words", len(words)),
        ("text", len(text)),
        ("knots", len(calibration.margins)),
        ("calibration", KINDS.index(calibration.kind)),
        ("offset", calibration.offset),
        ("slope", calibration.slope),
        ("intercept", calibration.intercept),
        ("base_margin", forest.base_margin),
    ):
        header[name] = value
    sections = {
        "feature_at": features.tobytes(),
        "root_at": roots.tobytes(),
        "group_at": np.asarray(depths, dtype=layout.GROUP).tobytes(),
        "node_at": nodes.tobytes(),
        "row_at": rows.astype(layout.U4).tobytes(),
        "word_at": words.tobytes(),
        "knot_at": knots.tobytes(),
        "text_at": text,
    }
    return _assemble(header, sections)


def _assemble(header: NDArray[np.void], sections: Mapping[str, bytes]) -> bytes:
    """The sections behind the header, each padded to a multiple of 64 bytes; then size and checksum are known."""
    body = bytearray(layout.HEADER.itemsize)
    for name, section in sections.items():
        body += bytes(-len(body) % layout.ALIGNMENT)
        if len(body) + len(section) > layout.MAX_SIZE:
            raise BundleError("the forest is larger than 4 GB; grow fewer trees, or use fewer categories.")
        header[name] = len(body)
        body += section
    body += bytes(-len(body) % layout.ALIGNMENT)
    header["size"] = len(body)
    body[: layout.HEADER.itemsize] = header.tobytes()
    header["checksum"] = zlib.crc32(memoryview(body)[layout.CHECKED_FROM :])
    body[: layout.HEADER.itemsize] = header.tobytes()
    return bytes(body)


def _flat_tree(tree: Tree, tests: Sequence[_Tests]) -> _FlatTree:
    levels, level = [], np.zeros(1, dtype=np.int32)
    while len(level):
        levels.append(level)
        parents = level[tree.left[level] >= 0]
        level = np.stack([tree.left[parents], tree.right[parents]], axis=1).ravel()
    order = np.concatenate(levels)
    inner = tree.left[order] >= 0
    nodes = np.zeros(len(order), dtype=layout.NODE)
    steps = 2 * np.cumsum(inner) - 1 - np.arange(len(order))  # the k-th inner node's children lie at 2 k - 1 and 2 k
    steps = np.where(inner, steps, 0)
    if steps.max() > layout.MAX_STEP:
        raise BundleError(
            f"a tree has {len(order):,} nodes, which is more than forest.bin can hold in one; set max_leaves to 32,768."
        )
    first = np.asarray([one.slot for one in tests])[tree.feature[order]]
    values = tree.threshold[order]
    leaves = np.where(values == 0, np.uint32(_MINUS_ZERO), values.view(np.uint32))
    nodes["step"] = steps
    nodes["key"] = np.where(inner, layout.ordered(values), leaves)
    nodes["slot"] = np.where(inner, first + ~tree.default_left[order], 0)
    tested = []
    for node in np.flatnonzero(inner & np.isin(order, list(tree.codes))).tolist():
        place, name = int(tree.feature[order[node]]), int(order[node])
        test = tests[place].number_of(tree.codes[name], not tree.default_left[name])
        nodes["key"][node] = 1 << test % 32
        tested.append((node, place, test))
    return _FlatTree(nodes, len(levels) - 1, tested)


def _nothing() -> _FlatTree:
    """A tree that adds -0, which changes no sum."""
    nodes = np.zeros(1, dtype=layout.NODE)
    nodes["key"] = _MINUS_ZERO
    return _FlatTree(nodes, 0, ())


def _features(
    columns: Sequence[Column], tests: Sequence[_Tests]
) -> tuple[NDArray[np.void], NDArray[np.uint32], NDArray[np.void], bytes]:
    """The records of the features, and what they point into: bits of categories, words (sorted by bytes), text."""
    features = np.zeros(len(columns), dtype=layout.FEATURE)
    text, entries, rows, row = bytearray(), list[tuple[int, int, int]](), list[NDArray[np.uint32]](), 0
    for record, column, one in zip(features, columns, tests, strict=True):
        name = column.name.encode()
        record["name"], record["name_size"], record["slot"] = len(text), len(name), one.slot
        text += name + b"\0"
        if column.type != CATEGORY:
            continue
        bits = one.rows()
        record["type"] = layout.CODE if column.words is None else layout.WORD
        record["codes"], record["width"], record["row"] = len(bits) - layout.FIRST_CODE, one.width, row
        rows.append(bits.ravel())
        row += bits.size
        record["word"], record["words"] = len(entries), len(column.words or ())
        for word, code in sorted((word.encode(), code) for code, word in enumerate(column.words or ())):
            entries.append((len(text), len(word), code))
            text += word + b"\0"
    together = np.concatenate([np.empty(0, dtype=np.uint32), *rows])
    return features, together, np.asarray(entries, dtype=layout.WORD_ENTRY), bytes(text)
