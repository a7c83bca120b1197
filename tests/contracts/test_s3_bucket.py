"""What only S3Bucket promises, or could get wrong."""

from __future__ import annotations

import os
import subprocess
import sys
import time
import tracemalloc
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from console.standins.processes import accepts
from console.standins.s3 import S3Server
from dsp_pipeline.errors import ConflictError, StorageError
from dsp_pipeline.storage.s3 import S3Bucket, s3_client
from tests.contracts.implementations import new_bucket, s3_server, s3_test_client

REPOSITORY = Path(__file__).parents[2]
MIB = 1 << 20


class Watched:
    """A client whose requests are noted: the operation and the headers."""

    def __init__(self) -> None:
        self.requests: list[tuple[str, Any]] = []
        self.client = s3_client(**S3Server.settings_of(s3_server().url))
        self.client.meta.events.register("before-send.s3.*", self._note)

    def _note(self, request: Any, event_name: str, **_: Any) -> None:
        self.requests.append((event_name.rpartition(".")[2], request))

    def names(self) -> list[str]:
        return [name for name, _ in self.requests]


@pytest.fixture
def watched() -> Iterator[Watched]:
    watched = Watched()
    yield watched
    watched.client.close()


@pytest.fixture
def store(watched: Watched) -> S3Bucket:
    return S3Bucket(new_bucket(), "lake", client=watched.client)


@pytest.fixture
def unversioned(watched: Watched) -> S3Bucket:
    return S3Bucket(new_bucket(versioned=False), "lake", client=watched.client)


def read(store: S3Bucket, key: str) -> bytes:
    with store.get(key) as stream:
        return stream.read()


@pytest.mark.parametrize("prefix", ["", "/", "a", "a/", "/a/b/"])
def test_a_prefix_may_be_written_with_slashes_or_without(watched: Watched, prefix: str) -> None:
    """Keys are told without it, and it is one folder of the bucket."""
    bucket = new_bucket()
    store = S3Bucket(bucket, prefix, client=watched.client)
    store.put("x/y", b"1")
    folder = prefix.strip("/")
    listed = watched.client.list_objects_v2(Bucket=bucket)["Contents"]
    assert [one["Key"] for one in listed] == [f"{folder}/x/y" if folder else "x/y"]
    assert [one.key for one in store.list("")] == ["x/y"]
    assert repr(store) == (f"s3://{bucket}/{folder}" if folder else f"s3://{bucket}")


def test_a_neighbour_with_a_longer_name_is_not_listed(watched: Watched, store: S3Bucket) -> None:
    """`lakeside/` is not in `lake/`."""
    S3Bucket(store.bucket, "lakeside", client=watched.client).put("k", b"")
    assert list(store.list("")) == []


def test_making_one_asks_for_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither credentials nor boto3 are needed before the first use."""
    script = (
        "import sys; from dsp_pipeline.storage.s3 import S3Bucket; print(S3Bucket('b', 'p'), 'boto3' in sys.modules, "
        "'botocore' in sys.modules)"
    )
    monkeypatch.setenv("AWS_PROFILE", "there-is-none")
    told = subprocess.run([sys.executable, "-c", script], cwd=REPOSITORY, capture_output=True, text=True, check=True)
    assert told.stdout == "s3://b/p False False\n"


def test_by_itself_it_uses_the_settings_that_boto3_uses(monkeypatch: pytest.MonkeyPatch) -> None:
    """AWS_ENDPOINT_URL and the credentials of the environment, for one."""
    bucket = new_bucket()
    settings = S3Server.settings_of(s3_server().url)
    monkeypatch.setenv("AWS_ENDPOINT_URL", settings["endpoint_url"])
    monkeypatch.setenv("AWS_DEFAULT_REGION", settings["region_name"])
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", settings["aws_access_key_id"])
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", settings["aws_secret_access_key"])
    store = S3Bucket(bucket)
    store.put("k", b"1")
    assert read(store, "k") == b"1"


def test_a_forked_process_makes_its_own_client(tmp_path: Path) -> None:
    """Parent and child read at the same time, over connections of their own; a given client is not taken over."""
    script = """
