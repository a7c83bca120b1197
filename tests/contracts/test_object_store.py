"""What every ObjectStore promises."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path

import pytest

from dsp_pipeline.errors import ConflictError, NotFoundError, StorageError
from dsp_pipeline.storage.base import ObjectStore
from tests.contracts import other_process
from tests.contracts.implementations import STORES


@pytest.fixture(params=sorted(STORES))
def name(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return tmp_path / "store"


@pytest.fixture
def store(name: str, root: Path) -> ObjectStore:
    return STORES[name](root)


def read(store: ObjectStore, key: str) -> bytes:
    with store.get(key) as stream:
        return stream.read()


def keys(store: ObjectStore, prefix: str = "") -> list[str]:
    return [stored.key for stored in store.list(prefix)]


def together(*acts: Callable[[], object]) -> list[object]:
    """Run the acts at the same time; what each returned, or the ConflictError that it got."""
    barrier = threading.Barrier(len(acts))

    def run(act: Callable[[], object]) -> object:
        barrier.wait()
        try:
            return act()
        except ConflictError as error:
            return error

    with ThreadPoolExecutor(len(acts)) as pool:
        return list(pool.map(run, acts))


def test_what_is_put_is_got(store: ObjectStore) -> None:
    """Bytes of any kind come back as they were."""
    content = bytes(range(256)) * 10
    store.put("a/b/c.bin", content)
    assert read(store, "a/b/c.bin") == content


def test_an_empty_object_is_an_object(store: ObjectStore) -> None:
    """No bytes are not the same as no object."""
    store.put("empty", b"")
    assert read(store, "empty") == b""
    assert [(one.key, one.size) for one in store.list("")] == [("empty", 0)]


def test_a_local_file_is_put_and_stays(store: ObjectStore, tmp_path: Path) -> None:
    """`data` may be a path; the file is copied, not taken."""
    path = tmp_path / "given"
    path.write_bytes(b"x" * 3_000_000)
    store.put("big", path)
    assert read(store, "big") == path.read_bytes()


def test_a_put_replaces(store: ObjectStore) -> None:
    """The later of two puts is what is there."""
    store.put("k", b"a longer first version")
    store.put("k", b"second")
    assert read(store, "k") == b"second"
    assert keys(store) == ["k"]


def test_other_bytes_have_another_etag(store: ObjectStore) -> None:
    """Even when they are written in the same millisecond and are as many, so compare-and-swap cannot be fooled."""
    etags = [store.put("k", f"{n:03}".encode()) for n in range(100)]
    assert len(set(etags)) == 100


def test_a_put_returns_the_etag_that_a_listing_shows(store: ObjectStore) -> None:
    """So a writer need not look again before its next conditional put."""
    first = store.put("k", b"1234")
    assert [(one.etag, one.size) for one in store.list("k")] == [(first, 4)]
    second = store.put("k", b"12345", if_match=first)
    assert [(one.etag, one.size) for one in store.list("k")] == [(second, 5)]
    assert store.put("new", b"", if_absent=True) == next(store.list("new")).etag


def test_an_absent_key_is_not_found(store: ObjectStore) -> None:
    """The error is a StorageError and a FileNotFoundError, and names the key."""
    store.put("folder/file", b"")
    for key in ("nothing", "folder", "folder/other", "folder/file/below"):
        with pytest.raises(NotFoundError, match=key) as caught:
            store.get(key)
        assert isinstance(caught.value, FileNotFoundError)
        assert isinstance(caught.value, StorageError)


def test_if_absent_refuses_a_key_that_is_there(store: ObjectStore) -> None:
    """What is there stays."""
    store.put("k", b"first", if_absent=True)
    with pytest.raises(ConflictError, match="k is there already"):
        store.put("k", b"second", if_absent=True)
    assert read(store, "k") == b"first"


def test_if_absent_succeeds_after_a_delete(store: ObjectStore) -> None:
    """A deleted key is absent."""
    store.put("k", b"first")
    store.delete("k")
    store.put("k", b"second", if_absent=True)
    assert read(store, "k") == b"second"


def test_of_racing_threads_exactly_one_is_first(store: ObjectStore) -> None:
    """And what it wrote is whole."""
    for round_ in range(20):
        contents = [bytes([65 + n]) * 50_000 for n in range(6)]
        results = together(*(partial(store.put, f"r{round_}", content, if_absent=True) for content in contents))
        winners = [c for c, result in zip(contents, results, strict=True) if not isinstance(result, ConflictError)]
        assert [read(store, f"r{round_}")] == winners


def test_of_racing_processes_exactly_one_is_first(store: ObjectStore, name: str, root: Path) -> None:
    """Three processes claim the same 60 keys: each key has one owner, and the owner's bytes."""
    processes = [other_process.start(name, root, "claim", str(n), "60") for n in range(3)]
    for process in processes:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
    owners: dict[int, str] = {}
    for process in processes:
        assert process.stdin is not None
        process.stdin.write("\n")
        process.stdin.flush()
    for n, process in enumerate(processes):
        out, error = process.communicate(timeout=60)
        assert process.returncode == 0, error
        for claimed in out.split():
            assert int(claimed) not in owners
            owners[int(claimed)] = str(n)
    assert sorted(owners) == list(range(60))
    for number, owner in owners.items():
        assert read(store, f"claims/{number:03}") == f"{owner}\n".encode() * 2_000


