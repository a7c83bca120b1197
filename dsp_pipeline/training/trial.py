"""One arm of an experiment with the model and the table that it trains on."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dsp_pipeline.code import deciding_versions, reached
from dsp_pipeline.errors import ModelError, SettingsError, TrainingError, UnknownNameError
from dsp_pipeline.fingerprint import Version, compatible
from dsp_pipeline.training.experiment import DASK, FAIL, Arm, Experiment
from dsp_pipeline.training.model import Model
from dsp_pipeline.training.parameters import RECIPE
from dsp_pipeline.warehouse.base import Slice, Table
from dsp_pipeline.warehouse.sampling import Sampling

if TYPE_CHECKING:
    from dsp_pipeline.training.fit import Fitted

SEED = 1
_PROJECT = Path(__file__).parents[2]
_FIT = Path(__file__).with_name("fit.py")
_DASK = Path(__file__).with_name("dask_boost.py")


@dataclass(frozen=True)
class Days:
    """Which day is for what: the trees learn from `train`, are stopped and calibrated on `validation`, a later day, and
    judged on `holdout`, a later day still. Without a second day before the held-out one there is no validation."""

    train: tuple[date, ...]
    validation: date | None
    holdout: date

    @classmethod
    def of(cls, before: Sequence[date], holdout: date) -> Days:
        """`before` are the days that may be learned from, at least one, in order."""
        return cls(tuple(before[:-1]), before[-1], holdout) if len(before) > 1 else cls(tuple(before), None, holdout)

    @property
    def all(self) -> tuple[date, ...]:
        return (*self.train, *filter(None, [self.validation]), self.holdout)


@dataclass(frozen=True)
class Trial:
    """What TrainModel fits. ModelError if the model wants a column that the table's query does not give, or its key.

    `model` is the experiment's with the arm's changes in it. `first_date` is the first day of logs, at which the days
    to train on are cut.
    """

    experiment: Experiment
    arm: Arm
    model: Model
    table: Table
    first_date: date

    def __post_init__(self) -> None:
        given = getattr(self.table.definition, "columns", ())
        for column in (*self.model.columns, *self.model.judged_by):
            if column not in given:
                raise self._problem(column, str(UnknownNameError(f"column of {self.table.name}.sql", column, given)))
        for feature in self.model.features:
            if self.table.key == (feature.name,):
                problem = f"feature {feature.name} is the key of {self.table.name}, and no later row has the same value"
                raise self._problem(feature.name, f"{problem}; remove it.")

    def _problem(self, column: str, text: str) -> ModelError:
        """An error on the line of the model's file that names the column."""
        lines = self.model.file.read_text(encoding="utf-8").splitlines()
        named = (number for number, line in enumerate(lines, 1) if f'"{column}"' in line or f"'{column}'" in line)
        return ModelError(self.model.file, next(named, None), text)

    @cached_property
    def version(self) -> Version:
        """All that decides what is learned from given rows; comments and layout do not count.

        ModelError if the model file's `compatible_with` is wrong; SettingsError if a library is not installed.
        """
        file, experiment = self.model.file, self.experiment.file
        code = reached([(file, None), (_FIT, "fit")], (file.parents[2], _PROJECT))
        try:
            counts = compatible(code.fingerprint, self.model.compatible_with)
        except ValueError as error:
            raise ModelError(file, None, str(error)) from None
        libraries = deciding_versions(code.packages)
        if "xgboost" not in libraries:
            raise SettingsError("xgboost is not installed; install this project with its extra `train` (or `gpu`).")
        parts = {
            "code": counts,
            f"reads {self.table.name}": self.table.version,
            "parameters": json.dumps(dict(self.model.parameters), sort_keys=True),
            **{name: str(getattr(self.model, name)) for name in RECIPE},
            "engine": self._engine(),
            "train_days": str(self.experiment.train_days),
            "first_date": str(self.first_date),
            "seed": str(SEED),
            **libraries,
        }
        texts = {
            f"models/{file.name}": file.read_text(encoding="utf-8"),
            f"experiments/{experiment.name}": experiment.read_text(encoding="utf-8"),
        }
        return Version(f"model/{self.experiment.name}/{self.arm.name}", parts, texts, self.model.compatible_with)

    def _engine(self) -> str:
        """With the code that uses a cluster, which `fit` does not reach by itself."""
        engine = self.experiment.engine
        return f"{engine} {reached([(_DASK, 'grow')], [_PROJECT]).fingerprint}" if engine == DASK else engine

    @property
    def sampling(self) -> Sampling | None:
        """Which rows are read to train on; None if all are."""
        share = self.model.negative_share
        return Sampling(share, self.table.key, always=self.model.label) if share < 1 else None

    def slice(self, days: Iterable[date]) -> Slice:
        """These days of the table."""
        return Slice(self.table, tuple(day.isoformat() for day in days))

    @property
    def judged_columns(self) -> tuple[str, ...]:
        """The columns that are read of the held-out day, each once."""
        return tuple(dict.fromkeys((*self.table.key, *self.model.columns, *self.model.judged_by)))

    def contract(self, fitted: Fitted) -> dict[str, Any]:
        """What a scorer must hand in and do with the margin, as plain values for a bundle's features.json."""
        return {
            "label": self.model.label,
            "table": self.table.name,
            "table_version": self.table.version,
            "features": fitted.encoder.contract(),
            "calibration": fitted.calibration.as_dict(),
        }

    def report(self, fitted: Fitted, days: Days) -> dict[str, Any]:
        """What is known of the model: a bundle's metrics.json."""
        report = {
            "model": {
                "name": self.model.name,
                "experiment": self.experiment.name,
                "arm": self.arm.name,
                "version": self.version.name,
                "date": days.holdout.isoformat(),
                "label": self.model.label,
                "table": self.table.name,
                "table_version": self.table.version,
            },
            "engine": self.experiment.engine,
            "libraries": deciding_versions({"xgboost", "sklearn", "numpy"}),
            **fitted.report,
        }
        for part, used in (("train", days.train), ("validation", [days.validation]), ("holdout", [days.holdout])):
            if report["data"][part] is not None:
                report["data"][part]["days"] = [str(day) for day in used]
        return report

    def refuse_leaks(self, leaks: Sequence[Mapping[str, Any]]) -> None:
        """TrainingError if the experiment says so and a feature knows more than can be."""
        if leaks and self.experiment.leaks == FAIL:
            raise TrainingError(
                f"{leaks[0]['message']} Leave the feature out of {self.model.file.name}, or write `leaks: warn` in "
                f"{self.experiment.file.name} if it is right."
            )
