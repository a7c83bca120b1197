"""Adding is adding: something new is files of its own, which work at once, and no other file changes."""

from __future__ import annotations

import gzip
import hashlib
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.console.lake import lake
from tests.e2e.folder import DAY, FIRST, PROJECT, Done, Folder

HOUR = f"{FIRST}T05"
NEW = {
    "model": ("view_rate",),
    "experiment": ("view_rate_first", "--model", "view_rate"),
    "source": ("acme",),
    "step": ("row_count", "--table", "view_rate"),
}
FILES = {
    "dsp_pipeline/features/view_rate.sql",
    "dsp_pipeline/models/view_rate.py",
    "dsp_pipeline/experiments/view_rate_first.yaml",
    "dsp_pipeline/events/sources/acme.yaml",
    "tasks/row_count.py",
}
LINES = [
    {"id": "i1", "time": f"{HOUR}:10:00Z", "user": "u1", "campaign": "7"},
    {"id": "i2", "time": f"{HOUR}:11:00Z", "user": "u2", "campaign": "8"},
]


class Copy(Folder):
    """A copy of the project with logs and a lake of its own; its commands run the code of the copy."""

    def __init__(self, path: Path) -> None:
        super().__init__(path / "work")
        self.project = path / "project"
        for name in ("dsp_pipeline", "tasks", "targets", "console"):
            shutil.copytree(PROJECT / name, self.project / name, ignore=shutil.ignore_patterns("__pycache__"))

    def environment(self) -> dict[str, str]:
        return {**super().environment(), "PYTHONPATH": str(self.project)}

    def files(self) -> dict[str, str]:
        """The SHA-256 of each file of the project."""
        return {
            str(path.relative_to(self.project)): hashlib.sha256(path.read_bytes()).hexdigest()
            for path in self.project.rglob("*")
            if path.is_file()
        }

    def new(self, *words: str) -> Done:
        return self.python("-m", "console.dsp", "new", *words)


ONE_BY_ONE = """\
import sys
from console.dsp import main
from tasks.settings import platform
for words in sys.argv[1:]:
    platform.cache_clear()  # as in a process of its own, the files are read anew
    sys.argv = ["dsp", "new", *words.split()]
    try:
        main()
    except SystemExit as end:
        print(end.code, file=sys.stderr)
"""
RUN_ONE_BY_ONE = """\
import sys
import luigi, tasks
for words in sys.argv[1:]:
    assert luigi.run([*words.split(), "--local-scheduler"]), words
"""


@pytest.fixture(scope="module")
def copy(tmp_path_factory: pytest.TempPathFactory) -> Copy:
    """With three days of impressions and clicks, taken in before; nothing is served."""
    folder, made = Copy(tmp_path_factory.mktemp("adding")), lake(tmp_path_factory)
    shutil.copytree(made.raw, folder.raw, copy_function=os.link)  # copies would be other files to the lake
    shutil.copytree(made.lake, folder.lake)
    shutil.rmtree(folder.lake / "serving")
    return folder


@pytest.fixture(scope="module")
def added(copy: Copy) -> Copy:
    """With a new model, experiment, source and step, from the templates."""
    before = copy.files()
    done = copy.python("-c", ONE_BY_ONE, *(" ".join([kind, *words]) for kind, words in NEW.items()))
    codes = [line for line in done.text.splitlines() if line.isdigit()]
    assert codes == ["0"] * len(NEW), done.text
    after = copy.files()
    assert {name: after[name] for name in before} == before
    assert set(after) - set(before) == FILES
    return copy


def test_the_files_are_as_the_project_writes_its_own(added: Copy) -> None:
    """Formatted, and without a complaint of the linter."""
    ruff = str(Path(sys.executable).with_name("ruff"))
    files = [str(added.project / name) for name in sorted(FILES) if name.endswith(".py")]
    for words in (("format", "--check"), ("check",)):
        command = [ruff, *words, "--config", str(PROJECT / "pyproject.toml"), "--no-cache", *files]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stdout + done.stderr


