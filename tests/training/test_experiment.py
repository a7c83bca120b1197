"""Experiment files: what is read from them and how a wrong one is told."""

from __future__ import annotations

from pathlib import Path

import pytest

from dsp_pipeline.errors import ExperimentError, UnknownNameError
from dsp_pipeline.training.experiment import Experiment, find_experiments, load_experiment
from dsp_pipeline.training.model import Model, number

GOOD = """# A first click model.
model: click_rate
train_days: 3
serve: control
arms:
  control: {}
  deeper: {max_depth: 8, learning_rate: 0.2, rounds: 5}
"""
MODEL = Model(table="t", label="y", features=(number("x"),), parameters={"eta": 0.1, "lambda": 2}, rounds=9)


def load(folder: Path, text: str) -> Experiment:
    for part in ("models", "experiments"):
        (folder / part).mkdir()
    (folder / "models" / "click_rate.py").write_text("")
    (folder / "experiments" / "baseline.yaml").write_text(text)
    return load_experiment(folder / "experiments", "baseline")


def test_an_experiment_is_read_with_its_arms(tmp_path: Path) -> None:
    """All that the file says, under one name for each parameter."""
    found = load(tmp_path, GOOD)
    assert (found.name, found.model, found.train_days, found.serve) == ("baseline", "click_rate", 3, "control")
    assert list(found.arms) == ["control", "deeper"]
    assert find_experiments(tmp_path / "experiments") == ["baseline"]


def test_an_arm_changes_only_what_it_names(tmp_path: Path) -> None:
    """The model's parameters stay where the arm has none; rounds may be changed too."""
    found = load(tmp_path, GOOD)
    assert found.arm("control").applied_to(MODEL) == MODEL
    deeper = found.arm("deeper").applied_to(MODEL)
    assert (deeper.parameters, deeper.rounds) == ({"eta": 0.2, "lambda": 2, "max_depth": 8}, 5)


def test_an_experiment_may_serve_no_arm(tmp_path: Path) -> None:
    """Arms are then exported without being served."""
    assert load(tmp_path, GOOD.replace("serve: control\n", "")).serve is None


def test_an_unknown_arm_or_experiment_tells_the_near_ones(tmp_path: Path) -> None:
    """Both are names that a command line may get wrong."""
    found = load(tmp_path, GOOD)
    with pytest.raises(UnknownNameError, match=r"unknown arm 'deper': did you mean deeper\?"):
        found.arm("deper")
    with pytest.raises(UnknownNameError, match=r"unknown experiment 'baselin': did you mean baseline\?"):
        load_experiment(tmp_path / "experiments", "baselin")


WRONG = [
    ("train_days", "trian_days", 3, "unknown key 'trian_days': did you mean train_days?"),
    ("model: click_rate\n", "", 2, "`model` is missing; it is the name of a file in models/."),
    ("model: click_rate", "model: click_rat", 2, "unknown model 'click_rat': did you mean click_rate?"),
    ("train_days: 3", "train_days: three", 3, "`train_days` is 'three'; it is a number of days, 1 to 365."),
    ("train_days: 3", "train_days: true", 3, "`train_days` is True; it is a number of days, 1 to 365."),
    ("train_days: 3", "train_days: 0", 3, "`train_days` is 0; it is a number of days, 1 to 365."),
    ("serve: control", "serve: contrl", 4, "unknown arm 'contrl': did you mean control?"),
    ("serve: control", "serve: [control]", 4, "`serve` is ['control']; it is the name of an arm."),
    ("control: {}\n", "control:\n", 6, "`control` is None; write {} or the parameters that it changes."),
    ("control: {}", "Con trol: {}", 6, "an arm is named 'Con trol'; use small letters, digits, _ and -."),
    ("max_depth: 8", "max_dept: 8", 7, "unknown parameter 'max_dept': did you mean max_depth"),
    ("max_depth: 8", "max_depth: deep", 7, "`max_depth` is 'deep'; it is a whole number from 1 to 16."),
    ("max_depth: 8", "nthread: 8", 7, "`nthread` cannot be chosen: it is a setting of the platform (threads)."),
    ("max_depth: 8", "eta: 0.1", 7, "`learning_rate` is another name of `eta`, which stands here too."),
    ("rounds: 5", "rounds: 5.5", 7, "`rounds` is 5.5; it is a whole number from 1 to 10000."),
    ("  deeper:", "  control:", 7, "`control` stands twice; it is on line 6 too."),
    ("rounds: 5}", "rounds: 5", 8, "not YAML:"),
]


@pytest.mark.parametrize(("old", "new", "line", "told"), WRONG, ids=[told[:40] for *_, told in WRONG])
def test_a_wrong_experiment_is_told_with_file_and_line(
    old: str, new: str, line: int, told: str, tmp_path: Path
) -> None:
    """The line is that of the key which is wrong."""
    assert GOOD.count(old) == 1
    with pytest.raises(ExperimentError) as caught:
        load(tmp_path, GOOD.replace(old, new))
    assert f"baseline.yaml:{line}: " in str(caught.value)
    assert told in str(caught.value)


def test_arms_that_are_empty_are_told(tmp_path: Path) -> None:
    """An experiment has at least one arm."""
    with pytest.raises(ExperimentError, match=r"baseline\.yaml:3: `arms` is empty; write `control: \{\}`"):
        load(tmp_path, "model: click_rate\ntrain_days: 1\narms: {}\n")
