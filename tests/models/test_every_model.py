"""Each model that is there is trained on the same simulated days, and must be as good as it was when it was recorded.

The days and the seed are fixed, so nothing but code, SQL, parameters and libraries can change what comes out: a change
that nobody meant shows here. The band is 1 % of the log loss and 2 % of predicted to observed: rewriting a query or a
newer XGBoost moves them by less, a feature that was lost or a calibration that went wrong by more. A model that became
better is outside of it as well: look, and record it anew with

    make test ARGS="tests/models" RECORD=1
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from datetime import date, timedelta
from functools import partial
from itertools import chain
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from dsp_pipeline.events.decode import Decoder
from dsp_pipeline.events.source import load_source
from dsp_pipeline.platform import PACKAGE
from dsp_pipeline.simulator import sample as simulated
from dsp_pipeline.simulator.sample import Sample, Span
from dsp_pipeline.sql.catalog import Catalog
from dsp_pipeline.training.fit import Fitted, Rows, fit
from dsp_pipeline.training.model import Model, find_models, load_model
from dsp_pipeline.training.trial import Days
from dsp_pipeline.warehouse.memory import Memory
from dsp_pipeline.warehouse.sampling import Sampling

RECORDED = Path(__file__).with_name("recorded.json")
MODELS = find_models(PACKAGE / "models")
HELD_OUT = date(2026, 11, 21)
BEFORE, AFTER = 4, 3  # days of the sample before the held-out one, and after it, for labels
TRAIN_DAYS = 3
IMPRESSIONS_PER_DAY = 6_000
BANDS = {"log_loss": 0.01, "predicted_to_observed": 0.02}


@pytest.fixture(scope="module")
def days(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sample]:
    """Simulated days, of which tables are answered."""
    folder = tmp_path_factory.mktemp("days")
    source = load_source(PACKAGE / "events" / "sources", "simulator")
    limits = {"memory_limit_mb": 500, "threads": 1}
    memory = Memory(**limits, spill=folder / "spill")
    span = Span(HELD_OUT - timedelta(days=BEFORE), HELD_OUT + timedelta(days=AFTER))
    scratch = folder / "sample"
    scratch.mkdir()
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(simulated, "IMPRESSIONS_PER_DAY", IMPRESSIONS_PER_DAY)
        yield Sample(source, Catalog(PACKAGE / "features"), span, Decoder(source, **limits), memory, scratch)
    memory.close()


def trained(model: Model, days: Sample, scratch: Path) -> Fitted:
    catalog = Catalog(PACKAGE / "features")
    assert catalog.days_after(model.table) <= AFTER, "the sample has too few days after the held-out one"
    split = Days.of([HELD_OUT - timedelta(days=back) for back in range(TRAIN_DAYS, 0, -1)], HELD_OUT)
    key = days.table(model.table).key
    wanted = list(dict.fromkeys((*key, *model.columns, *model.judged_by)))

    def rows(*of: date) -> Iterator[pa.RecordBatch]:
        return chain.from_iterable(days.answer(model.table, day).batches(wanted) for day in of)

    def train() -> Iterator[pa.RecordBatch]:
        sampling = Sampling(model.negative_share, key, always=model.label)
        return map(sampling.of, rows(*split.train)) if model.negative_share < 1 else rows(*split.train)

    assert split.validation is not None
    return fit(
        model,
        Rows(train, partial(rows, split.validation), partial(rows, split.holdout), key),
        threads=1,
        seed=1,
        scratch=scratch,
    )


@pytest.mark.parametrize("name", MODELS)
def test_a_model_is_as_good_as_recorded_and_the_same_each_time(name: str, days: Sample, tmp_path: Path) -> None:
    """Within a band of what was recorded; trained twice, it is equal to the byte, and so is all that is said of it."""
    model = load_model(PACKAGE / "models", name)
    first, second = (trained(model, days, tmp_path / attempt) for attempt in ("first", "second"))
    assert first.model_bytes() == second.model_bytes()
    assert first.report == second.report
    assert first.scores.read_bytes() == second.scores.read_bytes()
    found = {key: first.report["holdout"][key] for key in ("rows", "positives", *BANDS)}
    known: dict[str, Any] = json.loads(RECORDED.read_text())
    if os.environ.get("RECORD"):
        RECORDED.write_text(json.dumps(known | {name: found}, indent=1, sort_keys=True) + "\n")
        pytest.skip(f"skipped: {name} was recorded anew")
    assert name in known, f"{name} was never recorded: see the head of this file"
    assert (found["rows"], found["positives"]) == (known[name]["rows"], known[name]["positives"])
    for metric, band in BANDS.items():
        assert found[metric] == pytest.approx(known[name][metric], rel=band), metric


def test_nothing_is_recorded_of_models_that_are_gone() -> None:
    """The file says what there is."""
    assert sorted(json.loads(RECORDED.read_text())) == MODELS
