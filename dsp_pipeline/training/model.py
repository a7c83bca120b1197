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

from dsp_pipeline.errors import ModelError, UnknownNameError
from dsp_pipeline.training.parameters import RECIPE, Value, canonical, parameter_problem

NUMBER, CATEGORY = "number", "category"
NONE, PLATT, ISOTONIC = "none", "platt", "isotonic"
MAX_CATEGORY = 65_535
MAX_WORDS = 1_000
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")


class _WrongValueError(ValueError):
    """A wrong value in a model file; `load_model` adds file and line."""


@dataclass(frozen=True)
class Feature:
    """A column of the feature table. `kind` says how the trees split it: by order, or by sets of codes or words.

    With `increasing` the score never falls when the number rises, all else equal.
    """

    name: str
    kind: str
    increasing: bool = False

    def __post_init__(self) -> None:
        if not isinstance(self.name, str) or not _NAME.fullmatch(self.name):
            raise _WrongValueError(f"a feature is named {self.name!r}; give the name of a column of the table.")
        if self.kind not in (NUMBER, CATEGORY):
            raise _WrongValueError(f"feature {self.name} is of kind {self.kind!r}; use number(...) or category(...).")


def number(name: str, *, increasing: bool = False) -> Feature:
    """A numeric column, null where unknown: trees split it by order and learn where unknown values go.

    With `increasing` a higher number never lowers the score, as a higher bid never wins less.
    """
    return Feature(name, NUMBER, increasing)


def category(name: str) -> Feature:
    """A column whose order means nothing, null where unknown: STRING, or whole codes from 0 to 65535.

    Of texts, training learns the words; one that it has not seen is unknown when it is scored.
    """
    return Feature(name, CATEGORY)


@dataclass(frozen=True)
class Model:
    """A model as its team describes it; `load_model` fills in `name` and `file`.

    `parameters` are XGBoost's, under one name each (`learning_rate` becomes `eta`). `rounds` is the most trees that it
    may have: it has fewer when `early_stopping_rounds` more did not help on the validation day (0: that is not asked).
    `negative_share` is the share of the rows without the label that is read to train on; the scores are corrected for
    it. `calibration` (platt, isotonic or none) is fitted on the validation day.
    `weight` names the column of a row's weight. By the values of the columns `slices` quality is told; rows with the
    same value of the column `unit` belong together where it is told how sure that is.
    `compatible_with` (`OLD = NEW`) keeps what was trained after a change that makes the same model: docs/versions.md.
    """

    table: str
    label: str
    features: tuple[Feature, ...]
    parameters: Mapping[str, Value] = field(default_factory=dict)
    rounds: int = 100
    early_stopping_rounds: int = 20
    negative_share: float = 1.0
    calibration: str = PLATT
    weight: str | None = None
    slices: tuple[str, ...] = ()
    unit: str | None = None
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
        if self.calibration not in (NONE, PLATT, ISOTONIC):
            raise _WrongValueError(f"`calibration` is {self.calibration!r}; it is {NONE}, {PLATT} or {ISOTONIC}.")
        recipe = {name: getattr(self, name) for name in RECIPE}
        for name, value in [*self.parameters.items(), *recipe.items()]:
            if problem := parameter_problem(name, value):
                raise _WrongValueError(problem)
        if wrong := next((name for name in self.parameters if name in RECIPE), None):
            raise _WrongValueError(f"`{wrong}` is none of XGBoost's `parameters`; write it beside them.")
        parameters = {canonical(name): value for name, value in self.parameters.items()}
        if len(parameters) < len(self.parameters):
            raise _WrongValueError("`parameters` gives one parameter under two names; keep one of them.")
        object.__setattr__(self, "features", tuple(self.features))
        object.__setattr__(self, "slices", tuple(self.slices))
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
        if isinstance(self.slices, str) or not isinstance(self.slices, (tuple, list)):
            raise _WrongValueError(f"`slices` is {self.slices!r}; give a list of columns.")
        for key, value in (("weight", self.weight), ("unit", self.unit), *(("slices", one) for one in self.slices)):
            if value is not None and not (isinstance(value, str) and _NAME.fullmatch(value)):
                raise _WrongValueError(f"`{key}` names {value!r}; give the name of a column of the table.")

    @property
    def columns(self) -> tuple[str, ...]:
        """The columns to learn from: the label, the features in their order, the weight."""
        return (self.label, *(feature.name for feature in self.features), *filter(None, [self.weight]))

    @property
    def judged_by(self) -> tuple[str, ...]:
        """The columns that only judging reads beside those, each once."""
        wanted = dict.fromkeys((*filter(None, [self.unit]), *self.slices))
        return tuple(name for name in wanted if name not in self.columns)


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
