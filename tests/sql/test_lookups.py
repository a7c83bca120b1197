"""What a bidder loads for a day was known when the day began."""

from __future__ import annotations

import pytest

from dsp_pipeline.events.schema import EVENTS
from dsp_pipeline.platform import PACKAGE
from dsp_pipeline.sql.catalog import Catalog
from dsp_pipeline.training.model import find_models, load_model

CATALOG = Catalog(PACKAGE / "features")
LOOKUPS = {
    name: [
        read.table
        for read in CATALOG.query(load_model(PACKAGE / "models", name).table).reads
        if read.table not in EVENTS and read.first == read.last == 0
    ]
    for name in find_models(PACKAGE / "models")
}


def newest(table: str) -> int:
    """The newest day, relative to its own, of which a table sees an event."""
    if table in EVENTS:
        return 0
    return max(read.last + newest(read.table) for read in CATALOG.query(table).reads)


@pytest.mark.parametrize("model", LOOKUPS)
def test_no_lookup_sees_its_own_day(model: str) -> None:
    """Through whatever it reads: else a bidder could not have it in time, and a model would learn what it will be."""
    assert LOOKUPS[model]
    assert {table: newest(table) for table in LOOKUPS[model]} == dict.fromkeys(LOOKUPS[model], -1)


@pytest.mark.parametrize("model", LOOKUPS)
def test_what_a_models_table_knows_of_other_days_is_in_its_lookups(model: str) -> None:
    """It reads no query's table at another day, so a request and the lookups are all that a bidder needs."""
    reads = CATALOG.query(load_model(PACKAGE / "models", model).table).reads
    assert {read.table for read in reads if read.table not in EVENTS} == set(LOOKUPS[model])
