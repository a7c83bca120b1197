"""Scores Arrow rows with a bundle's trees, as XGBoost runs them, and its contract alone.

It shares no code with training on purpose: the golden rows were scored by training's encoder and must be scored alike
by this one, so a bundle is only accepted if serving and training agree on what a row means.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import xgboost
from numpy.typing import NDArray

from dsp_pipeline.errors import BundleError
from dsp_pipeline.registry.calibration import Calibration
from dsp_pipeline.registry.forest import refusing_what_is_no_model

_TYPES = ("number", "category")


class Scorer:
    """Trees with the names and types of their columns, in their order. `where` names the bundle in errors."""

    def __init__(self, model: bytes, features: Mapping[str, Any], where: str) -> None:
        self._where = where
        try:
            self._features = [(str(one["name"]), str(one["type"]), one.get("words")) for one in features["features"]]
        except (KeyError, TypeError, AttributeError) as error:
            raise BundleError(f"{where}/features.json is no contract ({error!r}); export the model again.") from error
        self.calibration = Calibration.read(features, f"{where}/features.json")
        for name, type_, _ in self._features:
            if type_ not in _TYPES:
                raise BundleError(f"{where}/features.json: {name} is {type_!r}; this version reads {_TYPES}.")
        with refusing_what_is_no_model(f"{where}/model.ubj"):
            self.booster = xgboost.Booster(model_file=bytearray(model))
        self.names = [name for name, _, _ in self._features]
        if self.booster.feature_names != self.names:
            raise BundleError(f"{where}: model.ubj and features.json name other features; export the model again.")

    def matrix(self, rows: pa.RecordBatch | pa.Table) -> NDArray[np.float32]:
        """What the trees see, shape (rows, features); a null or an unknown word is NaN.

        BundleError on a missing or mistyped column.
        """
        matrix = np.empty((rows.num_rows, len(self._features)), dtype=np.float32)
        for place, (name, type_, words) in enumerate(self._features):
            matrix[:, place] = self._column(rows, name, type_, words)
        return matrix

    def margins(self, matrix: NDArray[np.float32]) -> NDArray[np.float64]:
        """The sum of the trees in log odds, shape (rows,)."""
        if not len(matrix):
            return np.empty(0)
        found = self.booster.inplace_predict(matrix, predict_type="margin", missing=np.nan)
        return np.asarray(found, dtype=np.float64)

    def score(self, rows: pa.RecordBatch | pa.Table) -> NDArray[np.float64]:
        """Probabilities, shape (rows,). BundleError on a missing or mistyped column."""
        return self.calibration.apply(self.margins(self.matrix(rows)))

    def _column(
        self, rows: pa.RecordBatch | pa.Table, name: str, type_: str, words: list[str] | None
    ) -> NDArray[np.float64]:
        if rows.schema.get_field_index(name) < 0:
            raise BundleError(f"the rows have no single column {name}, which {self._where}/features.json asks for.")
        column = rows.column(name)
        kind = column.type
        if words is not None:
            if not (pa.types.is_string(kind) or pa.types.is_large_string(kind)):
                raise BundleError(f"column {name} is {kind}; {self._where}/features.json says a word.")
            column = pc.index_in(column.cast(pa.string()), value_set=pa.array(words, pa.string()))
            kind = column.type
        numeric = pa.types.is_floating(kind) or pa.types.is_boolean(kind) or pa.types.is_decimal(kind)
        if not (pa.types.is_integer(kind) or (type_ == "number" and numeric)):
            raise BundleError(f"column {name} is {kind}; {self._where}/features.json says {type_}.")
        values = column if pa.types.is_floating(kind) else column.cast(pa.float64(), safe=False)
        floats = np.asarray(values.to_numpy() if isinstance(rows, pa.Table) else values.to_numpy(zero_copy_only=False))
        if type_ == "category" and (floats < 0).any():
            raise BundleError(f"column {name} holds a negative code; codes are 0 and up, null where unknown.")
        return floats.astype(np.float64)
