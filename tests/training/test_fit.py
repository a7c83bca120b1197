"""Fitting: what is learned, that it is the same each time, and what is refused."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from numpy.typing import NDArray

from dsp_pipeline.errors import TrainingError
from dsp_pipeline.training import pages
from dsp_pipeline.training.boost import margins
from dsp_pipeline.training.fit import Fitted, Rows, fit
from dsp_pipeline.training.metrics import measure
from dsp_pipeline.training.model import Model, category, number

from .rows import MODEL, fit_rows, make_rows, metrics

TRAIN, HOLDOUT, VALIDATION = make_rows(20_000, seed=1), make_rows(8_000, seed=2), make_rows(8_000, seed=3)


def _score(fitted: Fitted, rows: pa.RecordBatch) -> NDArray[np.float64]:
    return fitted.calibration.apply(margins(fitted.booster, fitted.encoder.encode(rows)))


@pytest.fixture(scope="module")
def fitted(tmp_path_factory: pytest.TempPathFactory) -> Fitted:
    return fit_rows(tmp_path_factory.mktemp("scratch"), TRAIN, HOLDOUT)


def test_a_model_knows_more_than_the_base_rate_and_less_than_the_truth(fitted: Fitted) -> None:
    """Held-out log loss lies between that of the base rate and that of the true probabilities."""
    labels = HOLDOUT["clicked"].cast(pa.uint8()).to_numpy()
    truth = measure(labels, HOLDOUT["truth"].to_numpy().astype(np.float32))
    found = metrics(fitted)
    assert truth.log_loss < found.log_loss < found.base_rate_log_loss
    assert found.normalised_entropy is not None and found.normalised_entropy < 0.95
    assert truth.auc is not None and found.auc is not None and found.auc > truth.auc - 0.03


def test_predictions_are_calibrated(fitted: Fitted) -> None:
    """The sum of predictions is the number of clicks, within what 8000 rows can tell."""
    assert metrics(fitted).predicted_to_observed == pytest.approx(1, abs=0.1)


def test_the_curve_tells_the_loss_after_each_tree(fitted: Fitted) -> None:
    """Without a validation day there is no loss on it; training loss falls."""
    curve = fitted.report["curve"]
    assert [point["rounds"] for point in curve] == list(range(1, 21))
    assert {point["validation_log_loss"] for point in curve} == {None}
    assert curve[-1]["train_log_loss"] < curve[0]["train_log_loss"]


def test_trees_stop_when_a_later_day_gains_nothing_more(tmp_path: Path) -> None:
    """The booster ends at its best tree; the curve goes on to where it was stopped, and its loss is that of the day."""
    found = fit_rows(tmp_path, TRAIN, HOLDOUT, VALIDATION, rounds=500, early_stopping_rounds=5, calibration="none")
    trees, curve = found.report["trees"], found.report["curve"]
    assert trees + 5 == curve[-1]["rounds"] < 500
    matrix, labels = found.encoder.encode(VALIDATION), VALIDATION["clicked"].cast(pa.uint8()).to_numpy()
    told = measure(labels, found.calibration.apply(margins(found.booster, matrix)))
    assert told.log_loss == pytest.approx(min(point["validation_log_loss"] for point in curve), rel=0.002)


def test_sampled_negatives_leave_probabilities_right(tmp_path: Path) -> None:
    """A tenth of the rows without a click teach nearly the same, and the correction is exact on average."""
    kept = np.flatnonzero(
        (np.random.default_rng(0).random(TRAIN.num_rows) < 0.1) | TRAIN["clicked"].to_numpy(zero_copy_only=False)
    )
    found = fit_rows(tmp_path, TRAIN.take(pa.array(kept)), HOLDOUT, negative_share=0.1)
    assert found.calibration.offset == pytest.approx(np.log(0.1))
    assert metrics(found).predicted_to_observed == pytest.approx(1, abs=0.1)
    validated = fit_rows(tmp_path, TRAIN.take(pa.array(kept)), HOLDOUT, VALIDATION, negative_share=0.1)
    assert validated.report["curve"][-1]["validation_log_loss"] < metrics(found).base_rate_log_loss


def test_calibration_is_of_the_validation_day(tmp_path: Path) -> None:
    """Trees that learned from rows with twice the clicks are put right by a day that has as many as others."""
    clicked = TRAIN["clicked"].to_numpy(zero_copy_only=False)
    doubled = pa.Table.from_batches([TRAIN, TRAIN.filter(pa.array(clicked))]).combine_chunks().to_batches()[0]
    found = fit_rows(tmp_path, doubled, HOLDOUT, VALIDATION)
    assert metrics(found, "uncalibrated").predicted_to_observed == pytest.approx(1.9, abs=0.15)
    assert metrics(found).predicted_to_observed == pytest.approx(1, abs=0.1)


def test_weights_count_as_so_many_rows(tmp_path: Path) -> None:
    """A model of rows that weigh 3 where they are clicked predicts nearly three times as many clicks."""
    clicked = TRAIN["clicked"].to_numpy(zero_copy_only=False)
    weighted = TRAIN.append_column("heavy", pa.array(np.where(clicked, 3.0, 1.0)))
    even = HOLDOUT.append_column("heavy", pa.array(np.ones(HOLDOUT.num_rows)))
    found = fit_rows(tmp_path, weighted, even, weight="heavy")
    assert metrics(found).predicted_to_observed == pytest.approx(2.5, abs=0.2)


def test_words_are_learned_and_unknown_ones_are_missing(tmp_path: Path) -> None:
    """A category of texts gives the trees that its codes would give; a word that training has not met is like null."""
    words = np.array(["north", "east", "south", "west"])
    texts = [
        rows.set_column(4, "exchange_code", pa.array(words[rows["exchange_code"].to_numpy()]))
        for rows in (TRAIN, HOLDOUT)
    ]
    found = fit_rows(tmp_path, *texts)
    met = list(dict.fromkeys(texts[0]["exchange_code"].to_pylist()))
    assert found.encoder.contract()[2] == {"name": "exchange_code", "type": "category", "missing": "null", "words": met}
    assert metrics(found).auc == pytest.approx(metrics(fit_rows(tmp_path, TRAIN, HOLDOUT)).auc, abs=0.02)
    strange, absent = (make_rows(1, exchange_code=pa.array([word], pa.string())) for word in ("elsewhere", None))
    assert np.isnan(found.encoder.encode(strange)[0, 2]) and np.isnan(found.encoder.encode(absent)[0, 2])


def test_an_increasing_feature_never_lowers_the_score(tmp_path: Path) -> None:
    """Whatever the rows say."""
    model = replace(MODEL, features=(number("rate", increasing=True), number("noise", increasing=True)))
    found = fit_rows(tmp_path, TRAIN, HOLDOUT, model=model, rounds=50)
    ladder = np.stack([np.full(200, -3.0), np.linspace(0, 1, 200)], axis=1).astype(np.float32)
    assert (np.diff(margins(found.booster, ladder)) >= 0).all()
    free = fit_rows(
        tmp_path, TRAIN, HOLDOUT, model=replace(MODEL, features=(number("rate"), number("noise"))), rounds=50
    )
    assert (np.diff(margins(free.booster, ladder)) < 0).any()


def test_held_out_scores_are_kept_for_comparisons(tmp_path: Path) -> None:
    """A row each with its key, and with a unit where the model names one: the key where that is unknown."""
    units = pa.array(np.where(np.arange(HOLDOUT.num_rows) % 2, "somebody", None))
    found = fit_rows(
        tmp_path, TRAIN, HOLDOUT.append_column("user_id", units), rounds=2, unit="user_id", slices=("exchange_code",)
    )
    kept = pq.read_table(found.scores)
    assert kept["impression_id"].to_pylist() == HOLDOUT["impression_id"].to_pylist()
    assert kept["unit"].to_pylist()[:2] == [HOLDOUT["impression_id"][0].as_py(), "somebody"]
    assert kept["exchange_code"].to_pylist() == HOLDOUT["exchange_code"].to_pylist()
    again = found.calibration.apply(margins(found.booster, found.encoder.encode(HOLDOUT)))
    assert np.array_equal(kept["score"].to_numpy(), again)


def test_gain_names_the_features_that_matter(fitted: Fitted) -> None:
    """Shares sum to 1, and noise has the smallest."""
    gain = fitted.report["gain"]
    assert sum(gain.values()) == pytest.approx(1)
    assert min(gain, key=gain.__getitem__) == "noise"


def test_the_same_rows_give_the_same_bytes_whatever_the_batches(fitted: Fitted, tmp_path: Path) -> None:
    """Batches of another size, another run: the model file is equal, and so are golden rows and report."""
    again = fit_rows(tmp_path, TRAIN, HOLDOUT, size=777)
    assert again.model_bytes() == fitted.model_bytes()
    assert again.golden.equals(fitted.golden)
    assert again.report == fitted.report


def test_several_pages_give_a_model_as_good(fitted: Fitted, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Rows that do not fit one page are all learned from."""
    monkeypatch.setattr(pages, "PAGE_ROWS", 3_000)
    found = fit_rows(tmp_path, TRAIN, HOLDOUT)
    assert found.rows == 20_000
    assert metrics(found).log_loss == pytest.approx(metrics(fitted).log_loss, rel=0.01)


