"""A model's version: all that decides what is learned counts, and nothing else."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import date
from pathlib import Path
from types import MappingProxyType

import pytest

from dsp_pipeline.errors import ModelError
from dsp_pipeline.training.experiment import Arm, Experiment
from dsp_pipeline.training.model import Model, number
from dsp_pipeline.training.trial import Trial
from dsp_pipeline.warehouse.base import Table

MODEL = '''\
"""click_rate: a model of a test."""

from dsp_pipeline.models._shared import feature_of
from dsp_pipeline.training.model import Model

model = Model(table="click_rate", label="clicked", features=(feature_of("hour_of_day"),))
'''
SHARED = '''\
from dsp_pipeline.training.model import number

def feature_of(name):
    """What a name is."""
    return number(_trimmed(name))

def _trimmed(name):
    return name.strip()

def unused():
    return 1
'''


class Files:
    """A team's folder in which a model file, a helper beside it and an experiment stand."""

    def __init__(self, root: Path) -> None:
        self.package = root / "dsp_pipeline"
        (self.package / "models").mkdir(parents=True)
        (self.package / "experiments").mkdir()
        self.model = self.package / "models" / "click_rate.py"
        self.shared = self.package / "models" / "_shared.py"
        self.experiment = self.package / "experiments" / "first.yaml"
        self.model.write_text(MODEL)
        self.shared.write_text(SHARED)
        self.experiment.write_text("model: click_rate\n")

    def trial(self) -> Trial:
        """As the platform would make it, without running the model's file."""
        arms = {"control": Arm("control", MappingProxyType({}))}
        experiment = Experiment("first", self.experiment, "click_rate", 3, None, arms)
        model = Model("click_rate", "clicked", (number("hour_of_day"),), name="click_rate", file=self.model)
        table = Table("click_rate", "v1", _Columns())  # type: ignore[arg-type]  # only the columns are asked for
        return Trial(experiment, arms["control"], model, table, date(2026, 11, 17))


class _Columns:
    columns = ("clicked", "hour_of_day")
    key = ("impression_id",)


def edit(path: Path, old: str, new: str) -> None:
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new))


SAME: dict[str, Callable[[Files], None]] = {
    "a comment": lambda files: edit(files.model, "model = ", "# the model\nmodel = "),
    "a docstring": lambda files: edit(files.shared, "What a name is.", "The feature of a name."),
    "a function that it does not reach": lambda files: edit(files.shared, "return 1", "return 2"),
    "an unrelated file": lambda files: (files.package / "models" / "other.py").write_text("model = 1\n") and None,
    "a comment in the experiment": lambda files: edit(files.experiment, "model:", "# which?\nmodel:"),
}
NEW: dict[str, Callable[[Files], None]] = {
    "its own file": lambda files: edit(files.model, "hour_of_day", "day_of_week"),
    "a helper": lambda files: edit(files.shared, "number(_trimmed(name))", "number(name)"),
    "a helper of a helper": lambda files: edit(files.shared, "name.strip()", "name.lower()"),
}


@pytest.mark.parametrize("change", SAME)
def test_what_decides_nothing_leaves_the_version(tmp_path: Path, change: str) -> None:
    """What is trained is found again."""
    files = Files(tmp_path)
    before = files.trial().version
    SAME[change](files)
    assert files.trial().version == before


@pytest.mark.parametrize("change", NEW)
def test_code_that_the_model_reaches_is_part_of_the_version(tmp_path: Path, change: str) -> None:
    """However far away."""
    files = Files(tmp_path)
    before = files.trial().version
    NEW[change](files)
    after = files.trial().version
    assert after.name != before.name
    assert {part for part in after.parts if after.parts[part] != before.parts[part]} == {"code"}


def test_table_parameters_rounds_days_and_libraries_are_parts_of_the_version(tmp_path: Path) -> None:
    """Each under its name, so that a change can be told in words."""
    trial = Files(tmp_path).trial()
    changes = {
        "reads click_rate": replace(trial, table=replace(trial.table, version="v2")),
        "parameters": replace(trial, model=replace(trial.model, parameters={"eta": 0.3})),
        "rounds": replace(trial, model=replace(trial.model, rounds=7)),
        "early_stopping_rounds": replace(trial, model=replace(trial.model, early_stopping_rounds=7)),
        "negative_share": replace(trial, model=replace(trial.model, negative_share=0.5)),
        "engine": replace(trial, experiment=replace(trial.experiment, engine="dask")),
        "train_days": replace(trial, experiment=replace(trial.experiment, train_days=4)),
        "first_date": replace(trial, first_date=date(2026, 11, 18)),
    }
    before = trial.version
    for part, changed in changes.items():
        after = changed.version
        assert after.name != before.name
        assert {name for name in after.parts if after.parts[name] != before.parts[name]} == {part}
    assert set(before.parts) == {*changes, "code", "seed", "xgboost", "scikit-learn"}


def test_two_arms_of_one_content_have_one_version_each(tmp_path: Path) -> None:
    """The arm's name is in the address and not in the version."""
    trial = Files(tmp_path).trial()
    other = replace(trial, arm=Arm("other", MappingProxyType({})))
    assert other.version.name == trial.version.name
    assert other.version.of != trial.version.of


def test_a_declared_change_keeps_the_version_until_the_next_change(tmp_path: Path) -> None:
    """The declaration itself does not count; when it speaks of another content it is refused with the cure."""
    files = Files(tmp_path)
    before = files.trial().version
    NEW["a helper"](files)
    old, new = before.parts["code"], files.trial().version.parts["code"]
    declared = replace(files.trial().model, compatible_with=f"{old} = {new}")
    edit(files.model, ",))", f',), compatible_with="{old} = {new}")')
    after = replace(files.trial(), model=declared).version
    assert after.name == before.name
    assert after.compatible_with == f"{old} = {new}"
    NEW["its own file"](files)
    with pytest.raises(ModelError, match=rf"click_rate\.py: `compatible_with` speaks of {new}, and this is \w+ now"):
        replace(files.trial(), model=declared).version  # noqa: B018
    with pytest.raises(ModelError, match="write OLD = NEW"):
        replace(files.trial(), model=replace(declared, compatible_with="yes")).version  # noqa: B018