def test_if_match_writes_only_over_what_was_seen(store: ObjectStore) -> None:
    """A stale etag, a wrong etag and an absent key are conflicts; nothing is changed."""
    seen = store.put("k", b"1")
    store.put("k", b"2")
    for key, etag in (("k", seen), ("k", "nonsense"), ("absent", seen)):
        with pytest.raises(ConflictError):
            store.put(key, b"3", if_match=etag)
    assert read(store, "k") == b"2"
    assert keys(store) == ["k"]


def test_racing_swaps_lose_nothing(store: ObjectStore, name: str, root: Path) -> None:
    """Three processes count to 20 each in one object, by compare-and-swap: it ends at 60."""
    store.put("counter", b"0")
    processes = [other_process.start(name, root, "count", "counter", "20") for _ in range(3)]
    for process in processes:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
    for process in processes:
        assert process.stdin is not None
        process.stdin.write("\n")
        process.stdin.flush()
    for process in processes:
        _, error = process.communicate(timeout=60)
        assert process.returncode == 0, error
    assert read(store, "counter") == b"60"


def test_a_reader_keeps_what_it_opened(store: ObjectStore) -> None:
    """Neither a put nor a delete changes the bytes of a stream that is open."""
    store.put("k", b"old" * 100_000)
    with store.get("k") as first:
        assert first.read(3) == b"old"
        store.put("k", b"new" * 100_000)
        with store.get("k") as second:
            store.delete("k")
            assert second.read() == b"new" * 100_000
        assert first.read() == b"old" * 99_999


def test_readers_see_whole_objects_while_it_is_replaced(store: ObjectStore) -> None:
    """Of many reads during many puts, each gives one writer's bytes, all of them."""
    store.put("k", b"0" * 200_000)
    done = threading.Event()

    def write() -> None:
        for n in range(60):
            store.put("k", str(n % 10).encode() * 200_000)
        done.set()

    def look() -> set[bytes]:
        seen = set()
        while not done.is_set():
            content = read(store, "k")
            seen.add(content[:1])
            assert content == content[:1] * 200_000
        return seen

    assert together(write, look)[1]


def test_a_listing_shows_what_starts_with_the_prefix(store: ObjectStore) -> None:
    """A prefix is text: it may end within a name, and there are no folders. The order is that of the keys."""
    for key in ("b", "a/z", "a/b/c", "a/b/d/e", "a/bc", "a-b", "ab/c", "B"):
        store.put(key, key.encode())
    everything = ["B", "a-b", "a/b/c", "a/b/d/e", "a/bc", "a/z", "ab/c", "b"]
    assert keys(store, "") == everything == sorted(everything)
    assert keys(store, "a") == ["a-b", "a/b/c", "a/b/d/e", "a/bc", "a/z", "ab/c"]
    assert keys(store, "a/") == ["a/b/c", "a/b/d/e", "a/bc", "a/z"]
    assert keys(store, "a/b") == ["a/b/c", "a/b/d/e", "a/bc"]
    assert keys(store, "a/b/") == ["a/b/c", "a/b/d/e"]
    assert keys(store, "a/b/c") == ["a/b/c"]
    assert keys(store, "a/b/c/") == []
    assert keys(store, "nothing/here") == []


