"""Training through the pipeline beside bare XGBoost: time on the same rows, and memory as they become more.

    python -m bench.train              # both; --rows, --base, --times, --only time|memory

Bare XGBoost is what somebody writes by hand: the Arrow table in memory, QuantileDMatrix, trees, early stopping on a
later day. The pipeline streams the same Parquet files, and is told twice: until its trees are grown, which is what the
other does too, and to its end, with baseline, calibration, judging and explanation, which the other does not do.
"""

from __future__ import annotations

import argparse
import json
import shutil
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from bench.measure import by_turns, cost, in_own_process, keep, median, table
from bench.part import Measured, Sizes, compared
from bench.rows import CATEGORIES, NUMBERS, folder
from dsp_pipeline.meter import Meter
from dsp_pipeline.training.model import Model, category, number
from dsp_pipeline.warehouse.fit import BATCH_ROWS

THREADS, SEED = 2, 1
TIMED_ROUNDS, WEIGHED_ROUNDS = 100, 10  # memory does not depend on how many there are
FEATURES = (*map(number, NUMBERS), *map(category, CATEGORIES))
MODEL = Model(
    table="bench",
    label="clicked",
    features=FEATURES,
    parameters={"max_depth": 8, "eta": 0.1, "min_child_weight": 10},
    slices=("c03",),
    name="bench",
)
MORE = (1, 2, 4, 8)
GROWN = "until its trees are grown"
FLAT = 1.1 / 0.9  # within 10 % of the middle


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=500_000, help="rows to train on where time is measured")
    parser.add_argument("--base", type=int, default=250_000, help="rows of 1x where memory is measured")
    parser.add_argument("--times", type=int, default=5, help="how often each is measured; the median counts")
    parser.add_argument("--only", choices=("time", "memory"))
    parser.add_argument("--one", choices=tuple(CONTENDERS), help=argparse.SUPPRESS)
    parser.add_argument("--rounds", type=int, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.one:
        # Early stopping is looked at after each tree, and never reached: all grow as many.
        model = replace(MODEL, rounds=options.rounds, early_stopping_rounds=options.rounds)
        print(json.dumps(CONTENDERS[options.one](model, folder(options.rows))))
        return
    if options.only != "memory":
        print(f"\nkept in {keep('train_time', measure_time(options.rows, options.times))}")
    if options.only != "time":
        print(f"\nkept in {keep('train_memory', measure_memory(options.base, options.times))}")


def measure(sizes: Sizes) -> Measured:
    timed = measure_time(sizes.rows, sizes.times)["runs"]
    weighed = measure_memory(sizes.base, sizes.times, sizes.growth)["runs"]
    figures = []
    for name, target in ((GROWN, 1.05), ("pipeline", None)):
        about = "" if name == GROWN else "to its end: "
        figures.append(compared(timed, name, "bare", target=target, about=about))
        figures.append(compared(timed, name, "bare", "seconds", target=target, about=about))
    first, last = f"{sizes.growth[0]}x", f"{sizes.growth[-1]}x"
    for name, by_size in weighed.items():
        about = f"{name}, {last} the rows: "
        target = FLAT if name != "bare" else None
        one = compared(by_size, last, first, "peak_bytes", target)
        figures.append(replace(one, contender=f"{about}memory", beside=f"memory at {first}"))
        one = compared(by_size, last, first, times=sizes.growth[-1] / sizes.growth[0])
        figures.append(replace(one, contender=f"{about}CPU", beside=f"CPU a row at {first}"))
    return Measured(figures, {"rows": sizes.rows, "base": sizes.base, "time": timed, "memory": weighed})


def measure_time(rows: int, times: int) -> dict[str, Any]:
    found = by_turns({name: _run(name, rows, TIMED_ROUNDS) for name in CONTENDERS}, times)
    found[GROWN] = [one["grown"] for one in found["pipeline"]]
    ratios = {
        name: {key: median(runs, key) / median(found["bare"], key) for key in ("seconds", "cpu_seconds")}
        for name, runs in found.items()
    }
    shown = [
        [
            name,
            *(f"{median(runs, key):.2f}" for key in ("seconds", "cpu_seconds")),
            *(f"{ratio:.3f}" for ratio in ratios[name].values()),
            f"{median(runs, 'peak_bytes') / 1e6:.0f}",
        ]
        for name, runs in found.items()
    ]
    print(f"{rows:,} rows × {len(FEATURES)} features, {TIMED_ROUNDS} trees, median of {times}")
    print(table(["", "seconds", "CPU seconds", "× bare", "× bare CPU", "peak MB"], shown))
    print(f"log loss of the validation day: {found['pipeline'][0]['loss']:.5f}, bare {found['bare'][0]['loss']:.5f}")
    return {"rows": rows, "trees": TIMED_ROUNDS, "ratios": ratios, "runs": found}


def measure_memory(base: int, times: int, growth: Sequence[int] = MORE) -> dict[str, Any]:
    found = {
        name: by_turns({f"{more}x": _run(name, more * base, WEIGHED_ROUNDS) for more in growth}, times)
        for name in CONTENDERS
    }
    found[GROWN] = {size: [one["grown"] for one in runs] for size, runs in found["pipeline"].items()}
    peaks = {name: [median(runs, "peak_bytes") for runs in by_size.values()] for name, by_size in found.items()}
    shown = [[name, *(f"{peak / 1e6:.0f}" for peak in of), f"{of[-1] / of[0]:.2f}"] for name, of in peaks.items()]
    print(f"\npeak memory in MB of {base:,} rows to train on and more, a quarter as many to judge, median of {times}")
    print(table(["", *(f"{more}x" for more in growth), "last / first"], shown))
    return {"base": base, "peaks": peaks, "runs": found}


def _run(name: str, rows: int, rounds: int) -> Callable[[], dict[str, Any]]:
    folder(rows)
    return partial(in_own_process, "bench.train", ["--one", name, "--rows", str(rows), "--rounds", str(rounds)])


def bare(model: Model, data: Path) -> dict[str, Any]:
    """The tables in memory, as they are read."""
    import xgboost
    from xgboost.callback import EarlyStopping

    options = {"feature_types": _types(), "enable_categorical": True, "max_bin": 256, "nthread": THREADS}
    meter = Meter()
    train = pq.read_table(data / "train.parquet")
    names = [*NUMBERS, *CATEGORIES]
    positive_share = train["clicked"].to_numpy().mean()
    matrix = xgboost.QuantileDMatrix(train.select(names), train["clicked"].to_numpy(), **options)
    del train
    later = pq.read_table(data / "validation.parquet")
    watched = xgboost.QuantileDMatrix(later.select(names), later["clicked"].to_numpy(), ref=matrix, **options)
    del later
    told: dict[str, Any] = {}
    xgboost.train(
        {
            **model.parameters,
            "objective": "binary:logistic",
            "eval_metric": "logloss",
            "tree_method": "hist",
            "base_score": positive_share,
            "nthread": THREADS,
            "seed": SEED,
        },
        matrix,
        model.rounds,
        evals=[(matrix, "train"), (watched, "validation")],
        evals_result=told,
        verbose_eval=False,
        callbacks=[EarlyStopping(rounds=model.rounds, data_name="validation", save_best=True)],
    )
    return {**cost(meter), "loss": min(told["validation"]["logloss"])}


def pipeline(model: Model, data: Path) -> dict[str, Any]:
    """`fit`, with files in a folder beside the data as scratch."""
    from dsp_pipeline.training import boost
    from dsp_pipeline.training.fit import Rows, fit

    rows = Rows(
        lambda: _batches(data / "train.parquet", model.columns),
        lambda: _batches(data / "validation.parquet", model.columns),
        lambda: _batches(data / "holdout.parquet", None),
        ("row_id",),
    )
    scratch = data / "scratch"
    shutil.rmtree(scratch, ignore_errors=True)
    meter, grown = Meter(), {}

    def grow(soil: boost.Soil, folder: Path, progress: Any) -> boost.Grown:
        found = boost.grow(soil, folder, progress)
        grown.update(cost(meter))
        return found

    fitted = fit(model, rows, threads=THREADS, seed=SEED, scratch=scratch, grow=grow)
    shutil.rmtree(scratch)
    loss = min(point["validation_log_loss"] for point in fitted.report["curve"])
    return {**cost(meter), "grown": grown, "loss": loss}


CONTENDERS: dict[str, Callable[[Model, Path], dict[str, Any]]] = {"bare": bare, "pipeline": pipeline}


def _types() -> list[str]:
    return ["float"] * len(NUMBERS) + ["c"] * len(CATEGORIES)


def _batches(path: Path, columns: Sequence[str] | None) -> Iterator[pa.RecordBatch]:
    with pq.ParquetFile(path, pre_buffer=False) as file:  # else pyarrow holds what it has read to the end
        yield from file.iter_batches(BATCH_ROWS, columns=columns)


if __name__ == "__main__":
    main()
