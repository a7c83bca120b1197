"""What a model is: the table that it learns from, the label, the features and the trees. One file each in `models/`.

    \"\"\"click_rate: the probability that an impression is clicked within 24 hours.\"\"\"

    from dsp_pipeline.training.model import Model, category, number

    model = Model(
        table="click_rate",
        label="clicked",
        features=(number("campaign_click_rate_7d"), category("exchange_code")),
        parameters={"max_depth": 6, "eta": 0.1},
        rounds=120,
    )

Reading a model file is cheap: neither XGBoost nor scikit-learn is imported, as it happens whenever tasks are planned.
"""

from __future__ import annotations

import re
import runpy
import traceback
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import MappingProxyType
from typing import Any

from dsp_pipeline.errors import ModelError, UnknownNameError
from dsp_pipeline.training.parameters import Value, canonical, parameter_problem, rounds_problem

NUMBER, CATEGORY = "number", "category"
MAX_CATEGORY = 65_535
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")


class _WrongValueError(ValueError):
    """A wrong value in a model file; `load_model` adds file and line."""


@dataclass(frozen=True)
class Feature:
    """A column of the feature table. `kind` says how the trees split it: by order, or by sets of codes."""

    name: str
    kind: str

    def __post_init__(self) -> None:
        if not isinstance(self.name, str) or not _NAME.fullmatch(self.name):
            raise _WrongValueError(f"a feature is named {self.name!r}; give the name of a column of the table.")
        if self.kind not in (NUMBER, CATEGORY):
            raise _WrongValueError(f"feature {self.name} is of kind {self.kind!r}; use number(...) or category(...).")


def number(name: str) -> Feature:
    """A numeric column, null where unknown: trees split it by order and learn where unknown values go."""
    return Feature(name, NUMBER)


def category(name: str) -> Feature:
    """A column of whole codes from 0 to 65535 whose order means nothing, null where unknown."""
    return Feature(name, CATEGORY)


@dataclass(frozen=True)
class Model:
    """A model as its team describes it; `load_model` fills in `name` and `file`.

    `parameters` are XGBoost's, under one name each (`learning_rate` becomes `eta`); `rounds` is the number of trees.
    `compatible_with` (`OLD = NEW`) keeps what was trained after a change that makes the same model: docs/versions.md.
    """

    table: str
    label: str
    features: tuple[Feature, ...]
    parameters: Mapping[str, Value] = field(default_factory=dict)
    rounds: int = 100
    compatible_with: str = ""
    name: str = ""
    file: Path = Path()

    def __post_init__(self) -> None:
        for key, value, what in (("table", self.table, "a SQL file of features/"), ("label", self.label, "a column")):
            if not isinstance(value, str) or not _NAME.fullmatch(value):
                raise _WrongValueError(f"`{key}` is {value!r}; give the name of {what}.")
        if not isinstance(self.compatible_with, str):
            raise _WrongValueError(f'`compatible_with` is {self.compatible_with!r}; write "OLD = NEW".')
        self._check_features()
        if not isinstance(self.parameters, Mapping):
            raise _WrongValueError(f"`parameters` is {self.parameters!r}; it is a mapping of names to values.")
        problems = [parameter_problem(name, value) for name, value in self.parameters.items()]
        for problem in [*problems, rounds_problem(self.rounds)]:
            if problem:
                raise _WrongValueError(problem)
        parameters = {canonical(name): value for name, value in self.parameters.items()}
        if len(parameters) < len(self.parameters):
            raise _WrongValueError("`parameters` gives one parameter under two names; keep one of them.")
        object.__setattr__(self, "features", tuple(self.features))
        object.__setattr__(self, "parameters", MappingProxyType(parameters))

    def _check_features(self) -> None:
        if not isinstance(self.features, (tuple, list)) or not self.features:
            raise _WrongValueError("`features` is empty; list at least one number(...) or category(...).")
        seen: set[str] = set()
        for feature in self.features:
            if not isinstance(feature, Feature):
                raise _WrongValueError(f"`features` holds {feature!r}; wrap the name in number(...) or category(...).")
            if feature.name in seen:
                raise _WrongValueError(f"feature {feature.name} stands twice; remove one.")
            if feature.name == self.label:
                raise _WrongValueError(f"{feature.name} is the label; a model that reads its label learns nothing.")
            seen.add(feature.name)

    @property
    def columns(self) -> tuple[str, ...]:
        """The columns to read: the label, then the features in their order."""
        return (self.label, *(feature.name for feature in self.features))

    def contract(self, table_version: str) -> dict[str, Any]:
        """What a scorer must hand in, as plain values for a bundle's features.json."""
        return {
            "label": self.label,
            "table": self.table,
            "table_version": table_version,
            "features": [{"name": feature.name, "type": feature.kind, "missing": "null"} for feature in self.features],
        }


def find_models(folder: Path) -> list[str]:
    """The names of the model files in the folder, in order."""
    return sorted(path.stem for path in folder.glob("*.py") if not path.name.startswith(("_", ".")))


def load_model(folder: Path, name: str) -> Model:
    """Run `<folder>/<name>.py` and take its `model`.

    UnknownNameError if there is no such file; ModelError, with file and line, if it cannot be run or is wrong.
    """
    names = find_models(folder)
    if name not in names:
        raise UnknownNameError("model", name, names)
    path = folder / f"{name}.py"
    try:
        found = runpy.run_path(str(path), run_name=f"models.{name}").get("model")
    except SyntaxError as error:
        raise ModelError(path, error.lineno, f"not Python: {error.msg}.") from error
    except _WrongValueError as error:
        raise ModelError(path, _line_of(error, path), str(error)) from None
    except Exception as error:
        told = f"{type(error).__name__}: {error}"
        raise ModelError(path, _line_of(error, path), f"the file cannot be run ({told}).") from error
    if not isinstance(found, Model):
        problem = "there is no `model`" if found is None else f"`model` is {found!r}"
        raise ModelError(path, None, f"{problem}; write `model = Model(...)`.")
    return replace(found, name=name, file=path)


def _line_of(error: BaseException, path: Path) -> int | None:
    """The last line of the file that ran before the error."""
    frames = traceback.extract_tb(error.__traceback__)
    return next((frame.lineno for frame in reversed(frames) if frame.filename == str(path)), None)
