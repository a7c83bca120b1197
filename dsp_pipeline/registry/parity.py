"""Before a bundle is published: each of its formats scores the golden rows as training did, and it keeps its budget.

Time is told of ONNX Runtime, one row at a time on one thread, called from Python with its inputs ready: of the two
formats that bidders load it is the slower, and no compiler is needed to measure it. The flat forest in C takes less
than a tenth of that (bench/score.py); its NumPy reference, which is checked here, says nothing about time. A median is
taken several times and the smallest counts, because other work on the machine can only add to it.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import pyarrow as pa
from numpy.typing import NDArray

from dsp_pipeline.errors import BundleError, first_line
from dsp_pipeline.registry.budget import Budget
from dsp_pipeline.registry.contract import MISSING_WORD
from dsp_pipeline.registry.flat_forest import FlatForest
from dsp_pipeline.registry.manifest import FEATURES, FOREST, GOLDEN, MODEL, ONNX, load_json
from dsp_pipeline.registry.onnx_model import FEATURES as ONNX_FEATURES
from dsp_pipeline.registry.onnx_model import PROBABILITY, WORDS
from dsp_pipeline.registry.scorer import Scorer

TOLERANCE = 1e-6  # of a probability
_MEDIANS, _RUNS = 7, 60

Score = Callable[[pa.Table], NDArray[np.float64]]


class OnnxScorer:
    """model.onnx on one thread of ONNX Runtime, where sums are added in the order of the trees."""

    def __init__(self, path: Path, scorer: Scorer, contract: Mapping[str, Any]) -> None:
        """`scorer` encodes the columns that are no words. BundleError, naming the file, if it cannot be loaded."""
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = options.inter_op_num_threads = 1
        options.log_severity_level = 3  # errors, which are raised too
        try:
            self._session = onnxruntime.InferenceSession(path.read_bytes(), options, providers=["CPUExecutionProvider"])
        except Exception as error:  # its exceptions have no class in common
            raise BundleError(f"{path} cannot be loaded ({first_line(error)}); export the model again.") from error
        self._scorer = scorer
        self._words = [one["name"] for one in contract["features"] if one.get("words") is not None]
        self._plain = [place for place, name in enumerate(scorer.names) if name not in self._words]

    def inputs(self, rows: pa.Table) -> dict[str, NDArray[Any]]:
        """The model's inputs, as onnx_model describes them. BundleError on a missing or mistyped column."""
        plain = self._scorer.matrix(rows)[:, self._plain]
        made: dict[str, NDArray[Any]] = {ONNX_FEATURES: np.ascontiguousarray(plain)} if self._plain else {}
        if self._words:
            columns = [rows.column(name).fill_null(MISSING_WORD).to_pylist() for name in self._words]
            made[WORDS] = np.asarray(columns, dtype=object).T
        return made

    def run(self, inputs: Mapping[str, NDArray[Any]]) -> NDArray[np.float32]:
        """The probabilities, shape (rows,)."""
        return np.asarray(self._session.run([PROBABILITY], inputs)[0], dtype=np.float32)

    def score(self, rows: pa.Table) -> NDArray[np.float64]:
        return self.run(self.inputs(rows)).astype(np.float64)


@dataclass(frozen=True)
class Formats:
    """A bundle's three ways to a probability, each of which holds all of it."""

    scorer: Scorer
    onnx: OnnxScorer
    flat: FlatForest

    @classmethod
    def load(cls, folder: Path) -> Formats:
        """BundleError, naming the file, if one cannot be loaded or does not know the contract's features."""
        contract = load_json((folder / FEATURES).read_bytes(), str(folder / FEATURES))
        scorer = Scorer((folder / MODEL).read_bytes(), contract, str(folder))
        flat = FlatForest.read((folder / FOREST).read_bytes(), str(folder / FOREST))
        if list(flat.names) != scorer.names:
            raise BundleError(f"{folder / FOREST} and features.json name other features; export the model again.")
        return cls(scorer, OnnxScorer(folder / ONNX, scorer, contract), flat)

    def scores(self) -> Mapping[str, Score]:
        """How each scores rows, by the name of its file. BundleError on a missing or mistyped column."""
        return {
            MODEL: self.scorer.score,
            ONNX: self.onnx.score,
            FOREST: lambda rows: self.flat.score(self.scorer.matrix(rows)),
        }


def check_parity(folder: Path, golden: pa.Table, budget: Budget) -> dict[str, Any]:
    """What was found, as plain values: rows, largest difference by file, megabytes, microseconds.

    `golden` holds the features' columns and `score`. BundleError, naming the file and the difference, if a format
    scores a golden row more than 1e-6 from it, or if the bundle is larger or slower than its budget.
    """
    if not golden.num_rows:
        raise BundleError(f"{folder / GOLDEN} holds no rows to check the bundle with; export the model again.")
    expected = golden["score"].to_numpy()
    differences: dict[str, float] = {}
    formats = Formats.load(folder)
    for name, score in formats.scores().items():
        off = np.abs(score(golden) - expected)
        row = int(np.argmax(off))  # NaN counts as the largest
        if not off[row] <= TOLERANCE:
            raise BundleError(
                f"{folder / name} scores golden row {row} {off[row]:.2g} away from what training gave; "
                "export the model again."
            )
        differences[name] = float(off[row])
    megabytes = sum(path.stat().st_size for path in folder.iterdir()) / 1e6
    microseconds = _microseconds(formats.onnx, golden)
    budget.check(folder, megabytes, microseconds)
    return {
        "rows": golden.num_rows,
        "differences": differences,
        "megabytes": round(megabytes, 3),
        "microseconds": round(microseconds, 1),
        "onnxruntime": onnxruntime.__version__,
    }


def _microseconds(onnx: OnnxScorer, golden: pa.Table) -> float:
    together = onnx.inputs(golden)
    rows = [{name: values[row : row + 1] for name, values in together.items()} for row in range(golden.num_rows)]
    medians = []
    for _ in range(_MEDIANS):
        took = []
        for run in range(_RUNS):
            inputs = rows[run % len(rows)]
            started = time.perf_counter_ns()
            onnx.run(inputs)
            took.append(time.perf_counter_ns() - started)
        medians.append(statistics.median(took))
    return min(medians) / 1e3
