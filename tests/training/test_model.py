"""Model files: what is read from them and how a wrong one is told."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from dsp_pipeline.errors import ModelError, UnknownNameError
from dsp_pipeline.training.model import category, find_models, load_model, number

IMPORT = "from dsp_pipeline.training.model import Model, category, number\n"
PACKAGE = Path(__file__).parents[2] / "dsp_pipeline"


def write(folder: Path, text: str, name: str = "click_rate") -> Path:
    path = folder / f"{name}.py"
    path.write_text(text)
    return path


def test_a_model_is_read_with_its_name_and_file(tmp_path: Path) -> None:
    """Parameters get one name each; columns are the label and the features in their order."""
    path = write(
        tmp_path,
        IMPORT + "model = Model(table='t', label='clicked', features=[number('b'), category('a')],\n"
        "    parameters={'learning_rate': 0.1}, rounds=7)\n",
    )
    model = load_model(tmp_path, "click_rate")
    assert (model.name, model.file, model.table, model.rounds) == ("click_rate", path, "t", 7)
    assert model.features == (number("b"), category("a"))
    assert model.columns == ("clicked", "b", "a")
    assert dict(model.parameters) == {"eta": 0.1}


def test_models_are_found_by_their_file(tmp_path: Path) -> None:
    """Files that begin with an underscore are not models."""
    for name in ("win_rate", "click_rate", "__init__", "_shared"):
        write(tmp_path, "", name)
    assert find_models(tmp_path) == ["click_rate", "win_rate"]


def test_an_unknown_model_tells_the_near_ones(tmp_path: Path) -> None:
    """A typo is answered with the name that was meant."""
    write(tmp_path, "")
    with pytest.raises(UnknownNameError, match=r"unknown model 'click_rat': did you mean click_rate\?"):
        load_model(tmp_path, "click_rat")


def test_a_changed_file_is_read_anew(tmp_path: Path) -> None:
    """No compiled copy of the old text is used, even if size and second are the same."""
    for label in ("aa", "bb"):
        write(tmp_path, IMPORT + f"model = Model(table='t', label='{label}', features=(number('x'),))")
        assert load_model(tmp_path, "click_rate").label == label


MADE = "model = Model(table='t', label='y', features=({}), {})"
WRONG = [
    ("import nowhere\n", 1, "the file cannot be run (ModuleNotFoundError: No module named 'nowhere')."),
    ("x = 1\ny = 1 / 0\n", 2, "the file cannot be run (ZeroDivisionError: division by zero)."),
    ("x = 1\nmodel = Model(\n", 2, "not Python: '(' was never closed."),
    ("x = 1\n", None, "there is no `model`; write `model = Model(...)`."),
    ("model = 3\n", None, "`model` is 3; write `model = Model(...)`."),
    (IMPORT + "model = Model(table='t', label='y', features=())", 2, "`features` is empty; list at least one"),
    (IMPORT + "model = Model(table='', label='y', features=(number('x'),))", 2, "`table` is ''; give the name of"),
    (IMPORT + MADE.format("number('y'),", ""), 2, "y is the label; a model that reads its label learns nothing."),
    (IMPORT + MADE.format("number('x'), number('x')", ""), 2, "feature x stands twice; remove one."),
    (IMPORT + MADE.format("'x',", ""), 2, "`features` holds 'x'; wrap the name in number(...) or category(...)."),
    (IMPORT + "a = number('a b')", 2, "a feature is named 'a b'; give the name of a column of the table."),
    (IMPORT + MADE.format("number('x'),", "rounds=0"), 2, "`rounds` is 0; it is a whole number from 1 to 10000."),
    (IMPORT + MADE.format("number('x'),", "rounds=True"), 2, "`rounds` is True; it is a whole number"),
    (IMPORT + MADE.format("number('x'),", "parameters=3"), 2, "`parameters` is 3; it is a mapping"),
    (
        IMPORT + MADE.format("number('x'),", "parameters={'max_dept': 3}"),
        2,
        "unknown parameter 'max_dept': did you mean max_depth",
    ),
    (
        IMPORT + MADE.format("number('x'),", "parameters={'max_depth': 2.5}"),
        2,
        "`max_depth` is 2.5; it is a whole number from 1 to 16.",
    ),
    (
        IMPORT + MADE.format("number('x'),", "parameters={'eta': 0.1, 'learning_rate': 0.2}"),
        2,
        "`parameters` gives one parameter under two names; keep one of them.",
    ),
    (
        IMPORT + MADE.format("number('x'),", "parameters={'scale_pos_weight': 9}"),
        2,
        "`scale_pos_weight` cannot be chosen: it moves the predicted rate away",
    ),
    (
        IMPORT + MADE.format("number('x'),", "parameters={'objective': 'reg:squarederror'}"),
        2,
        "`objective` is 'reg:squarederror'; it is binary:logistic.",
    ),
]


@pytest.mark.parametrize(("text", "line", "told"), WRONG, ids=[told[:40] for _, _, told in WRONG])
def test_a_wrong_model_file_is_told_with_file_and_line(text: str, line: int | None, told: str, tmp_path: Path) -> None:
    """One sentence, no traceback."""
    path = write(tmp_path, text)
    with pytest.raises(ModelError) as caught:
        load_model(tmp_path, "click_rate")
    assert str(caught.value).startswith(f"{path}:{line}: " if line else f"{path}: ")
    assert told in str(caught.value)
    assert "\n" not in str(caught.value)


def test_planning_imports_neither_xgboost_nor_scikit_learn() -> None:
    """The scheduler's image is light, and a plan is made in milliseconds."""
    code = (
        "import sys; from pathlib import Path\n"
        "from dsp_pipeline.training.experiment import load_experiment\n"
        "from dsp_pipeline.training.model import load_model\n"
        "import dsp_pipeline.registry.registry\n"
        "package = Path(sys.argv[1])\n"
        "found = load_experiment(package / 'experiments', 'click_rate_baseline')\n"
        "model = load_model(package / 'models', found.model)\n"
        "assert found.arm('deeper').applied_to(model).parameters['max_depth'] == 6\n"
        "assert found.serve in found.arms\n"
        "print(sorted({'xgboost', 'sklearn'} & set(sys.modules)))\n"
    )
    run = subprocess.run([sys.executable, "-c", code, str(PACKAGE)], capture_output=True, text=True, check=True)
    assert run.stdout.strip() == "[]"