import os, sys
from pathlib import Path
from dsp_pipeline.errors import StorageError
from dsp_pipeline.storage.s3 import S3Bucket, s3_client
url, bucket = sys.argv[1:]
made = []
def make():
    made.append(os.getpid())
    return s3_client(endpoint_url=url, region_name="us-east-1", aws_access_key_id="x", aws_secret_access_key="x")
store = S3Bucket(bucket, client=make)
given = S3Bucket(bucket, client=make())
content = os.urandom(300_000)
store.put("k", content)
given.put("g", content)
child = os.fork()
for _ in range(20):
    with store.get("k") as stream:
        assert stream.read() == content
if child:
    assert os.waitpid(child, 0)[1] == 0
    assert made == [os.getpid()] * 2
else:
    assert made == [os.getppid()] * 2 + [os.getpid()]
    try:
        given.get("g")
    except StorageError as error:
        assert "give it a function" in str(error)
    else:
        raise AssertionError
"""
    command = [sys.executable, "-c", script, s3_server().url, new_bucket()]
    ended = subprocess.run(command, cwd=REPOSITORY, capture_output=True, text=True, check=False)
    assert ended.returncode == 0, ended.stderr


def test_a_listing_is_read_page_by_page(watched: Watched, store: S3Bucket) -> None:
    """The next page is asked for when the one before is used up. (The server shows five keys a page.)"""
    for number in range(12):
        store.put(f"a/{number:02}", b"")
    store.put("b/1", b"")
    watched.requests.clear()
    listing = store.list("a/")
    assert watched.names() == []
    assert [next(listing).key for _ in range(5)] == [f"a/{number:02}" for number in range(5)]
    assert watched.names() == ["ListObjectsV2"]
    assert [one.key for one in listing] == [f"a/{number:02}" for number in range(5, 12)]
    assert watched.names() == ["ListObjectsV2"] * 3


def test_keys_that_we_could_not_write_do_not_stop_a_listing(watched: Watched, store: S3Bucket) -> None:
    """A raw bucket is filled by others. What is no file is left out; what has an odd name shows, but is not read."""
    odd = ["a//b", "a%20b", "a+b", "a\tb", "a&b<c>", "é", "日志/1.gz", "..a", "b?"]
    for key in [*odd, "plain", "", "folder/", ".hidden", "a/.tmp/x"]:
        watched.client.put_object(Bucket=store.bucket, Key=f"lake/{key}", Body=b"")
    shown = [one.key for one in store.list("")]
    assert sorted(shown) == sorted([*odd[:-2], "b?", "plain"])
    assert shown == sorted(shown, key=str.encode)
    with pytest.raises(StorageError, match="not a key: 'é'"):
        store.get("é")


def test_writing_the_same_bytes_again_keeps_the_etag(store: S3Bucket) -> None:
    """So compare-and-swap takes such a key for unchanged, as its bytes are."""
    first = store.put("k", b"A")
    store.put("k", b"B")
    assert store.put("k", b"A") == first
    store.put("k", b"C", if_match=first)
    assert read(store, "k") == b"C"


def test_small_objects_take_one_request_each(watched: Watched, store: S3Bucket) -> None:
    """Receipts are many and small: a put is one request, and so is reading; a lost race is one, too."""
    store.put("k", b"1", if_absent=True)
    assert read(store, "k") == b"1"
    with pytest.raises(ConflictError):
        store.put("k", b"2", if_absent=True)
    assert watched.names() == ["PutObject", "GetObject", "PutObject"]


def test_a_stream_may_be_sought_in(store: S3Bucket) -> None:
    """As in a file: from the start, from here, from the end, beyond the end."""
    content = os.urandom(3 * MIB)
    store.put("k", content)
    with store.get("k") as stream:
        assert stream.readable() and stream.seekable() and not stream.writable()
        for place, whence, at in (
            (10, 0, 10),
            (-7, 2, 3 * MIB - 7),
            (2 * MIB, 0, 2 * MIB),
            (100, 1, 2 * MIB + 105),
            (-MIB, 1, MIB + 110),
            (0, 0, 0),
        ):
            assert stream.seek(place, whence) == at == stream.tell()
            assert stream.read(5) == content[at : at + 5]
        assert stream.seek(4 * MIB) == 4 * MIB
        assert stream.read() == stream.read(1) == b""
        with pytest.raises((ValueError, OSError)):
            stream.seek(-1)
        stream.seek(MIB)
        assert stream.read() == content[MIB:]
    with pytest.raises(ValueError, match="closed"):
        stream.read()


def test_reading_in_order_is_one_request(watched: Watched, store: S3Bucket) -> None:
    """Whatever the sizes of the reads, and if a little is skipped."""
    content = os.urandom(3 * MIB)
    store.put("k", content)
    watched.requests.clear()
    with store.get("k") as stream:
        assert stream.read(1) == content[:1]
        assert stream.read(MIB) == content[1 : MIB + 1]
        stream.seek(500_000, 1)
        assert stream.read() == content[MIB + 1 + 500_000 :]
    assert watched.names() == ["GetObject"]


def test_two_columns_of_a_parquet_file_take_few_requests(watched: Watched, store: S3Bucket) -> None:
    """One for get, one for the file's end, one for each column: the 8 MB between them are not read."""
    rows = 50_000
    table = pa.table(
        {
            "a": pa.array(range(rows), pa.int32()),
            "between": pa.array([os.urandom(160) for _ in range(rows)]),
            "b": pa.array((n * 7 % rows for n in range(rows)), pa.int32()),
        }
    )
    sink = pa.BufferOutputStream()
    pq.write_table(table, sink, use_dictionary=False, compression="none", row_group_size=rows)
    store.put("t.parquet", sink.getvalue().to_pybytes())
    watched.requests.clear()
    with store.get("t.parquet") as stream:
        got = pq.ParquetFile(stream).read(columns=["a", "b"])
    assert got.equals(table.select(["a", "b"]))
    assert watched.names() == ["GetObject"] * 4


