"""One arm of an experiment with the model and the table that it trains on."""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import date
from functools import cached_property
from pathlib import Path

from dsp_pipeline.code import deciding_versions, reached
from dsp_pipeline.errors import ModelError, SettingsError
from dsp_pipeline.fingerprint import Version, compatible
from dsp_pipeline.training.experiment import Arm, Experiment
from dsp_pipeline.training.model import Model
from dsp_pipeline.training.parameters import Value
from dsp_pipeline.warehouse.base import Table

SEED = 1
_PROJECT = Path(__file__).parents[2]
_FIT = Path(__file__).with_name("fit.py")


@dataclass(frozen=True)
class Trial:
    """What TrainModel fits. ModelError if the model wants a column that the table's query does not give.

    `first_date` is the first day of logs, at which the days to train on are cut.
    """

    experiment: Experiment
    arm: Arm
    model: Model
    table: Table
    first_date: date

    def __post_init__(self) -> None:
        given = getattr(self.table.definition, "columns", ())
        missing = [column for column in self.model.columns if column not in given]
        if missing:
            raise ModelError(
                self.model.file, None, f"it reads {', '.join(missing)}, which {self.table.name}.sql does not give."
            )

    @property
    def parameters(self) -> dict[str, Value]:
        return self.arm.applied_to(self.model)[0]

    @property
    def rounds(self) -> int:
        return self.arm.applied_to(self.model)[1]

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
            "parameters": json.dumps(self.parameters, sort_keys=True),
            "rounds": str(self.rounds),
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