def test_scratch_is_empty_afterwards(tmp_path: Path) -> None:
    """Pages and XGBoost's cache are removed; the held-out rows' scores stay for who called."""
    found = fit_rows(tmp_path, TRAIN.slice(0, 2000), HOLDOUT, VALIDATION, rounds=2)
    assert list(tmp_path.iterdir()) == [found.scores]


def test_progress_is_told_after_each_tree_and_changes_nothing(tmp_path: Path) -> None:
    """The listener hears round, rounds and a log loss; the model is the same with and without it."""
    heard: list[tuple[int, int, float]] = []
    listened = fit_rows(tmp_path, TRAIN, HOLDOUT, rounds=3, progress=lambda *told: heard.append(told))
    assert [told[:2] for told in heard] == [(1, 3), (2, 3), (3, 3)]
    assert all(0 < told[2] < 1 for told in heard)
    assert listened.model_bytes() == fit_rows(tmp_path, TRAIN, HOLDOUT, rounds=3).model_bytes()


def test_the_source_is_read_once(tmp_path: Path) -> None:
    """A query that costs money is not sent again for each pass over the rows."""
    asked = []

    def train() -> Any:
        asked.append("train")
        return iter([TRAIN])

    rows = Rows(train, None, lambda: iter([HOLDOUT]), ("impression_id",))
    fit(replace(MODEL, rounds=2), rows, threads=2, seed=1, scratch=tmp_path)
    assert asked == ["train"]


