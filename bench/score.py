"""How long a probability takes in each format of a bundle: 500 trees of depth 8, 40 features, one thread.

    python -m bench.score [--rounds 7] [--trees 500]

All contenders take turns, round after round, so that other work on the machine meets them alike; told are medians of
the rounds' medians, and ratios of the same run. Each does the whole way from a row to a calibrated probability, except
XGBoost, which does not calibrate. Needs a C compiler.
"""

from __future__ import annotations

import argparse
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

import numpy as np
import onnxruntime
import xgboost
from numpy.typing import NDArray

from bench.part import Figure, Measured, Sizes
from dsp_pipeline.registry.flat import write_flat
from dsp_pipeline.registry.flat_forest import FlatForest
from dsp_pipeline.registry.forest import read_forest
from dsp_pipeline.registry.onnx_model import write_onnx

FEATURES, DEPTH, ROWS, BATCH = 40, 8, 40_000, 100
HEADER = Path(__file__).parents[1] / "dsp_pipeline" / "registry"
NAMES = [f"f{place}" for place in range(FEATURES)]
CONTRACT = {
    "features": [{"name": name, "type": "number"} for name in NAMES],
    "calibration": {"kind": "platt", "offset": -1.2, "slope": 1.03, "intercept": -0.01},
}
TARGETS = (
    ("one row: flat C / ONNX Runtime", "flat forest, C", "ONNX Runtime, Python", 0, 1 / 10),
    ("one row: flat C / XGBoost C", "flat forest, C", "XGBoost, C", 0, 1 / 50),
    ("one row: flat C / XGBoost Python", "flat forest, C", "XGBoost inplace_predict, Python", 0, 1 / 50),
    ("100 rows: flat C / ONNX Runtime", "flat forest, C", "ONNX Runtime, Python", 1, 1 / 5),
)


def train(trees: int) -> tuple[bytes, NDArray[np.float32]]:
    """A model whose trees are nearly full, and rows."""
    random = np.random.default_rng(0)
    rows = random.normal(size=(ROWS, FEATURES)).astype(np.float32)
    rows[random.random(rows.shape) < 0.03] = np.nan
    known = np.nan_to_num(rows)
    odds = known[:, :20] @ random.normal(size=20) * 0.4 + np.sin(known[:, 20] * 3) * known[:, 21] - 2
    label = random.random(ROWS) < 1 / (1 + np.exp(-odds))
    matrix = xgboost.QuantileDMatrix(rows, label, feature_names=NAMES, max_bin=64)
    given = {"objective": "binary:logistic", "max_depth": DEPTH, "eta": 0.03, "min_child_weight": 0.1, "max_bin": 64}
    return bytes(xgboost.train({**given, "base_score": 0.2}, matrix, trees).save_raw("ubj")), rows


def timed(score: Callable[[NDArray[np.float32]], object], rows: NDArray[np.float32], runs: int) -> tuple[float, float]:
    """Median microseconds of one row and of a batch."""
    medians = []
    for size, times in ((1, runs), (BATCH, max(5, runs // 20))):
        took = []
        for run in range(times):
            some = rows[run * size % (len(rows) - size) :][:size]
            started = time.perf_counter_ns()
            score(some)
            took.append(time.perf_counter_ns() - started)
        medians.append(statistics.median(took) / 1e3)
    return medians[0], medians[1]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--trees", type=int, default=500)
    asked = parser.parse_args()
    compiler = shutil.which("gcc") or shutil.which("cc")
    if compiler is None:
        sys.exit("there is no C compiler (gcc or cc) here.")
    with tempfile.TemporaryDirectory() as scratch:
        told(Path(scratch), compiler, asked.rounds, asked.trees)


def measure(sizes: Sizes) -> Measured:
    compiler = shutil.which("gcc") or shutil.which("cc")
    if compiler is None:
        return Measured([Figure("flat forest, C", skipped="there is no C compiler (gcc or cc) here")])
    with tempfile.TemporaryDirectory() as scratch:
        medians = told(Path(scratch), compiler, sizes.times, 500)
    figures = []
    for what, ours, theirs, place, target in TARGETS:
        mine, other = medians[ours][place], medians[theirs][place]
        figures.append(
            Figure(f"{what.partition(':')[0]}: {ours}", f"time of {theirs}", mine / other, target, mine / 1e6)
        )
    return Measured(figures, {name: {"one_row_us": one, "100_rows_us": many} for name, (one, many) in medians.items()})


def told(folder: Path, compiler: str, rounds: int, trees: int) -> dict[str, tuple[float, float]]:
    """Microseconds of one row and of a batch, by contender; also printed."""
    model, rows = train(trees)
    (folder / "model.ubj").write_bytes(model)
    (folder / "forest.bin").write_bytes(write_flat(read_forest(model), CONTRACT))
    (folder / "model.onnx").write_bytes(write_onnx(model, CONTRACT))
    rows[:10_000].tofile(folder / "rows")
    program = [str(folder / "score"), str(folder / "forest.bin"), str(folder / "rows")]
    source = str(Path(__file__).with_suffix(".c"))
    subprocess.check_call(
        [compiler, "-std=c99", "-O2", f"-I{HEADER}", source, "-o", program[0], "-lm", "-ldl"],
    )
    library = str(Path(xgboost.__file__).parent / "lib" / "libxgboost.so")

    def in_c(*more: str) -> tuple[float, float]:
        one, batch = subprocess.run([*program, *more], capture_output=True, check=True, text=True).stdout.split()
        return float(one), float(batch)

    booster = xgboost.Booster({"nthread": 1}, model_file=str(folder / "model.ubj"))
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    session = onnxruntime.InferenceSession(
        (folder / "model.onnx").read_bytes(), options, providers=["CPUExecutionProvider"]
    )
    flat = FlatForest.read((folder / "forest.bin").read_bytes())
    contenders: dict[str, Callable[[], tuple[float, float]]] = {
        "flat forest, C": in_c,
        "ONNX Runtime, Python": lambda: timed(lambda some: session.run(None, {"features": some}), rows, 1000),
        "XGBoost, C": lambda: in_c(str(folder / "model.ubj"), library),
        "XGBoost inplace_predict, Python": lambda: timed(booster.inplace_predict, rows, 400),
        "flat forest, NumPy reference": lambda: timed(flat.score, rows, 60),
    }
    found: dict[str, list[tuple[float, float]]] = {name: [] for name in contenders}
    for _ in range(rounds):
        for name, contender in contenders.items():
            found[name].append(contender())
    medians = {
        name: (statistics.median(one for one, _ in times), statistics.median(many for _, many in times))
        for name, times in found.items()
    }
    sizes = ", ".join(f"{path.name} {path.stat().st_size / 1e6:.2f} MB" for path in sorted(folder.glob("*.*")))
    nodes = np.mean([len(tree.left) for tree in read_forest(model).trees])
    print(f"{trees} trees of depth {DEPTH}, {nodes:.0f} nodes each, {FEATURES} features, {rounds} rounds; {sizes}\n")
    print(f"{'p50 in microseconds':34}{'one row':>10}{'100 rows':>10}")
    for name, (one, batch) in medians.items():
        print(f"{name:34}{one:10.1f}{batch:10.0f}")
    print()
    for what, ours, theirs, place, target in TARGETS:
        ratio = medians[ours][place] / medians[theirs][place]
        print(f"{what:34}  1/{1 / ratio:<6.1f} target 1/{1 / target:.0f}  {'reached' if ratio <= target else 'MISSED'}")
    return medians


if __name__ == "__main__":
    main()