def test_what_is_read_is_what_was_opened_also_after_a_jump(watched: Watched, store: S3Bucket) -> None:
    """A bucket with versions gives the old bytes, though the key has been replaced or removed."""
    old = os.urandom(5 * MIB)
    store.put("k", old)
    with store.get("k") as first, store.get("k") as second:
        store.put("k", b"new" * 1_000_000)
        first.seek(4 * MIB)
        assert first.read(1000) == old[4 * MIB : 4 * MIB + 1000]
        store.delete("k")
        second.seek(4 * MIB)
        assert second.read() == old[4 * MIB :]
        first.seek(2 * MIB)
        assert first.read() == old[2 * MIB :]


def test_versions_are_asked_for_only_when_needed(watched: Watched, store: S3Bucket) -> None:
    """Reading an old version takes a permission of its own (s3:GetObjectVersion), which a reader may not have."""
    store.put("k", bytes(3 * MIB))
    watched.requests.clear()
    with store.get("k") as stream:
        stream.seek(2 * MIB)
        stream.read(10)
    (_, whole), (_, part) = watched.requests
    assert "versionId" not in whole.url + part.url
    assert part.headers["If-Match"]


def test_without_versions_a_changed_object_is_never_mixed(unversioned: S3Bucket) -> None:
    """What one answer brings is the old object; a jump after it was replaced or removed is an error."""
    old = os.urandom(5 * MIB)
    for change in (lambda: unversioned.put("k", os.urandom(5 * MIB)), lambda: unversioned.delete("k")):
        unversioned.put("k", old)
        with unversioned.get("k") as in_order, unversioned.get("k") as jumping:
            change()
            assert in_order.read() == old
            jumping.seek(4 * MIB)
            with pytest.raises(StorageError, match=r"k was changed while it was read; run this again\.$") as caught:
                jumping.read(1)
            assert not isinstance(caught.value, OSError)