def test_null_and_nan_are_both_missing_and_missing_is_learned_from(tmp_path: Path) -> None:
    """Where `rate` is missing only if clicked, a missing rate scores high, written as null or as NaN."""
    clicked = np.arange(2000) % 4 == 0
    rows = make_rows(2000, clicked=pa.array(clicked), rate=pa.array(np.ones(2000), mask=clicked))
    found = fit_rows(tmp_path, rows, rows)
    three = [pa.array(values, pa.float64()) for values in ([None], [float("nan")], [1.0])]
    scores = [_score(found, make_rows(1, rate=value))[0] for value in three]
    assert scores[0] == scores[1] > 0.9 > 0.1 > scores[2]


def test_before_the_first_tree_the_prediction_is_the_training_base_rate(tmp_path: Path) -> None:
    """Trees that may not split predict the share of clicks in the training rows, exactly calibrated on them."""
    found = fit_rows(tmp_path, TRAIN, TRAIN, parameters={"gamma": 1e9}, rounds=1)
    assert metrics(found).predicted_to_observed == pytest.approx(1, abs=1e-4)
    assert metrics(found).normalised_entropy == pytest.approx(1, abs=1e-5)


def test_golden_rows_are_held_out_rows_with_clicks_and_scores(fitted: Fitted) -> None:
    """50 clicked and 150 others, all from the held-out rows, scored by this model."""
    golden = fitted.golden
    assert golden.column_names == ["clicked", "rate", "noise", "exchange_code", "score"]
    assert golden["clicked"].to_pylist() == [True] * 50 + [False] * 150
    assert set(golden["noise"].to_pylist()) <= set(HOLDOUT["noise"].to_pylist())
    batch = golden.to_batches()[0]
    assert np.array_equal(_score(fitted, batch), golden["score"].to_numpy())


