"""A small team and empty hours of logs: what the tests of commands over many days need, and what they count."""

from __future__ import annotations

import gzip
import json
import shutil
from datetime import timedelta
from pathlib import Path
from typing import Any

from tests.e2e.folder import FIRST, PROJECT, Folder, only

COUNTING = PROJECT / "tests" / "tasks" / "counting.py"
DAYS = [str(FIRST + timedelta(days=number)) for number in range(4)]
CLICKS_DAILY = """\
-- One row per impression: its clicks of @date and of the day before.
-- reads: click [-1, 0]
-- key: impression_id
SELECT
  impression_id,
  COUNT(*) AS clicks
FROM click
GROUP BY impression_id
"""


def small_folder(path: Path) -> Folder:
    """A team with clicks alone, one table of them, and no experiment."""
    folder = Folder(path, package="package")
    package = folder.package()
    only(package, "click")
    for name in ("features", "models", "experiments"):
        shutil.rmtree(package / name)
        (package / name).mkdir()
    (package / "features" / "clicks_daily.sql").write_text(CLICKS_DAILY)
    return folder


def arrive(folder: Folder, *days: str, number: int = 0, hours: range = range(24)) -> None:
    """Hours without traffic of these days, as their file of this number."""
    for day in days:
        place = folder.raw / "click" / day
        place.mkdir(parents=True, exist_ok=True)
        for hour in hours:
            (place / f"{hour:02}-{number}.jsonl.gz").write_bytes(gzip.compress(b"", mtime=0))


def counted(folder: Folder, *words: str) -> dict[str, Any]:
    """How the command ended, what it asked the store and the warehouse, and how many luigi tasks it made."""
    done = folder.run(COUNTING, *words)
    assert done.code == 0, done.text
    found: dict[str, Any] = json.loads(done.text.splitlines()[-1])
    assert found["status"] == "SUCCESS", done.text
    return found


def receipt(folder: Folder, table: str, partition: str) -> Path:
    (found,) = (folder.lake / "warehouse" / "receipts").glob(f"{table}_*/{partition}.json")
    return found
