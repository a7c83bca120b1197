"""Scores Arrow rows with a bundle's model and contract alone.

It shares no code with training on purpose: the golden rows were scored by training's encoder and must be scored alike
by this one, so a bundle is only accepted if serving and training agree on what a row means.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pyarrow as pa
import xgboost
from numpy.typing import NDArray

from dsp_pipeline.errors import BundleError

_TYPES = ("number", "category")


class Scorer:
    """A model with the names and types of its columns, in their order. `where` names the bundle in errors."""

    def __init__(self, model: bytes, features: Mapping[str, Any], where: str) -> None:
        self._where = where
        try:
            self._features = [(str(one["name"]), str(one["type"])) for one in features["features"]]
        except (KeyError, TypeError) as error:
            raise BundleError(f"{where}/features.json is no contract ({error!r}); export the model again.") from error
        for name, type_ in self._features:
            if type_ not in _TYPES:
                raise BundleError(f"{where}/features.json: {name} is {type_!r}; this version reads {_TYPES}.")
        try:
            self._booster = xgboost.Booster(model_file=bytearray(model))
        except xgboost.core.XGBoostError as error:
            first = str(error).strip().splitlines()[0]
            raise BundleError(f"{where}/model.ubj is no XGBoost model ({first}); export the model again.") from error
        names = [name for name, _ in self._features]
        if self._booster.feature_names != names:
            raise BundleError(f"{where}: model.ubj and features.json name other features; export the model again.")

    def score(self, rows: pa.RecordBatch | pa.Table) -> NDArray[np.float32]:
        """Shape (rows,); a null is a missing value. BundleError on a missing or mistyped column."""
        matrix = np.empty((rows.num_rows, len(self._features)), dtype=np.float32)
        for place, (name, type_) in enumerate(self._features):
            matrix[:, place] = self._column(rows, name, type_)
        if not len(matrix):
            return np.empty(0, dtype=np.float32)
        return np.asarray(self._booster.inplace_predict(matrix, missing=np.nan), dtype=np.float32)

    def _column(self, rows: pa.RecordBatch | pa.Table, name: str, type_: str) -> NDArray[np.float64]:
        if rows.schema.get_field_index(name) < 0:
            raise BundleError(f"the rows have no single column {name}, which {self._where}/features.json asks for.")
        column = rows.column(name)
        kind = column.type
        numeric = pa.types.is_floating(kind) or pa.types.is_boolean(kind) or pa.types.is_decimal(kind)
        if not (pa.types.is_integer(kind) or (type_ == "number" and numeric)):
            raise BundleError(f"column {name} is {kind}; {self._where}/features.json says {type_}.")
        values = column if pa.types.is_floating(kind) else column.cast(pa.float64(), safe=False)
        floats = np.asarray(values.to_numpy() if isinstance(rows, pa.Table) else values.to_numpy(zero_copy_only=False))
        if type_ == "category" and (floats < 0).any():
            raise BundleError(f"column {name} holds a negative code; codes are 0 and up, null where unknown.")
        return floats.astype(np.float64)