def test_a_big_file_goes_in_parts(watched: Watched, tmp_path: Path) -> None:
    """And comes back as it was, with the etag that a listing shows; so do big bytes."""
    store = S3Bucket(new_bucket(), client=watched.client, multipart_above=9 * MIB)
    content = os.urandom(19 * MIB)
    (tmp_path / "big").write_bytes(content)
    for key, data in (("file", tmp_path / "big"), ("bytes", content)):
        watched.requests.clear()
        etag = store.put(key, data)
        assert sorted(watched.names()) == [
            "CompleteMultipartUpload",
            "CreateMultipartUpload",
            *["UploadPart"] * 3,
        ]
        (stored,) = store.list(key)
        assert (stored.etag, stored.size) == (etag, len(content))
        assert read(store, key) == content


def test_conditions_hold_for_big_files(watched: Watched, tmp_path: Path) -> None:
    """What is there stays, and no parts stay."""
    store = S3Bucket(new_bucket(), client=watched.client, multipart_above=9 * MIB)
    path = tmp_path / "big"
    path.write_bytes(bytes(10 * MIB))
    store.put("k", path, if_absent=True)
    path.write_bytes(b"1" * 10 * MIB)
    with pytest.raises(ConflictError, match="k is there already"):
        store.put("k", path, if_absent=True)
    assert read(store, "k") == bytes(10 * MIB)
    assert "Uploads" not in watched.client.list_multipart_uploads(Bucket=store.bucket)
    # moto does not look at this header when it completes an upload, so here only that it is sent:
    store.put("k", path, if_match="seen")
    assert watched.requests[-1][1].headers["If-Match"] in ('"seen"', b'"seen"')


def test_memory_stays_flat_however_big_the_object_is(tmp_path: Path) -> None:
    """A file of 100 MiB is sent and read with what a few parts take."""
    store = S3Bucket(new_bucket(), client=s3_test_client(s3_server().url))
    path = tmp_path / "big"
    with path.open("wb") as file:
        file.truncate(100 * MIB)
    store.put("warm", b"up")
    tracemalloc.start()
    try:
        store.put("k", path)
        _, sending = tracemalloc.get_traced_memory()
        tracemalloc.reset_peak()
        size = 0
        with store.get("k") as stream:
            while piece := stream.read(MIB):
                size += len(piece)
        _, reading = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert size == 100 * MIB
    assert sending < 50 * MIB
    assert reading < 8 * MIB


def test_buckets_of_two_accounts_stand_side_by_side(watched: Watched) -> None:
    """Raw logs may lie in another account than the lake: each has its own client, and nothing is shared."""
    other = s3_client(**{**S3Server.settings_of(s3_server().url), "aws_access_key_id": "other"})
    try:
        raw = S3Bucket(new_bucket(), client=other)
        lake = S3Bucket(new_bucket(), client=watched.client)
        raw.put("k", b"raw")
        with raw.get("k") as stream:
            lake.put("k", stream.read())
        assert read(lake, "k") == b"raw"
        assert {request.headers["Authorization"].split(b"/")[0] for _, request in watched.requests} == {
            b"AWS4-HMAC-SHA256 Credential=standin"
        }
    finally:
        other.close()


def test_the_server_ends_with_the_process_that_started_it(tmp_path: Path) -> None:
    """Even if that is killed: nothing listens on its port then."""
    script = "from console.standins.s3 import S3Server; print(S3Server().url, flush=True); input()"
    process = subprocess.Popen(
        [sys.executable, "-c", script],
        cwd=REPOSITORY,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "TMPDIR": str(tmp_path)},  # what the killed process leaves
    )
    assert process.stdout is not None
    port = int(process.stdout.readline().rpartition(":")[2])
    assert accepts(port)
    process.kill()
    process.communicate()
    deadline = time.monotonic() + 30
    while accepts(port) and time.monotonic() < deadline:
        time.sleep(0.02)
    assert not accepts(port)
