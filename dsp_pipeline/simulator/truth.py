"""The true probabilities: written beside the logs for whoever judges a model, and read by no task."""

from __future__ import annotations

from datetime import date, timedelta
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from dsp_pipeline.errors import UnknownNameError
from dsp_pipeline.simulator import logs
from dsp_pipeline.simulator.files import OF_BIDS, OF_IMPRESSIONS
from dsp_pipeline.simulator.market import Levels, win_probability
from dsp_pipeline.simulator.parameters import Simulation
from dsp_pipeline.simulator.text import Matrix, fixed, hexadecimal
from dsp_pipeline.simulator.traffic import BID, Chunk, conversions_within, identifiers
from dsp_pipeline.simulator.world import World

ATTRIBUTED_DAYS = 3  # within which a conversion counts for the model conversion_rate

IMPRESSIONS = pa.schema(
    [
        pa.field("impression_id", pa.string(), nullable=False),
        pa.field("click_probability", pa.float64(), nullable=False),
        pa.field("conversion_probability", pa.float64(), nullable=False),  # of a click and a conversion after it
    ]
)
BIDS = pa.schema(
    [
        pa.field("bid_id", pa.string(), nullable=False),
        pa.field("win_probability", pa.float64(), nullable=False),
    ]
)


def of_impressions(simulation: Simulation, chunk: Chunk) -> pa.Table:
    """A row for each impression of the chunk."""
    columns = [_text(logs.impression_ids(simulation, chunk)), chunk.click_probability, chunk.conversion_probability]
    return pa.table(columns, schema=IMPRESSIONS)


def of_bids(simulation: Simulation, world: World, levels: Levels, chunk: Chunk) -> pa.Table:
    """A row for each bid of the chunk."""
    ids = hexadecimal(identifiers(simulation, chunk, BID, np.arange(len(chunk.bid_ms))))
    probability = win_probability(world, levels, chunk.requests.placement, chunk.bid_fen)
    return pa.table([_text(ids), probability], schema=BIDS)


def known(out: Path, model: str, day: date) -> tuple[str, pa.Table]:
    """What the simulator knows of what a shipped model predicts: the column that names a row, and a table of it and
    `probability` for a day of the folder `out`.

    Of a conversion it is that after a click, within the attribution window. Clicks of a day are also on impressions of
    the day before, so those are in the table too.
    """
    if model == "win_rate":
        bids = pq.read_table(out / OF_BIDS / day.isoformat(), schema=BIDS)
        return "bid_id", bids.rename_columns(["bid_id", "probability"])
    days = [day - timedelta(days=1), day] if model == "conversion_rate" else [day]
    folders = [out / OF_IMPRESSIONS / one.isoformat() for one in days]
    shown = pa.concat_tables(pq.read_table(folder, schema=IMPRESSIONS) for folder in folders if folder.exists())
    probability = shown["click_probability"]
    if model == "conversion_rate":
        after_click = pc.divide(shown["conversion_probability"], probability)
        probability = pc.multiply(after_click, conversions_within(ATTRIBUTED_DAYS))
    elif model != "click_rate":
        raise UnknownNameError("model whose truth is known", model, ["click_rate", "conversion_rate", "win_rate"])
    return "impression_id", pa.table({"impression_id": shown["impression_id"], "probability": probability})


def _text(ids: Matrix) -> pa.StringArray:
    return fixed(len(ids), ids).cast(pa.string())
