"""What the book of versions promises, in every store."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from dsp_pipeline.errors import NotFoundError, StorageError
from dsp_pipeline.fingerprint import Version
from dsp_pipeline.storage.base import ObjectStore
from dsp_pipeline.storage.versions import VersionBook
from tests.contracts.implementations import STORES

OF = "table/click_rate"


@pytest.fixture(params=sorted(STORES))
def store(request: pytest.FixtureRequest, tmp_path: Path) -> ObjectStore:
    return STORES[request.param](tmp_path / "lake")


def make_version(of: str = OF, compatible_with: str = "", text: str = "SELECT 1", **parts: str) -> Version:
    return Version(of, {"sql": "0123456789ab", **parts}, {"features/click_rate.sql": text}, compatible_with)


def test_what_is_recorded_is_read_back(store: ObjectStore) -> None:
    """Parts, texts of any characters, the declaration, and the revision that was first, by another book too."""
    version = make_version(compatible_with="ba9876543210 = 0123456789ab", text="-- ünï ✓\r\nSELECT '\\n'\n\n")
    VersionBook(store).record(version, "c0ffee")
    found = VersionBook(store).read(OF, version.name)
    assert found.version == version
    assert found.version.texts == version.texts
    assert found.version.compatible_with == version.compatible_with
    assert (found.name, found.revision) == (version.name, "c0ffee")


def test_what_is_on_record_stays(store: ObjectStore) -> None:
    """Recorded again, with another text and revision and by many at once, it is still the first one's."""
    first = make_version()
    VersionBook(store).record(first, "first")
    with ThreadPoolExecutor(4) as pool:
        list(
            pool.map(lambda number: VersionBook(store).record(make_version(text=f"SELECT {number}"), "late"), range(8))
        )
    found = VersionBook(store).read(OF, first.name)
    assert (found.revision, found.version.texts) == ("first", first.texts)


def test_known_versions_come_oldest_first(store: ObjectStore) -> None:
    """All of one thing, and none of another whose name begins alike."""
    book = VersionBook(store)
    assert book.known(OF) == []
    versions = [make_version(number=str(number)) for number in range(4)]
    for version in versions:
        book.record(version, "")
        book.record(make_version(of=f"{OF}_weekly", number=version.name), "")
    found = book.known(OF)
    assert {one.name for one in found} == {version.name for version in versions}
    assert [one.at for one in found] == sorted(one.at for one in found)


def test_a_book_writes_each_version_once(store: ObjectStore) -> None:
    """A process that makes many days of a table asks the store once."""
    book, version = VersionBook(store), make_version()
    book.record(version, "")
    store.delete(f"versions/{OF}/{version.name}.json")
    book.record(version, "")
    assert book.known(OF) == []
    VersionBook(store).record(version, "")
    assert len(book.known(OF)) == 1


def test_what_was_never_made_is_not_found(store: ObjectStore) -> None:
    """As every key of a store."""
    with pytest.raises(NotFoundError):
        VersionBook(store).read(OF, "0123456789ab")


@pytest.mark.parametrize("text", [b"", b"{", b"[]", b'{"parts": {}}'], ids=["empty", "torn", "list", "lacking"])
def test_a_damaged_record_is_named(store: ObjectStore, text: bytes) -> None:
    """The key, and the cure."""
    key = f"versions/{OF}/0123456789ab.json"
    store.put(key, text)
    with pytest.raises(StorageError, match=f"{key} is damaged .*; remove it"):
        VersionBook(store).known(OF)
