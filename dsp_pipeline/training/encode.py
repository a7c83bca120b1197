"""From Arrow columns to the float32 matrix that trees are grown from. A null becomes NaN, which means missing."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from dsp_pipeline.errors import TrainingError, UnknownNameError
from dsp_pipeline.training.model import CATEGORY, MAX_CATEGORY, MAX_WORDS, Feature


@dataclass
class Encoder:
    """What training rows tell of the features, and how rows are encoded by it.

    `words` are the texts of each category whose column is STRING, in the order in which training met them: a text's
    code is its place. At most MAX_WORDS; those that come later, and those that training has not met, are missing.
    `codes` is one more than the highest code of each category of whole codes, `ranges` lowest and highest value of
    each number.
    """

    features: tuple[Feature, ...]
    words: dict[str, list[str]] = field(default_factory=dict)
    codes: dict[str, int] = field(default_factory=dict)
    ranges: dict[str, tuple[float, float]] = field(default_factory=dict)

    def learn(self, batch: pa.RecordBatch) -> NDArray[np.float32]:
        """Encode training rows, and remember what they tell. As `encode`."""
        for feature in self.features:
            if feature.kind == CATEGORY:
                column = _column(batch, feature.name, "feature")
                if is_text(column.type):
                    self._learn_words(feature.name, column)
        matrix = self.encode(batch)
        for place, feature in enumerate(self.features):
            if feature.name in self.words or not np.isfinite(matrix[:, place]).any():
                continue
            low, high = float(np.nanmin(matrix[:, place])), float(np.nanmax(matrix[:, place]))
            if feature.kind == CATEGORY:
                self.codes[feature.name] = max(self.codes.get(feature.name, 0), int(high) + 1)
            else:
                before = self.ranges.get(feature.name, (math.inf, -math.inf))
                self.ranges[feature.name] = min(before[0], low), max(before[1], high)
        return matrix

    def encode(self, batch: pa.RecordBatch | pa.Table) -> NDArray[np.float32]:
        """The features of some rows, shape (rows, features), in their order.

        TrainingError if a column is missing, is not numeric (a category: neither text nor whole), or holds what trees
        cannot take.
        """
        matrix = np.empty((batch.num_rows, len(self.features)), dtype=np.float32)
        for place, feature in enumerate(self.features):
            column = _column(batch, feature.name, "feature")
            if feature.kind == CATEGORY and is_text(column.type):
                words = pa.array(self.words.get(feature.name, []), pa.string())
                column = pc.index_in(column.cast(pa.string()), value_set=words)
            elif feature.kind == CATEGORY:
                _check_codes(feature.name, column)
            elif not _is_number(column.type):
                raise TrainingError(f"feature {feature.name} is {column.type}; number(...) needs a numeric column.")
            matrix[:, place] = _floats(column)
            if np.isinf(matrix[:, place]).any():
                raise TrainingError(f"feature {feature.name} holds an infinite value; give null where it is unknown.")
        return matrix

    def contract(self) -> list[dict[str, Any]]:
        """What a scorer must hand in for each feature, as plain values for a bundle's features.json."""
        found = []
        for feature in self.features:
            one: dict[str, Any] = {"name": feature.name, "type": feature.kind, "missing": "null"}
            if feature.name in self.words:
                one["words"] = list(self.words[feature.name])
            elif feature.kind == CATEGORY:
                one["codes"] = self.codes.get(feature.name, 0)
            elif feature.name in self.ranges:
                one["range"] = list(self.ranges[feature.name])
            found.append(one)
        return found

    def _learn_words(self, name: str, column: pa.Array) -> None:
        known = self.words.setdefault(name, [])
        if len(known) < MAX_WORDS:
            met = dict.fromkeys([*known, *(word for word in pc.unique(column).to_pylist() if word is not None)])
            self.words[name] = list(met)[:MAX_WORDS]


def features_of(contract: Sequence[Mapping[str, Any]]) -> Encoder:
    """The encoder of a contract's `features`, for who has only the bundle."""
    encoder = Encoder(tuple(Feature(str(one["name"]), str(one["type"])) for one in contract))
    for one in contract:
        if "words" in one:
            encoder.words[one["name"]] = [str(word) for word in one["words"]]
        elif "codes" in one:
            encoder.codes[one["name"]] = int(one["codes"])
        elif "range" in one:
            encoder.ranges[one["name"]] = (float(one["range"][0]), float(one["range"][1]))
    return encoder


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


def encode_weight(batch: pa.RecordBatch, weight: str | None) -> NDArray[np.float32]:
    """The weight of each row, shape (rows,); 1 where there is no such column. TrainingError if one is not above 0."""
    if weight is None:
        return np.ones(batch.num_rows, dtype=np.float32)
    column = _column(batch, weight, "weight")
    if not _is_number(column.type):
        raise TrainingError(f"weight {weight} is {column.type}; it is a number above 0.")
    weights = _floats(column)
    wrong = weights[~(np.isfinite(weights) & (weights > 0))]
    if len(wrong):
        raise TrainingError(f"weight {weight} is {wrong[0]:g} in {len(wrong)} rows; it is a number above 0.")
    return weights


def is_text(kind: pa.DataType) -> bool:
    return bool(pa.types.is_string(kind) or pa.types.is_large_string(kind) or pa.types.is_string_view(kind))


def _column(batch: pa.RecordBatch | pa.Table, name: str, what: str) -> pa.Array:
    places = batch.schema.get_all_field_indices(name)
    if len(places) != 1:
        if places:
            raise TrainingError(f"the rows have {len(places)} columns {name}; name each once.")
        raise TrainingError(str(UnknownNameError(f"{what} column", name, batch.schema.names)))
    column = batch.column(places[0])
    return column.combine_chunks() if isinstance(column, pa.ChunkedArray) else column


def _is_number(kind: pa.DataType) -> bool:
    checks = (pa.types.is_integer, pa.types.is_floating, pa.types.is_boolean, pa.types.is_decimal)
    return any(check(kind) for check in checks)


def _check_codes(name: str, column: pa.Array) -> None:
    if not pa.types.is_integer(column.type):
        raise TrainingError(f"feature {name} is {column.type}; category(...) needs a column of texts or whole codes.")
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