def test_a_listing_of_an_empty_store_is_empty(store: ObjectStore) -> None:
    """Nothing needs to be made first."""
    assert keys(store, "") == keys(store, "a/") == []


def test_a_listing_tells_size_and_time(store: ObjectStore, tmp_path: Path) -> None:
    """`modified` is epoch seconds of the write, not of the file that was given."""
    path = tmp_path / "given"
    path.write_bytes(b"123")
    os.utime(path, (0, 0))
    before = path.stat().st_ctime - 5
    store.put("k", path)
    (stored,) = store.list("")
    assert stored.size == 3
    assert before < stored.modified < before + 600


def test_a_delete_removes_and_may_come_twice(store: ObjectStore) -> None:
    """Nor does it matter that there never was such a key, or that it is only the start of others."""
    store.put("a/b", b"")
    for key in ("a/b", "a/b", "never", "never/there"):
        store.delete(key)
    assert keys(store) == []
    store.put("c/d", b"")
    store.delete("c")
    store.delete("c/d/e")
    assert keys(store) == ["c/d"]


NO_KEYS = (
    "../x",
    "a/../../x",
    "..",
    ".",
    "a/./b",
    "/etc/passwd",
    "",
    "a//b",
    "a/",
    "/",
    ".hidden",
    "a/.hidden",
    "a\\b",
    "a\0b",
    "a\nb",
    "a\n",
    "é",
    "a*",
    "~/x?",
    " a",
)


@pytest.mark.parametrize("key", NO_KEYS, ids=repr)
def test_a_key_cannot_leave_the_store(store: ObjectStore, tmp_path: Path, key: str) -> None:
    """What could be a place outside, or is not portable, is refused by every method, with the allowed signs."""
    (tmp_path / "x").write_text("outside")
    for act in (store.get, store.delete, lambda key: store.put(key, b""), lambda key: list(store.list(key + "/"))):
        with pytest.raises(StorageError, match=r"not a key: .* use parts of letters, digits and"):
            act(key)
    assert (tmp_path / "x").read_text() == "outside"


@pytest.mark.parametrize("key", ["a=1/b", "2026-11-21T05", "x@y", "a+b,c:d", "~a", "_a", "a b", "a..b", "=", "-a"])
def test_keys_of_all_allowed_signs_work(store: ObjectStore, key: str) -> None:
    """They are kept as they are."""
    store.put(key, b"x")
    assert keys(store, key) == [key]
    assert read(store, key) == b"x"


def test_a_writer_that_is_killed_leaves_nothing_visible(
    store: ObjectStore, name: str, root: Path, tmp_path: Path
) -> None:
    """A process is killed when it has read half of what it puts: the old object stays, a new key does not appear."""
    store.put("old", b"old")
    for key in ("old", "new"):
        pipe = tmp_path / f"pipe-{key}"
        os.mkfifo(pipe)
        process = other_process.start(name, root, "put", key, pipe)
        with pipe.open("wb", buffering=0) as out:
            for _ in range(80):  # a pipe holds 64 KB, so that most of it has been read
                out.write(b"x" * 100_000)
            process.send_signal(signal.SIGKILL)
            process.communicate(timeout=60)
    assert keys(store) == ["old"]
    assert read(store, "old") == b"old"
    store.put("new", b"new", if_absent=True)
    assert keys(store) == ["new", "old"]


def test_a_source_file_that_is_absent_is_a_storage_error(store: ObjectStore, tmp_path: Path) -> None:
    """And nothing is written."""
    with pytest.raises(StorageError, match="No such file"):
        store.put("k", tmp_path / "absent")
    assert keys(store) == []
