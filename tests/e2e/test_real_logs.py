"""Real logs through the real tasks: iPinYou, OpenRTB bid requests, the Open Bandit Dataset."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.e2e.folder import PROJECT, Folder, assert_whole, ran, table_of

DATA = PROJECT.parent / "shared" / "data"
needs_data = pytest.mark.skipif(not DATA.is_dir(), reason="skipped: ../shared/data is not here")


def rows(folder: Folder, event: str) -> int:
    return sum(one["rows"] for address, one in folder.receipts().items() if table_of(address) == event)


@pytest.fixture(scope="module")
def ipinyou(tmp_path_factory: pytest.TempPathFactory) -> Folder:
    """All hours of impressions and clicks of the week, by luigi's own RangeHourly, in one process."""
    folder = Folder(
        tmp_path_factory.mktemp("ipinyou") / "work",
        raw=str(DATA / "ipinyou"),
        source="ipinyou",
        first_date=FIRST,
        max_rejected_share="0.05",
    )
    for event in ("impression", "click"):
        done = folder.luigi(*RANGE, "--of-params", f'{{"event": "{event}"}}')
        assert done.code == 0, done.text
    return folder


FIRST = "2013-06-05"  # 06-06 00:00 in Shanghai is 06-05 16:00 UTC
RANGE = ("RangeHourly", "--of", "BigQueryLoad", "--start", "2013-06-05T16", "--stop", "2013-06-12T16")
