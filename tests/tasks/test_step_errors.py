"""What a wrong step gets: one sentence with its file, its line and the cure."""

from __future__ import annotations

import json

import pytest

from tests.console.lake import lake
from tests.e2e.folder import Folder
from tests.tasks.steps import SECOND, StepsFolder, steps_folder

HEAD = """\
from __future__ import annotations
from collections.abc import Iterator
from datetime import date
from typing import Any
import pyarrow as pa
from tasks.step import step

"""
LINE = HEAD.count("\n") + 1  # of the decorator; the `def` follows
ON_CLICK = '@step(reads="click [0, 0]")\ndef {name}(date: date, click: Any) -> int:\n    return 1\n'

# By the name of a file: its text below HEAD, the line that is blamed, and words of the sentence.
CASES: dict[str, tuple[str, int, tuple[str, ...]]] = {
    "no_date": ("def no_date(click: pa.Table) -> int: ...", 1, ("no_date has no argument `date: date`", "add it")),
    "odd_date": ("def odd_date(date: str, click: pa.Table) -> int: ...", 1, ("write it `date: date`",)),
    "date_default": (
        "def date_default(click: pa.Table, date: date = None) -> int: ...",
        1,
        ("write it `date: date`",),
    ),
    "odd_type": (
        "def odd_type(date: date, click: pa.Table, shares: list) -> int: ...",
        1,
        ("the argument shares is annotated list, which is no type of a parameter", "name it in `reads`"),
    ),
    "no_type": ("def no_type(date: date, click: pa.Table,\n    most=3) -> int: ...", 2, ("most has no annotation",)),
    "odd_default": (
        "def odd_default(date: date, click: pa.Table, most: int = 0.5) -> int: ...",
        1,
        ("most is annotated int, and its default is 0.5; make them fit",),
    ),
    "many": ("def many(date: date, click: pa.Table, *rest: int) -> int: ...", 1, ("rest cannot be given by its name",)),
    "of_luigi": (
        "def of_luigi(date: date, click: pa.Table, priority: int = 1) -> int: ...",
        1,
        ("every task has a priority already; give the argument another name",),
    ),
    "odd_read": (
        "def odd_read(date: date, click: Iterator[int]) -> int: ...",
        1,
        ("click is annotated Iterator[int] and is read; annotate it pa.Table, Iterator[pa.RecordBatch]",),
    ),
    "unused_read": (
        "def unused_read(date: date) -> int: ...",
        0,
        ("`reads` names click, and no argument", "add click"),
    ),
    "no_return": ("def no_return(date: date, click: pa.Table): ...", 1, ("no_return does not say what it returns",)),
    "odd_return": (
        "def odd_return(date: date, click: pa.Table) -> set[str]: ...",
        1,
        ("odd_return returns set[str], which is not kept; annotate pa.Table",),
    ),
    "twice": (
        'def twice(date: date, click: pa.Table) -> int: ...\n\n@step(reads="click [0, 0]")\n'
        "def twice(date: date, click: pa.Table) -> int: ...",
        1,
        ("twice is the name of two steps", f"see line {LINE + 4}; rename one of them"),
    ),
    "a_method": (
        "class Of:\n    pass\n\ndef make():\n    @step(reads='click [0, 0]')\n"
        "    def inner(date: date, click: pa.Table) -> int: ...\n\nmake()",
        4,
        ("inner is not a plain function at the top of its file",),
    ),
    "bad_window": (
        "@step(reads='click 0')\ndef bad_window(): ...",
        0,
        ("cannot read `click 0`", 'write for example `reads="'),
    ),
    "backwards": ("@step(reads='click [0, -1]')\ndef backwards(): ...", 0, ("write click [-1, +0]",)),
    "itself": ("@step(reads='itself [-1, -1]')\ndef itself(): ...", 0, ("itself reads itself",)),
    "bid": ("def bid(date: date, click: pa.Table) -> int: ...", 1, ("an event has the same name; rename it",)),
    "train_model": (
        "def train_model(date: date, click: pa.Table) -> int: ...",
        1,
        ("its task would be TrainModel, and there is a TrainModel already; rename it",),
    ),
    "clicks_elsewhere": (
        "def clicks_by_hour(date: date, click: pa.Table) -> int: ...",
        1,
        ("clicks_by_hour is the name of two steps, see ", "planted.py:", "rename one of them"),
    ),
    "campaign_daily": (
        "def campaign_daily(date: date, click: pa.Table) -> int: ...",
        1,
        ("a table of features/ has the same name; rename one of them",),
    ),
    "unknown": (
        "@step(reads='campaign_dayly [0, 0]')\ndef unknown(date: date, campaign_dayly: pa.Table) -> int: ...",
        0,
        ("`reads` names an unknown event, table or step 'campaign_dayly': did you mean campaign_daily",),
    ),
    "rows_as_value": (
        "def rows_as_value(date: date, click: dict) -> int: ...",
        1,
        ("click holds rows, and the argument is annotated dict; annotate it pa.Table or Iterator[pa.RecordBatch]",),
    ),
    "value_as_rows": (
        "@step(reads='clicks_by_hour [0, 0]')\ndef value_as_rows(date: date, clicks_by_hour: pa.Table) -> int: ...",
        1,
        ("clicks_by_hour returns dict, and the argument is annotated pa.Table; annotate it dict or Any",),
    ),
    "many_as_one": (
        "@step(reads='same_day [-1, 0]')\ndef many_as_one(date: date, same_day: list) -> int: ...",
        1,
        ("same_day returns list on each of these days", "annotate it dict or Any"),
    ),
    "round_one": (
        "@step(reads='round_two [0, 0]')\ndef round_one(date: date, round_two: Any) -> int: ...\n\n"
        "@step(reads='round_one [0, 0]')\ndef round_two(date: date, round_one: Any) -> int: ...",
        1,
        ("steps that read each other can never be made: round_one → round_two → round_one; break the cycle",),
    ),
    "needs_more": (
        "@step(reads='click [0, 0]')\ndef with_a_must(date: date, click: pa.Table, must: str) -> int: ...\n\n"
        "@step(reads='with_a_must [0, 0]')\ndef needs_more(date: date, with_a_must: Any) -> int: ...",
        4,
        ("it reads with_a_must, whose must has no default; give it one",),
    ),
    "too_early": (
        "@step(reads='clicks_by_hour [-9, -9]')\ndef too_early(date: date, clicks_by_hour: Any) -> int: ...",
        -1,
        ("too_early of 2026-11-18 reads clicks_by_hour of days before the first day of logs, 2026-11-17",),
    ),
    "other_value": (
        "def other_value(date: date, click: pa.Table) -> int:\n    return 'text'",
        1,
        ("other_value: it gives back a value of type str, and not int",),
    ),
    "no_number": (
        "def no_number(date: date, click: pa.Table) -> float:\n    return float('nan')",
        1,
        ("no_number: it gives back what JSON cannot hold", "nan", "put None"),
    ),
    "no_json": (
        "def no_json(date: date, click: pa.Table) -> dict:\n    return {'at': date}",
        1,
        ("no_json: it gives back what JSON cannot hold", "use dicts, lists"),
    ),
    "odd_key": (
        "def odd_key(date: date, click: pa.Table) -> list:\n    return [{'in': {5: 1}}]",
        1,
        ("it gives back a dict with the key 5, and JSON's keys are texts; write str(5)",),
    ),
    "value_for_rows": (
        "def value_for_rows(date: date, click: pa.Table) -> pa.Table:\n    return []",
        1,
        ("value_for_rows: it gives back a value of type list, and not pa.Table",),
    ),
    "odd_batches": (
        "def odd_batches(date: date, click: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:\n"
        "    yield pa.record_batch({'a': [1]})\n    yield pa.record_batch({'a': ['x']})",
        1,
        ("odd_batches: it yields batches of other columns",),
    ),
    "no_batch": (
        "def no_batch(date: date, click: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:\n    yield from ()",
        1,
        ("no_batch: it yields no batch, which tells no columns; yield an empty one",),
    ),
    "no_python": ("def no_python(date: date, click: pa.Table -> int: ...", 1, ("not Python: ",)),
    "no_library": ("import no_such_library\ndef no_library(): ...", 0, ("cannot be run", "No module named")),
}

