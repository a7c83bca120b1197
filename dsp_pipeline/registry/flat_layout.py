"""The layout of forest.bin, version 1. All values are little-endian. docs/bundle.md holds the same as tables.

A node is 8 bytes, and a tree's nodes lie in the order of its levels, so siblings are neighbours and one test decides:

    next = node + node.step + (slots[node.slot] passes node.key)

It is as fast as complete trees of a fixed depth, whose children need no `step`, and a deep or lopsided tree costs no
more than it holds. A leaf steps nowhere (`step` 0, `slot` 0, and slot 0 holds 0, which passes no key), so a walk may go
on when it has arrived: sixteen trees, or sixteen rows, are walked side by side for as many steps as the deepest has,
without a branch. A leaf's `key` is its value, a float32; 0 is written as -0, because a key is never 0.

A number's test is `slots[slot] >= key` on unsigned integers. `ordered` makes such integers of float32 values in their
order. Each number has two slots: in the first a missing value is 0, less than all others, and in the second it is
2**32 - 1, more than all others: a node's default is which of them it looks at.

A category has no order. Each different (set, default) of its splits is one test and has a bit in the category's slots;
`rows` holds these bits for a missing value, for an unseen code, and for each code, so that to score a row is to
copy one stretch of them. The test is `(slots[slot] & key) >= key`, where key is one bit; bit 15 of `slot` tells it.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

MAGIC, VERSION = b"DSPFORST", 1
LANES = 16  # trees that are walked side by side; their number is rounded up to it with leaves that add -0
MAX_SLOTS = 16_384  # 64 KB on the stack of whoever scores
MAX_STEP = 0xFFFF
MAX_SIZE = 0xFFFFFFFF
MAX_CODES = 1 << 24  # float32 tells all smaller codes apart
CATEGORICAL = 0x8000  # in a node's slot
ALIGNMENT = 64
CHECKED_FROM = 16  # the checksum is the CRC-32 of all bytes from here

NUMBER, CODE, WORD = 0, 1, 2  # types of features
MISSING, UNSEEN, FIRST_CODE = 0, 1, 2  # rows of a category's bits

HEADER = np.dtype(
    [
        ("magic", "S8"),
        ("version", "<u4"),
        ("checksum", "<u4"),
        ("size", "<u8"),
        ("features", "<u4"),
        ("slots", "<u4"),
        ("trees", "<u4"),
        ("groups", "<u4"),
        ("nodes", "<u4"),
        ("rows", "<u4"),
        ("words", "<u4"),
        ("text", "<u4"),
        ("knots", "<u4"),
        ("calibration", "<u4"),
        ("offset", "<f8"),
        ("slope", "<f8"),
        ("intercept", "<f8"),
        ("base_margin", "<f4"),
        ("reserved", "<u4"),
        ("feature_at", "<u4"),
        ("root_at", "<u4"),
        ("group_at", "<u4"),
        ("node_at", "<u4"),
        ("row_at", "<u4"),
        ("word_at", "<u4"),
        ("knot_at", "<u4"),
        ("text_at", "<u4"),
    ]
)
FEATURE = np.dtype(
    [
        ("name", "<u4"),
        ("name_size", "<u4"),
        ("type", "<u4"),
        ("codes", "<u4"),
        ("slot", "<u4"),
        ("width", "<u4"),
        ("row", "<u4"),
        ("word", "<u4"),
        ("words", "<u4"),
        ("reserved", "<u4"),
    ]
)
GROUP = np.dtype([("depth", "<u4"), ("categorical", "<u4")])
NODE = np.dtype([("key", "<u4"), ("slot", "<u2"), ("step", "<u2")])
WORD_ENTRY = np.dtype([("text", "<u4"), ("size", "<u4"), ("code", "<u4")])
U4, F8 = np.dtype("<u4"), np.dtype("<f8")


def ordered(values: NDArray[np.float32]) -> NDArray[np.uint32]:
    """Unsigned integers in the order of the values, none of them missing; -0 and 0 are alike. Same shape."""
    bits = (values + np.float32(0)).astype(np.float32).view(np.uint32)  # -0 + 0 is 0
    return np.where(bits >> 31, ~bits, bits | np.uint32(0x80000000)).astype(np.uint32)
