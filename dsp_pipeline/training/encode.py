"""From Arrow columns to the float32 matrix that trees are grown from. A null becomes NaN, which means missing."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from dsp_pipeline.errors import TrainingError, UnknownNameError
from dsp_pipeline.training.model import CATEGORY, MAX_CATEGORY, Feature


def encode(batch: pa.RecordBatch, features: Sequence[Feature]) -> NDArray[np.float32]:
    """The features of a batch, shape (rows, features), in the order of `features`.

    TrainingError if a column is missing, is not numeric (a category: not whole), or holds what trees cannot take.
    """
    matrix = np.empty((batch.num_rows, len(features)), dtype=np.float32)
    for place, feature in enumerate(features):
        column = _column(batch, feature.name, "feature")
        if feature.kind == CATEGORY:
            _check_codes(feature.name, column)
        elif not _is_number(column.type):
            raise TrainingError(f"feature {feature.name} is {column.type}; number(...) needs a numeric column.")
        matrix[:, place] = _floats(column)
        if np.isinf(matrix[:, place]).any():
            raise TrainingError(f"feature {feature.name} holds an infinite value; give null where it is unknown.")
    return matrix


def encode_label(batch: pa.RecordBatch, label: str) -> NDArray[np.uint8]:
    """The label of a batch as 0 and 1, shape (rows,). TrainingError if it is anything else, or null."""
    column = _column(batch, label, "label")
    if not (pa.types.is_boolean(column.type) or pa.types.is_integer(column.type)):
        raise TrainingError(f"label {label} is {column.type}; make it BOOL, or a whole number that is 0 or 1.")
    if column.null_count:
        raise TrainingError(f"label {label} is null in {column.null_count} rows; leave such rows out of the table.")
    if pa.types.is_integer(column.type) and len(column):
        low, high = _range(column)
        if low < 0 or high > 1:
            raise TrainingError(f"label {label} holds {low if low < 0 else high}; it is 0 or 1.")
    return np.asarray(column.cast(pa.uint8()).to_numpy(zero_copy_only=False), dtype=np.uint8)


def _column(batch: pa.RecordBatch, name: str, what: str) -> pa.Array:
    places = batch.schema.get_all_field_indices(name)
    if len(places) != 1:
        if places:
            raise TrainingError(f"the rows have {len(places)} columns {name}; name each once.")
        raise TrainingError(str(UnknownNameError(f"{what} column", name, batch.schema.names)))
    return batch.column(places[0])


def _is_number(kind: pa.DataType) -> bool:
    checks = (pa.types.is_integer, pa.types.is_floating, pa.types.is_boolean, pa.types.is_decimal)
    return any(check(kind) for check in checks)


def _check_codes(name: str, column: pa.Array) -> None:
    if not pa.types.is_integer(column.type):
        raise TrainingError(f"feature {name} is {column.type}; category(...) needs a column of whole codes.")
    if len(column) == column.null_count:
        return
    low, high = _range(column)
    if low < 0 or high > MAX_CATEGORY:
        raise TrainingError(f"feature {name} holds code {low if low < 0 else high}; codes are 0 to {MAX_CATEGORY}.")


def _range(column: pa.Array) -> tuple[int, int]:
    found = pc.min_max(column).as_py()
    return found["min"], found["max"]


def _floats(column: pa.Array) -> NDArray[np.float32]:
    if not pa.types.is_floating(column.type):
        column = column.cast(pa.float64(), safe=False)
    # In numpy: Arrow's own cast to float32 may refuse a large value, numpy's makes it infinite.
    with np.errstate(over="ignore"):
        return np.asarray(column.to_numpy(zero_copy_only=False)).astype(np.float32)
