"""The Arrow schema of an event."""

from __future__ import annotations

import pyarrow as pa

from dsp_pipeline.events.schema import Event

ARROW_TYPES = {
    "text": pa.string(),
    "integer": pa.int64(),
    "float": pa.float64(),
    "time": pa.timestamp("us", tz="UTC"),
    "texts": pa.list_(pa.string()),
    "floats": pa.list_(pa.float64()),
}


def arrow_schema(event: Event) -> pa.Schema:
    """One field a column, in the order of the schema; the key and the time are not nullable."""
    needed = {event.key, event.time} | event.required
    return pa.schema(
        [
            pa.field(column.name, ARROW_TYPES[column.type], nullable=column.name not in needed)
            for column in event.columns
        ]
    )
