"""From arrays to text without a loop over lines: fixed-width columns as byte matrices, the rest by Arrow.

A line ends with its newline, so the data buffer of an array of lines IS the text of the file.
"""

from __future__ import annotations

from typing import cast

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from dsp_pipeline.simulator.world import Ints

Matrix = NDArray[np.uint8]  # (lines, width), ASCII

_HEX = np.frombuffer("".join(f"{byte:02x}" for byte in range(256)).encode(), dtype=np.uint8).reshape(256, 2)


def digits(values: Ints, width: int) -> Matrix:
    """Decimal digits with leading zeros; `values` are >= 0 and fit."""
    out = np.empty((len(values), width), dtype=np.uint8)
    rest = values
    for column in range(width - 1, -1, -1):
        rest, digit = np.divmod(rest, 10)
        out[:, column] = digit + 48
    return out


def hexadecimal(values: NDArray[np.uint64]) -> Matrix:
    """16 hexadecimal digits of each value."""
    octets = values.astype(">u8").view(np.uint8).reshape(-1, 8)
    return np.asarray(_HEX[octets].reshape(-1, 16))


def clock(ms_of_hour: Ints) -> tuple[bytes | Matrix, ...]:
    """MM:SS.mmm of a time within an hour, as parts for `fixed`."""
    seconds, ms = np.divmod(ms_of_hour, 1000)
    minutes, seconds = np.divmod(seconds, 60)
    return digits(minutes, 2), b":", digits(seconds, 2), b".", digits(ms, 3)


def fixed(size: int, *parts: bytes | Matrix) -> pa.BinaryArray:
    """Lay the parts side by side: bytes are the same in each of `size` rows, a matrix gives one row each."""
    width = sum(len(part) if isinstance(part, bytes) else part.shape[1] for part in parts)
    out = np.empty((size, width), dtype=np.uint8)
    at = 0
    for part in parts:
        block = np.frombuffer(part, dtype=np.uint8) if isinstance(part, bytes) else part
        out[:, at : at + block.shape[-1]] = block
        at += block.shape[-1]
    offsets = np.arange(0, (size + 1) * width, width, dtype=np.int32) if width else np.zeros(size + 1, dtype=np.int32)
    return pa.Array.from_buffers(pa.binary(), size, [None, pa.py_buffer(offsets), pa.py_buffer(out)])


def words(values: list[str]) -> pa.BinaryArray:
    """Text pieces to be taken by number."""
    return pa.array([value.encode("ascii") for value in values], pa.binary())


def join(*pieces: pa.BinaryArray) -> pa.BinaryArray:
    """Join row by row."""
    return pc.binary_join_element_wise(*pieces, pa.scalar(b"", pa.binary()))


def content(lines: pa.BinaryArray) -> memoryview:
    """All lines, one after the other, without a copy."""
    if len(lines) == 0:
        return memoryview(b"")
    _, offsets, data = lines.buffers()
    ends = np.frombuffer(offsets, dtype=np.int32)
    return memoryview(data)[int(ends[lines.offset]) : int(ends[lines.offset + len(lines)])]


def as_list(lines: pa.BinaryArray) -> list[bytes]:
    """The lines as Python bytes; for few lines."""
    return cast("list[bytes]", lines.to_pylist())
