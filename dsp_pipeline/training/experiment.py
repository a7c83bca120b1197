"""What an experiment is: a model, its arms, and the arm that bidders load. One file each in `experiments/`.

    # Do deeper trees pay for their time?
    model: click_rate
    train_days: 3            # days before the held-out day
    serve: control           # the arm that bidders load; left out, arms are exported and none is served
    arms:
      control: {}            # the model's own parameters
      deeper: {max_depth: 8, rounds: 80}
    engine: local            # or dask: trees are grown on a cluster
    leaks: warn              # or fail: a feature that knows too much stops the training
    gate: {…}                # bounds that a model keeps to be served
    budget: {…}              # how large and how slow a bundle may be

All arms of an experiment train on the same days of the same table.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from types import MappingProxyType

from dsp_pipeline.errors import ExperimentError, UnknownNameError
from dsp_pipeline.training.model import Model, find_models
from dsp_pipeline.training.parameters import RECIPE, Value, canonical, parameter_problem
from dsp_pipeline.yamlfile import Block, read_yaml

MAX_TRAIN_DAYS = 365
LOCAL, DASK = "local", "dask"
WARN, FAIL = "warn", "fail"
_ARM = re.compile(r"[a-z0-9][a-z0-9_-]*")


@dataclass(frozen=True)
class Arm:
    """What one arm changes of the model: parameters by their XGBoost name, and the fields that RECIPE names."""

    name: str
    changes: Mapping[str, Value]

    def applied_to(self, model: Model) -> Model:
        """The model with this arm's changes in it."""
        recipe = {name: value for name, value in self.changes.items() if name in RECIPE}
        parameters = {name: value for name, value in self.changes.items() if name not in RECIPE}
        return replace(model, parameters={**model.parameters, **parameters}, **recipe)  # type: ignore[arg-type]


@dataclass(frozen=True)
class Experiment:
    """An experiment as its file says. It learns from the `train_days` days before the held-out day.

    `serve` is None when no arm is served. `engine` is what grows the trees, `leaks` whether a feature that knows too
    much stops the training. `gate` and `budget` are what a bundle must keep to be served, as registry/ reads them.
    """

    name: str
    file: Path
    model: str
    train_days: int
    serve: str | None
    arms: Mapping[str, Arm]
    engine: str = LOCAL
    leaks: str = WARN
    gate: Block | None = None
    budget: Block | None = None

    def arm(self, name: str) -> Arm:
        """UnknownNameError if this experiment has no such arm."""
        if name not in self.arms:
            raise UnknownNameError("arm", name, self.arms)
        return self.arms[name]


def find_experiments(folder: Path) -> list[str]:
    """The names of the experiment files in the folder, in order."""
    return sorted(path.stem for path in folder.glob("*.yaml") if not path.name.startswith("."))


def load_experiment(folder: Path, name: str, models: Path | None = None) -> Experiment:
    """Read `<folder>/<name>.yaml`; `models` is where its model is looked for, the folder beside if left out.

    UnknownNameError if there is no such file; ExperimentError, with file and line, if it is wrong.
    """
    names = find_experiments(folder)
    if name not in names:
        raise UnknownNameError("experiment", name, names)
    if not _ARM.fullmatch(name):
        raise ExperimentError(folder / f"{name}.yaml", None, "name the file in small letters, digits, _ and -.")
    block = read_yaml(folder / f"{name}.yaml", ExperimentError)
    block.allow(("model", "train_days", "serve", "arms", "engine", "leaks", "gate", "budget"))
    model = block.need("model", str, "the name of a file in models/")
    known = find_models(folder.parent / "models" if models is None else models)
    if model not in known:
        raise block.problem(str(UnknownNameError("model", model, known)), "model")
    what = f"a number of days, 1 to {MAX_TRAIN_DAYS}"
    train_days = block.need("train_days", int, what)
    if not 1 <= train_days <= MAX_TRAIN_DAYS:
        raise block.problem(f"`train_days` is {train_days}; it is {what}.", "train_days")
    given = block.need("arms", Block, "a mapping of arms to the parameters that they change")
    if not given:
        raise block.problem("`arms` is empty; write `control: {}` for the model as it is.", "arms")
    arms = {arm: _arm(given, arm) for arm in given}
    serve = block.get_as("serve", str, "the name of an arm")
    if serve is not None and serve not in arms:
        raise block.problem(str(UnknownNameError("arm", serve, arms)), "serve")
    return Experiment(
        name,
        block.path,
        model,
        train_days,
        serve,
        MappingProxyType(arms),
        _word(block, "engine", (LOCAL, DASK)),
        _word(block, "leaks", (WARN, FAIL)),
        block.get_as("gate", Block, "a mapping of bounds"),
        block.get_as("budget", Block, "a mapping of limits"),
    )


def _word(block: Block, key: str, words: tuple[str, ...]) -> str:
    """One of the words; the first if none is given."""
    found = block.get_as(key, str, " or ".join(words))
    if found is not None and found not in words:
        raise block.problem(f"`{key}` is {found!r}; it is {' or '.join(words)}.", key)
    return found or words[0]


def _arm(arms: Block, name: str) -> Arm:
    if not _ARM.fullmatch(name):
        raise arms.problem(f"an arm is named {name!r}; use small letters, digits, _ and -.", name)
    given = arms[name]
    if not isinstance(given, Block):
        raise arms.problem(f"`{name}` is {given!r}; write {{}} or the parameters that it changes.", name)
    changes: dict[str, Value] = {}
    for key, value in given.items():
        if problem := parameter_problem(key, value):
            raise given.problem(problem, key)
        if canonical(key) in changes:
            raise given.problem(f"`{key}` is another name of `{canonical(key)}`, which stands here too.", key)
        changes[canonical(key)] = value
    return Arm(name, MappingProxyType(changes))