def test_held_out_rows_without_a_click_leave_metrics_undefined(tmp_path: Path) -> None:
    """AUC, normalised entropy and calibration are None, and the report is JSON without NaN."""
    import json

    quiet = make_rows(500, clicked=pa.array([False] * 500))
    found = fit_rows(tmp_path, TRAIN, quiet, rounds=2)
    told = metrics(found)
    assert (told.auc, told.normalised_entropy, told.predicted_to_observed) == (None,) * 3
    assert json.dumps(found.report, allow_nan=False)


NO_ROWS = TRAIN.slice(0, 0)
FEW = TRAIN.slice(0, 100)
REFUSED: list[tuple[dict[str, Any], str]] = [
    ({"train": NO_ROWS}, "click_rate has no training rows; look whether its days were built from empty logs."),
    ({"holdout": NO_ROWS}, "click_rate has no held-out rows"),
    ({"train": make_rows(9, clicked=pa.array([False] * 9))}, "none of the 9 training rows has clicked = 1"),
    ({"train": make_rows(9, clicked=pa.array([True] * 9))}, "none of the 9 training rows has clicked = 0"),
    ({"train": FEW.drop_columns(["noise"])}, "unknown feature column 'noise'"),
    ({"train": FEW.drop_columns(["clicked"])}, "unknown label column 'clicked': there are: exchange_code"),
    ({"train": make_rows(2, noise=pa.array(["a", "b"]))}, "feature noise is string; number(...) needs a numeric"),
    ({"train": make_rows(1, noise=pa.array([float("inf")]))}, "feature noise holds an infinite value"),
    ({"train": make_rows(1, exchange_code=pa.array([1.5]))}, "feature exchange_code is double; category(...)"),
    ({"train": make_rows(1, exchange_code=pa.array([-1]))}, "feature exchange_code holds code -1; codes are 0 to"),
    ({"train": make_rows(1, exchange_code=pa.array([70_000]))}, "feature exchange_code holds code 70000"),
    ({"train": make_rows(1, clicked=pa.array([0.5]))}, "label clicked is double; make it BOOL"),
    ({"train": make_rows(2, clicked=pa.array([1, 2]))}, "label clicked holds 2; it is 0 or 1."),
    ({"train": make_rows(2, clicked=pa.array([True, None]))}, "label clicked is null in 1 rows; leave such rows out"),
]


@pytest.mark.parametrize(("changes", "told"), REFUSED, ids=[told[:45] for _, told in REFUSED])
def test_rows_that_allow_no_model_are_refused(changes: dict[str, Any], told: str, tmp_path: Path) -> None:
    """The sentence names the column, what is wrong and the cure."""
    with pytest.raises(TrainingError) as caught:
        fit_rows(tmp_path, changes.get("train", TRAIN), changes.get("holdout", HOLDOUT), rounds=1)
    assert told in str(caught.value)
    assert list(tmp_path.iterdir()) == []


def test_whole_and_decimal_columns_are_numbers_and_an_integer_label_counts(tmp_path: Path) -> None:
    """What a warehouse may give for a number is taken; a label of 0 and 1 gives the model of False and True."""
    noise = pa.array(np.arange(2000) % 7)
    model = Model(table="t", label="clicked", features=(number("noise"), category("exchange_code")), rounds=3)
    as_bool = make_rows(2000, noise=noise)
    as_int = make_rows(2000, noise=noise.cast(pa.decimal128(38, 9)), clicked=as_bool["clicked"].cast(pa.int64()))
    one, two = (fit_rows(tmp_path, rows, rows, model=model).model_bytes() for rows in (as_bool, as_int))
    assert one == two
