"""What Outputs promises of what is not needed any more, in every store."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import BinaryIO

import pytest

from dsp_pipeline.receipts import Draft, File, Receipt
from dsp_pipeline.storage.base import ObjectStore
from dsp_pipeline.storage.local import LocalFolder
from dsp_pipeline.storage.outputs import Outputs
from dsp_pipeline.storage.receipts import ReceiptBook
from dsp_pipeline.storage.sweep import Swept
from dsp_pipeline.warehouse.duckdb import DuckDBWarehouse
from tests.contracts.implementations import STORES
from tests.contracts.rows import load, make_clicks

NEEDED, OLD = "ingest/click-0123456789ab", "ingest/click-ba9876543210"
TRAINED = "train/baseline/control/ba9876543210"
EXPORTED = "export/baseline/control/ba9876543210"
HOUR, LATER = "2026-11-21T05", "2026-11-21T06"
LEFTOVER = "left by a writer that was killed or replaced"
TOMORROW = datetime.now(UTC) + timedelta(days=1)  # by then everything is old


@pytest.fixture(params=sorted(STORES))
def store(request: pytest.FixtureRequest, tmp_path: Path) -> ObjectStore:
    return STORES[request.param](tmp_path / "lake")


def write(store: ObjectStore, folder: Path, address: str, text: str = "rows", *, replace: bool = False) -> Receipt:
    path = folder / "events.parquet"
    path.write_text(text)
    return Outputs(store).keep(Draft(address, "v"), {"a.parquet": path, "b.gz": path}, 1, replace=replace)


def content(store: ObjectStore, receipt: Receipt) -> bytes:
    with Outputs(store).open(receipt, "b.gz") as stream:
        return stream.read()


def sweep(
    store: ObjectStore,
    keep: Callable[[str], bool] = lambda shelf: shelf == NEEDED,
    before: datetime = TOMORROW,
    *,
    remove: bool = True,
) -> list[Swept]:
    return list(Outputs(store).sweep(keep, before, remove=remove))


def test_shelves_that_nothing_needs_are_told_then_removed(store: ObjectStore, tmp_path: Path) -> None:
    """A dry sweep changes nothing and tells what the real one removes; a second finds nothing; all else stays."""
    needed = write(store, tmp_path, f"{NEEDED}/{HOUR}")
    for address in (f"{OLD}/{HOUR}", f"{OLD}/{LATER}", f"{TRAINED}/2026-11-21"):
        write(store, tmp_path, address)
    bundle = File("bundles/m/e/a/v/2026-11-21/1/model.ubj", 5, "")
    ReceiptBook(store).write(Draft(f"{EXPORTED}/2026-11-21", "v").finish(1, [bundle]))
    for key in (bundle.key, "serving/production/m.json", "versions/event/click/0123456789ab.json", "outputs/notes.txt"):
        store.put(key, b"other")
    there = list(store.list(""))
    asked: list[str] = []
    told = sweep(store, lambda shelf: asked.append(shelf) or shelf == NEEDED, remove=False)  # type: ignore[func-returns-value]
    assert asked == sorted([EXPORTED, OLD, NEEDED, TRAINED])
    assert list(store.list("")) == there
    sizes = {shelf: [one.size for one in there if f"/{shelf}/" in one.key] for shelf in (EXPORTED, OLD, TRAINED)}
    assert [(one.address, one.parts, one.size) for one in told] == [
        (shelf, len(of_files), sum(of_files)) for shelf, of_files in sizes.items()
    ]
    assert [one.parts for one in told] == [1, 6, 3]
    assert {one.why.rpartition(" ")[0] for one in told} == {"nothing needs this version, last written"}
    assert sweep(store) == told
    assert sweep(store) == []
    assert [one for one in there if not any(f"/{shelf}/" in one.key for shelf in sizes)] == list(store.list(""))
    assert ReceiptBook(store).read_all("") == {needed.address: needed}
    again = write(store, tmp_path, f"{OLD}/{HOUR}")
    assert content(store, again) == b"rows"


def test_attempts_that_no_receipt_names_are_swept(store: ObjectStore, tmp_path: Path) -> None:
    """Of needed shelves: those that were replaced, and those of killed writers; each as a folder."""
    replaced = write(store, tmp_path, f"{NEEDED}/{HOUR}", "old")
    receipt = write(store, tmp_path, f"{NEEDED}/{HOUR}", "newer", replace=True)
    killed = f"outputs/{NEEDED}/{LATER}/0a1b2c3d"
    store.put(f"{killed}/a.parquet", b"half of it")
    there = list(store.list(""))
    assert sweep(store, before=datetime.now(UTC) - timedelta(days=1)) == []
    told = sweep(store, remove=False)
    assert list(store.list("")) == there
    first = replaced.files[0].key.rpartition("/")[0]
    assert sorted(told, key=lambda one: one.parts) == [Swept(killed, 1, 10, LEFTOVER), Swept(first, 2, 6, LEFTOVER)]
    assert sweep(store) == told
    assert sweep(store) == []
    assert [one.key for one in store.list("outputs/")] == [file.key for file in receipt.files]
    assert content(store, receipt) == b"newer"


def test_refused_lines_are_swept_when_they_are_old(store: ObjectStore) -> None:
    """Whatever is needed: they were for a person to look at."""
    key = f"refused/{NEEDED}/{HOUR}.jsonl.gz"
    store.put(key, b"lines")
    assert sweep(store, before=datetime.now(UTC) - timedelta(days=1)) == []
    told = [Swept(key, 1, 5, "lines of an hour that was refused")]
    assert sweep(store, remove=False) == told
    assert [one.key for one in store.list("")] == [key]
    assert sweep(store) == told
    assert list(store.list("")) == []


def test_a_shelf_into_which_something_was_written_since_stays(tmp_path: Path) -> None:
    """All of it, though nothing needs it; and also if it is written to while the sweep is at it."""
    store = LocalFolder(tmp_path / "lake")  # S3 tells whole seconds
    write(store, tmp_path, f"{OLD}/{HOUR}")
    moment = datetime.now(UTC)

    def late(shelf: str) -> bool:
        write(store, tmp_path, f"{shelf}/{LATER}")
        return False

    assert sweep(store, late, moment) == []
    there = list(store.list(""))
    assert len(there) == 6
    assert sweep(store, lambda shelf: False, moment, remove=False) == []
    assert list(store.list("")) == there


def test_an_attempt_whose_receipt_comes_meanwhile_stays(tmp_path: Path) -> None:
    """What the listing showed without a receipt is looked at again before it goes."""
    store = LocalFolder(tmp_path / "lake")
    receipt = write(store, tmp_path, f"{NEEDED}/{HOUR}")
    store.delete(f"receipts/{NEEDED}/{HOUR}.json")

    def late(shelf: str) -> bool:
        ReceiptBook(store).write(receipt)
        return True

    assert sweep(store, late) == []
    assert content(store, receipt) == b"rows"


def test_a_tidy_lake_is_swept_by_listings_alone(tmp_path: Path) -> None:
    """Nine thousand receipts need not be read to see that each has its attempt."""

    class Unread(LocalFolder):
        def get(self, key: str) -> BinaryIO:
            raise AssertionError(f"{key} is read")

    for hour in (HOUR, LATER):
        write(LocalFolder(tmp_path / "lake"), tmp_path, f"{NEEDED}/{hour}")
    assert sweep(Unread(tmp_path / "lake")) == []


def test_the_lake_and_the_warehouse_in_it_are_swept_apart(tmp_path: Path) -> None:
    """Each sees its own receipts only."""
    lake = tmp_path / "lake"
    write(LocalFolder(lake), tmp_path, f"{OLD}/{HOUR}")
    warehouse = DuckDBWarehouse(lake / "warehouse", memory_limit_mb=300, threads=1)
    load(warehouse, make_clicks(2))
    assert [one.address for one in sweep(LocalFolder(lake), remove=False)] == [OLD]
    assert [one.address for one in warehouse.sweep(lambda _: False, TOMORROW, remove=False)] == ["click_v1"]


class Killed(BaseException):
    """The process ends here."""


class Dying(LocalFolder):
    """Ends when it should remove the first file of an output."""

    def delete(self, key: str) -> None:
        if key.startswith("outputs/"):
            raise Killed
        super().delete(key)


def test_a_killed_sweep_leaves_files_without_receipts_which_the_next_finds(tmp_path: Path) -> None:
    """The receipts go first: what is left is not complete, and never a receipt without its files."""
    store = LocalFolder(tmp_path / "lake")
    write(store, tmp_path, f"{OLD}/{HOUR}")
    with pytest.raises(Killed):
        sweep(Dying(store.root))
    assert [one.key.partition("/")[0] for one in store.list("")] == ["outputs", "outputs"]
    assert [(one.address, one.parts) for one in sweep(store)] == [(OLD, 2)]
    assert list(store.list("")) == []
