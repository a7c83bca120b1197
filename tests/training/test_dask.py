"""Training on a cluster: a real one of two processes, which listens on loopback only."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest

from dsp_pipeline.errors import SettingsError
from dsp_pipeline.training import pages
from dsp_pipeline.training.engine import grow_with
from dsp_pipeline.training.fit import Fitted
from dsp_pipeline.training.model import category, number

from .rows import fit_rows, make_rows, metrics

pytest.importorskip("distributed", reason="the extra `dask` is not installed")
pytest.importorskip("pandas", reason="the extra `dask` is not installed: XGBoost's Dask support imports pandas")

WORDS = np.array(["north", "east", "south", "west"])


def _rows(rows: int, seed: int) -> pa.RecordBatch:
    """With a category of texts, weights, and numbers of fewer values than XGBoost has bins."""
    made, random = make_rows(rows, seed), np.random.default_rng(seed)
    rate = np.round(made["rate"].to_numpy(zero_copy_only=False), 1)
    return make_rows(
        rows,
        seed,
        rate=pa.array(rate, mask=np.isnan(rate)),
        noise=pc.round(made["noise"], 2),
        side=pa.array(WORDS[made["exchange_code"].to_numpy()]),
        heavy=pa.array(random.choice([1.0, 2.0], rows)),
    )


TRAIN, HOLDOUT, VALIDATION = _rows(30_000, seed=1), _rows(8_000, seed=2), _rows(9_001, seed=3)
CHANGES: dict[str, Any] = {
    "features": (number("rate", increasing=True), number("noise"), category("side"), category("exchange_code")),
    "weight": "heavy",
    "negative_share": 0.5,
    "rounds": 100,
    "early_stopping_rounds": 5,
}


@pytest.fixture(scope="module")
def scheduler() -> Iterator[str]:
    from distributed import LocalCluster

    with LocalCluster(
        n_workers=2, threads_per_worker=1, processes=True, host="127.0.0.1", dashboard_address="127.0.0.1:0"
    ) as cluster:
        yield cluster.scheduler_address


def _fit(scratch: Path, scheduler: str | None, **options: Any) -> Fitted:
    if scheduler is not None:
        options["grow"] = grow_with("dask", scheduler)
    return fit_rows(scratch, TRAIN, HOLDOUT, VALIDATION, **CHANGES, **options)


def test_a_cluster_grows_the_model_that_one_machine_grows(
    scheduler: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With texts and codes, weights, sampled negatives, a feature that may only raise the score, a day that stops the
    trees, and pages that are no worker's share; twice the same to the byte."""
    monkeypatch.setattr(pages, "PAGE_ROWS", 7_000)
    told: list[tuple[int, int, float]] = []
    alone = _fit(tmp_path / "alone", None)
    found = _fit(tmp_path / "one", scheduler, progress=lambda *one: told.append(one))
    expected, scores = (pq.read_table(fitted.scores)["score"].to_numpy() for fitted in (alone, found))
    assert scores == pytest.approx(expected, rel=1e-3)
    curves = [[tuple(point.values()) for point in fitted.report["curve"]] for fitted in (alone, found)]
    assert curves[1] == [pytest.approx(point, rel=1e-4) for point in curves[0]]
    assert 1 < found.report["trees"] == alone.report["trees"] < 100
    assert told == [(rounds, 100, pytest.approx(loss)) for rounds, _, loss in curves[1]][: len(told)] != []
    assert _fit(tmp_path / "two", scheduler).model_bytes() == found.model_bytes()


def test_bins_that_workers_agree_on_make_a_model_as_good(scheduler: str, tmp_path: Path) -> None:
    """Of numbers of more values than there are bins: as many clicks, and log loss within half a percent."""
    train, holdout, validation = (make_rows(rows, seed) for seed, rows in ((4, 60_000), (5, 20_000), (6, 20_000)))
    alone, found = (
        metrics(fit_rows(tmp_path, train, holdout, validation, **options))
        for options in ({}, {"grow": grow_with("dask", scheduler)})
    )
    assert found.log_loss == pytest.approx(alone.log_loss, rel=5e-3)
    assert found.predicted_to_observed == pytest.approx(alone.predicted_to_observed, rel=5e-3)


def test_a_scheduler_that_does_not_answer_is_told_in_one_sentence(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With its address and the setting."""
    from dsp_pipeline.training import dask_boost

    monkeypatch.setattr(dask_boost, "_ANSWER_SECONDS", 0.2)
    with socket.socket() as taken:  # bound, and nobody listens
        taken.bind(("127.0.0.1", 0))
        address = f"tcp://127.0.0.1:{taken.getsockname()[1]}"
        with pytest.raises(
            SettingsError, match=rf"^no Dask scheduler answers at {address} .*\[dsp\] dask_scheduler\.$"
        ):
            _fit(tmp_path, address)


def test_an_engine_without_an_address_is_refused() -> None:
    """The sentence names the setting and the experiment's line."""
    with pytest.raises(
        SettingsError, match=r"^\[dsp\] dask_scheduler is not set, and an experiment says `engine: dask`"
    ):
        grow_with("dask", "")
    assert grow_with("local", "") is None