def test_the_new_experiment_and_step_run(added: Copy) -> None:
    """The model is trained and exported in both arms, served in none; the step's result is there."""
    exports = [f"ExportModel --experiment view_rate_first --arm {arm} --date {DAY}" for arm in ("control", "deeper")]
    done = added.python("-c", RUN_ONE_BY_ONE, f"RowCount --date {DAY} --least 5", *exports)
    assert done.code == 0, done.text
    addresses = list(added.receipts())
    assert sum(address.startswith("export/view_rate_first/") for address in addresses) == 2
    (result,) = (added.lake / "outputs" / "step" / "row_count").glob("*/*/*/*.json")
    assert json.loads(result.read_bytes())["enough"] == 1
    assert not (added.lake / "serving").exists()


def test_the_new_source_reads_its_logs(added: Copy) -> None:
    """An hour of them is typed rows."""
    raw = added.path / "acme-logs" / "impressions" / str(FIRST)
    raw.mkdir(parents=True)
    (raw / "05-1.json.gz").write_bytes(gzip.compress("".join(json.dumps(line) + "\n" for line in LINES).encode()))
    other = ("--dsp-source", "acme", "--dsp-raw", "acme-logs", "--dsp-lake", "acme-lake")
    done = added.luigi("BigQueryLoad", "--event", "impression", "--hour", HOUR, *other)
    assert done.code == 0, done.text
    rows = [one["rows"] for address, one in added.at("acme-lake").receipts().items() if address.startswith("ingest/")]
    assert rows == [2]


WRONG = {
    "model view_rate": "view_rate is already a table",
    "model click": "click is already an event",
    "model 9x": "'9x' cannot be a name",
    "model lambda": "'lambda' cannot be a name",
    "experiment ../evil --model view_rate": "'../evil' cannot be a name",
    "experiment view_rate_first --model view_rate": "is there already",
    "experiment second --model view_rte": "unknown model 'view_rte': did you mean view_rate",
    "experiment second": "--model is missing; there are: click_rate, conversion_rate, view_rate, win_rate.",
    "source acme": "is there already",
    "step row_count": "row_count is already a step",
    "step second --table clik": "unknown table 'clik': did you mean click",
}


def test_a_wrong_or_taken_name_is_told_and_nothing_is_written(added: Copy) -> None:
    """In one sentence each, whatever it would name."""
    before = added.files()
    told = added.python("-c", ONE_BY_ONE, *WRONG).text.splitlines()
    assert told[1::2] == ["1"] * len(WRONG)
    for said, expected in zip(told[::2], WRONG.values(), strict=True):
        assert said.startswith("error: ")
        assert expected in said
    assert added.files() == before


def test_where_a_file_cannot_be_written_it_is_named(added: Copy) -> None:
    """And no half of a model is left."""
    taken = added.project / "dsp_pipeline" / "models" / "third.py"
    taken.symlink_to("nowhere")
    try:
        done = added.new("model", "third")
    finally:
        taken.unlink()
    assert done.code == 1
    assert f"{taken} cannot be written: File exists" in done.text
    assert not (added.project / "dsp_pipeline" / "features" / "third.sql").exists()


def test_a_wrong_file_stops_neither_rollback_nor_doctor(added: Copy) -> None:
    """Nor do wrong logs' layouts; other commands tell the file and what is wrong in it."""
    wrong = added.project / "tasks" / "boom.py"
    wrong.write_text("import nothing_of_this_name\n")
    source = added.project / "dsp_pipeline" / "events" / "sources" / "simulator.yaml"
    kept = source.read_text()
    source.write_text("description: 1\n")
    try:
        back, doctor, plan = (
            added.python("-m", "console.dsp", *words) for words in (("rollback", "click_rate"), ("doctor",), ("plan",))
        )
    finally:
        wrong.unlink()
        source.write_text(kept)
    assert back.code == 1
    assert "click_rate" in back.text
    assert "boom" not in back.text
    for told in (doctor, plan):
        assert told.code == 1
        assert "boom.py:1: the file cannot be run (ModuleNotFoundError" in told.text
        assert "Traceback" not in told.text
