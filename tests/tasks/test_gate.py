"""What may be served: every gate refuses something, says why, and leaves the pointer where it is."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from dsp_pipeline.errors import BundleError, TrainingError
from dsp_pipeline.registry.decisions import Decision, kept
from dsp_pipeline.registry.decisions_page import decisions_page
from tasks.export_model import ExportModel
from tasks.settings import platform
from tasks.train_model import TrainModel
from tests.console.lake import build, copied, edited, inside, lake_of
from tests.e2e.folder import DAY, Folder

EXPERIMENT = "experiments/click_rate_baseline.yaml"
CONTROL = {"experiment": "click_rate_baseline", "arm": "control", "date": DAY}


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Folder:
    """Three days of impressions, with enough clicks to tell models apart, and the models of the second."""
    return lake_of(tmp_path_factory.mktemp("gate"), impressions_per_day=4_000)


@pytest.fixture
def folder(made: Folder, tmp_path: Path) -> Folder:
    return copied(made, tmp_path)


def decisions() -> list[Decision]:
    one = platform()
    return kept(one.store, one.settings.environment, "click_rate")


def pointer() -> str:
    found = platform().registry.resolve("local", "click_rate")
    assert found is not None
    return found.address


def export() -> ExportModel:
    return ExportModel(**{**CONTROL, "date": ExportModel.date.parse(DAY)})


def report() -> dict[str, Any]:
    receipt = TrainModel(**{**CONTROL, "date": TrainModel.date.parse(DAY)}).receipt()
    assert receipt is not None
    with platform().outputs.open(receipt, "metrics.json") as stream:
        found: dict[str, Any] = json.load(stream)
    return found


def test_the_first_model_is_judged_against_its_baseline_and_served(made: Folder) -> None:
    """The decision is kept with its numbers, and names the bundle that bidders load."""
    with inside(made):
        (decision,) = decisions()
        assert (decision.kind, decision.accepted, decision.champion) == ("first", True, None)
        assert decision.numbers["bundle"] == pointer()
        assert decision.numbers["judged_on"] == [DAY]
        assert set(decision.numbers["against"]) == {"baseline", "base_rate", "champion"}


def test_a_challenger_that_is_not_better_beyond_noise_is_not_served(folder: Folder) -> None:
    """It is judged on the champion's rows, decided about once, and complete: the next run has nothing to do."""
    edited(folder, EXPERIMENT, "control: {rounds: 5}", "control: {rounds: 5, min_child_weight: 0.1, lambda: 1}")
    with inside(folder):
        before = pointer()
        task = export()
        build(task)
        newest, first = decisions()
        assert (newest.kind, newest.accepted, newest.champion) == ("challenger", False, first.candidate)
        assert newest.numbers["against"]["champion"]["rows"] == newest.numbers["rows"] > 200
        assert newest.numbers["moves"]["rows"] > 1_000
        assert newest.numbers["moves"]["features"][0]["moved"] > 0
        page = decisions_page([newest, first])
        assert newest.numbers["moves"]["features"][0]["feature"] in page
        assert pointer() == before != task.receipt().details["bundle"]  # type: ignore[union-attr]
        assert task.complete()
        build(task)
        assert len(decisions()) == 2


def test_a_bundle_that_is_too_slow_or_too_large_is_not_published(folder: Folder) -> None:
    """The sentence says what was measured, the limit and the cure."""
    edited(folder, EXPERIMENT, "control: {rounds: 5}", "control: {rounds: 4}")
    path = folder.path / "package" / EXPERIMENT
    whole = path.read_text()
    for limit, told in (
        ("max_microseconds: 0.001", "microseconds a row and the experiment's budget says max_microseconds: 0.001"),
        ("max_megabytes: 0.001", "MB and the experiment's budget says max_megabytes: 0.001"),
    ):
        path.write_text(f"{whole}budget: {{{limit}}}\n")
        with inside(folder):
            before = pointer()
            with pytest.raises(BundleError, match=told):
                build(export())
            assert pointer() == before
            assert export().receipt() is None


def test_a_wrong_bound_names_its_line_before_anything_runs(folder: Folder) -> None:
    """Of the gate and of the budget."""
    path = folder.path / "package" / EXPERIMENT
    whole = path.read_text()
    for block, told in (
        ("gate: {calibration: 2}", r"yaml:7: `calibration` is 2"),
        ("budget: {max_megabyte: 1}", r"yaml:7: unknown key 'max_megabyte': did you mean max_megabytes"),
        ("leaks: stop", r"yaml:7: `leaks` is 'stop'; it is warn or fail"),
        ("engine: spark", r"yaml:7: `engine` is 'spark'; it is local or dask"),
    ):
        path.write_text(f"{whole}{block}\n")
        with inside(folder), pytest.raises(Exception, match=told):
            export()


def leaking(folder: Folder) -> None:
    """The team's table tells the model how many clicks the impression will have."""
    edited(
        folder,
        "features/click_rate.sql",
        "AS user_impressions_1d",
        "AS user_impressions_1d,\n  IF(clicked_impression.first_clicked_at IS NULL, 0, 1) AS clicks_so_far",
    )
    edited(
        folder,
        "models/click_rate.py",
        'number("user_impressions_1d"),',
        'number("user_impressions_1d"),\n        number("clicks_so_far"),',
    )


def test_a_feature_that_knows_the_future_is_reported(folder: Folder) -> None:
    """By its own AUC, and because it differs when later partitions are taken away."""
    leaking(folder)
    with inside(folder):
        task = TrainModel(**{**CONTROL, "date": TrainModel.date.parse(DAY)})
        build(task)
        found = report()["leaks"]
        assert {leak["feature"] for leak in found} == {"clicks_so_far"}
        assert {"auc", "future"} <= {leak["kind"] for leak in found}


def test_a_leak_stops_the_training_where_the_experiment_says_so(folder: Folder) -> None:
    """The sentence names the feature and the cure; nothing is left."""
    leaking(folder)
    path = folder.path / "package" / EXPERIMENT
    path.write_text(path.read_text() + "leaks: fail\n")
    with inside(folder):
        task = TrainModel(**{**CONTROL, "date": TrainModel.date.parse(DAY)})
        with pytest.raises(TrainingError, match=r"clicks_so_far .* Leave the feature out of click_rate\.py"):
            build(task)
        assert task.receipt() is None