# Imports each file, makes its tasks and runs them; tells the first error of each.
SCRIPT = """
import json, sys
from datetime import date
from pathlib import Path
from dsp_pipeline.errors import DspError
import tasks
from tasks.discovery import load

def tried(name):
    try:
        load(f"wrong.{name}", Path(sys.argv[1], f"{name}.py"))
        named = vars(sys.modules[f"wrong.{name}"]).values()
        for one in [value.task for value in named if hasattr(value, "task")]:
            if "must" not in dict(one.get_params()):
                one(date=date(2026, 11, 18)).run()
    except DspError as error:
        return f"{type(error).__name__} {error}"
    return "no error"

print(json.dumps({name: tried(name) for name in sys.argv[2:]}))
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> StepsFolder:
    """A step is made that the wrong ones read."""
    folder = steps_folder(lake(tmp_path_factory), tmp_path_factory.mktemp("wrong"))
    done = folder.luigi("ClicksByHour", "--date", SECOND)
    assert done.code == 0, done.text
    return folder


@pytest.fixture(scope="module")
def told(folder: StepsFolder) -> dict[str, str]:
    """What each wrong file gets, asked in one process."""
    place = folder.path / "code" / "wrong"
    place.mkdir()
    for name, (text, _, _) in CASES.items():
        decorated = text if text.startswith(("@", "class", "import")) else f'@step(reads="click [0, 0]")\n{text}'
        (place / f"{name}.py").write_text(f"{HEAD}{decorated}\n")
    done = folder.code(SCRIPT, str(place), *CASES)
    assert done.code == 0, done.text
    found: dict[str, str] = json.loads(done.text.splitlines()[-1])
    return found


@pytest.mark.parametrize("name", CASES)
def test_a_wrong_step_is_told_with_its_line(told: dict[str, str], name: str) -> None:
    """What is wrong is in the sentence, and what to write there."""
    _, line, words = CASES[name]
    place = f"wrong/{name}.py:{LINE + line}: "
    assert told[name].startswith("SettingsError " if line < 0 else "StepError "), told[name]
    assert place in told[name] or line < 0, told[name]
    assert "\n" not in told[name]
    for word in words:
        assert word in told[name]


WRONG = {
    "of itself": ("clicks_wrong", "def clicks_wrong(date: date, click: set) -> int: ...", "click is annotated set"),
    "no Python": ("clicks_wrong", "def clicks_wrong(:", "not Python"),
    "a class has its task's name": (
        "aa_first",
        "def daily_pipeline(date: date, click: pa.Table) -> int: ...",
        "its task is DailyPipeline, and there is another DailyPipeline; rename it",
    ),
}


@pytest.mark.parametrize("words", [("luigi", "ClicksByHour", "--date", SECOND), ("python", "-c", "import tasks")])
@pytest.mark.parametrize("case", WRONG)
def test_a_wrong_file_in_tasks_is_told_when_they_are_imported(
    folder: StepsFolder, case: str, words: tuple[str, ...]
) -> None:
    """One sentence with file and line, no traceback, and the code of a wrong file; whatever was to be run."""
    name, text, sentence = WRONG[case]
    file = folder.tasks / f"{name}.py"
    file.write_text(f'{HEAD}@step(reads="click [0, 0]")\n{text}\n')
    try:
        if words[0] == "luigi":
            done = folder.luigi(*words[1:])
        else:
            done = folder.python(*words[1:]) if case == "of itself" else folder.code(words[-1])
    finally:
        file.unlink()
    assert done.code == 40
    assert "Traceback" not in done.text, done.text
    (error,) = done.errors
    assert f"tasks/{name}.py:{LINE + 1}: " in error
    assert sentence in error


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (("--least", "some"), "least is 'some'; it is a number."),
        (("--date", "18.11.2026"), "not a day"),
        (("--leest", "1"), "--leest"),
    ],
)
def test_a_wrong_parameter_is_told(folder: Folder, words: tuple[str, ...], sentence: str) -> None:
    """As those of any other task."""
    done = folder.luigi("ClicksByHour", "--date", SECOND, *words)
    assert done.code != 0
    assert "Traceback" not in done.text
    assert sentence in done.text
