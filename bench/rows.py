"""Rows to train on: 34 numbers and 6 small categories, 2 % clicks that depend on them, in Parquet files."""

from __future__ import annotations

from itertools import chain
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

DATA = Path(".cache/bench")
NUMBERS = [f"n{place:02}" for place in range(34)]
CATEGORIES = {f"c{place:02}": codes for place, codes in enumerate((3, 5, 7, 24, 100, 250))}
PARTS = {"train": 1.0, "validation": 0.25, "holdout": 0.25}  # of the rows that are trained on
_CHUNK = 100_000
_ROW_GROUP = 50_000  # a reader holds a whole one: the smallest held-out day must fill it too, or memory seems to grow


def folder(rows: int) -> Path:
    """With `train.parquet`, of so many rows, `validation.parquet` and `holdout.parquet`; made if it is not there."""
    made = DATA / str(rows)
    made.mkdir(parents=True, exist_ok=True)
    for seed, (part, share) in enumerate(PARTS.items()):
        path, aside = made / f"{part}.parquet", made / f"{part}.aside"
        if not path.exists():
            _write(aside, round(rows * share), seed)
            aside.rename(path)
    return made


def _write(path: Path, rows: int, seed: int) -> None:
    random, effects = np.random.default_rng(seed), np.random.default_rng(99)
    effect = {name: effects.normal(0, 0.35, codes) for name, codes in CATEGORIES.items()}
    chunks = (_chunk(random, effect, start, min(_CHUNK, rows - start)) for start in range(0, rows, _CHUNK))
    first = next(chunks)
    with pq.ParquetWriter(path, first.schema, compression="zstd") as writer:
        for chunk in chain([first], chunks):
            writer.write_table(chunk, _ROW_GROUP)


def _chunk(random: np.random.Generator, effect: dict[str, NDArray[np.float64]], start: int, rows: int) -> pa.Table:
    """Types are those of a warehouse: DOUBLE, INT64, BOOL; a tenth of six numbers is null."""
    numbers = [random.normal(size=rows) if place % 3 else random.gamma(1.5, 2, rows) for place in range(len(NUMBERS))]
    codes = {name: (many * random.random(rows) ** 2).astype(np.int64) for name, many in CATEGORIES.items()}
    margin = -4.4 + sum(effect[name][code] for name, code in codes.items())
    margin += 0.35 * numbers[1] - 0.3 * numbers[2] + 0.4 * numbers[4] * (numbers[5] > 0) + 0.3 * np.log1p(numbers[3])
    known = [pa.array(one, mask=random.random(rows) < 0.1 if place > 27 else None) for place, one in enumerate(numbers)]
    return pa.table(
        {
            "row_id": np.arange(start, start + rows),
            "clicked": random.random(rows) < 1 / (1 + np.exp(-margin)),
            **dict(zip(NUMBERS, known, strict=True)),
            **codes,
        }
    )
