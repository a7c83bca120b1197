"""What a model learned against what the simulator knows: its true click probabilities, which no task ever reads."""

from __future__ import annotations

import tempfile
from datetime import date
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from dsp_pipeline.platform import Platform
from dsp_pipeline.warehouse.base import Slice


def predicted_to_true(platform: Platform, model: str, day: date, truth: Path) -> float | None:
    """Mean predicted over mean true probability of the day's impressions; None if bidders load no such model."""
    pointer = platform.registry.resolve(platform.settings.environment, model)
    if pointer is None:
        return None
    trial = platform.trial(pointer.experiment, pointer.arm)
    with tempfile.TemporaryDirectory() as folder:
        bundle = platform.registry.fetch(pointer.address, Path(folder) / "bundle", pointer.manifest_sha256)
        known = pq.read_table(truth / day.isoformat(), columns=["impression_id", "click_probability"])
        predicted = true = 0.0
        columns = ["impression_id", *trial.model.columns]
        for batch in platform.warehouse.read(Slice(trial.table, (day.isoformat(),)), columns):
            place = pc.index_in(batch.column("impression_id"), known.column("impression_id").combine_chunks())
            true += pc.sum(known.column("click_probability").take(place)).as_py()
            predicted += float(bundle.score(pa.Table.from_batches([batch])).sum())
    return predicted / true
