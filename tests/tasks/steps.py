"""A folder whose tasks are a copy of the project's with steps of the tests among them."""

from __future__ import annotations

import json
import shutil
import tempfile
from pathlib import Path
from typing import Any

from tests.console.lake import copied
from tests.e2e.folder import PROJECT, Done, Folder

SECOND = "2026-11-18"
ARITHMETIC = """\
def total(numbers):
    return sum(numbers)


def most(numbers):
    return max(numbers)
"""


class StepsFolder(Folder):
    """Commands find `tasks` in `code` before the project's own."""

    @property
    def tasks(self) -> Path:
        return self.path / "code" / "tasks"

    def environment(self) -> dict[str, str]:
        return {**super().environment(), "PYTHONPATH": str(self.path / "code")}

    def code(self, text: str, *words: str) -> Done:
        """A Python program of this text, with these words."""
        with tempfile.NamedTemporaryFile("w", suffix=".py") as program:
            program.write(text)
            program.flush()
            return self.run(Path(program.name), *words)

    def asked(self, first: str, *expressions: str) -> list[Any]:
        """What they are, in a Python of this folder, after `first`; DAY is the second day."""
        lines = [first, "import json", "from datetime import date", f"DAY = date.fromisoformat({SECOND!r})"]
        lines.append(f"print(json.dumps([{', '.join(f'({one})' for one in expressions)}]))")
        done = self.code("\n".join(lines))
        assert done.code == 0, done.text
        found: list[Any] = json.loads(done.text.splitlines()[-1])
        return found

    def kept(self, step: str) -> list[dict[str, Any]]:
        """The receipts of a step, in the order of their making."""
        found = [one for address, one in self.receipts().items() if address.startswith(f"step/{step}/")]
        return sorted(found, key=lambda one: str(one["created_at"]))

    def file(self, receipt: dict[str, Any]) -> Path:
        """The one file of a step's output."""
        (file,) = receipt["files"]
        return self.lake / str(file["key"])

    def value(self, receipt: dict[str, Any]) -> Any:
        """The value that a step kept as JSON."""
        return json.loads(self.file(receipt).read_text())


def steps_folder(made: Folder, path: Path) -> StepsFolder:
    """The impressions and clicks of that lake; the table campaign_daily, no experiment, and the planted steps."""
    folder = StepsFolder(copied(made, path).path, package="package")
    for table in ("campaign_daily", "click_rate"):
        for built in (folder.lake / "warehouse").glob(f"*/{table}_*"):
            shutil.rmtree(built)
    package = folder.path / "package"
    for name in ("models", "experiments"):
        shutil.rmtree(package / name)
        (package / name).mkdir()
    for file in (package / "features").glob("*.sql"):
        if file.stem != "campaign_daily":
            file.unlink()
    shutil.copytree(PROJECT / "tasks", folder.tasks, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(Path(__file__).with_name("planted.py"), folder.tasks)
    (folder.tasks / "arithmetic.py").write_text(ARITHMETIC)
    return folder
