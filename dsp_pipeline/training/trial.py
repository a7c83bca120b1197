"""One arm of an experiment with the model and the table that it trains on."""

from __future__ import annotations

import ast
import json
from dataclasses import dataclass
from functools import cached_property
from importlib.metadata import PackageNotFoundError, version

from dsp_pipeline.errors import ModelError, SettingsError
from dsp_pipeline.fingerprint import fingerprint
from dsp_pipeline.training.experiment import Arm, Experiment
from dsp_pipeline.training.model import Model
from dsp_pipeline.training.parameters import Value
from dsp_pipeline.warehouse.base import Table

SEED = 1


@dataclass(frozen=True)
class Trial:
    """What TrainModel fits. ModelError if the model wants a column that the table's query does not give."""

    experiment: Experiment
    arm: Arm
    model: Model
    table: Table

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
    def version(self) -> str:
        """A fingerprint of all that decides what is learned from given rows: comments and layout do not count."""
        return fingerprint(
            self.table.version,
            ast.unparse(ast.parse(self.model.file.read_text(encoding="utf-8"))),
            json.dumps(self.parameters, sort_keys=True),
            str(self.rounds),
            str(self.experiment.train_days),
            str(SEED),
            _xgboost_version(),
        )


def _xgboost_version() -> str:
    """Without importing it, which takes a second. SettingsError if it is not installed: the address needs it."""
    for package in ("xgboost-cpu", "xgboost"):
        try:
            return version(package)
        except PackageNotFoundError:
            continue
    raise SettingsError("xgboost is not installed; install this project with its extra `train` (or `gpu`).")
