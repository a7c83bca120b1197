"""A download that is cut, stalls or is damaged goes on, or ends in a sentence."""

from __future__ import annotations

import gzip
import os
from collections.abc import Callable
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from dsp_pipeline.errors import StorageError
from dsp_pipeline.events.lines import LineReader, RawFile
from dsp_pipeline.storage.s3 import S3Bucket
from tests.contracts.implementations import new_bucket
from tests.faults.proxy import Answer, CutDownload, Damage, FaultProxy, StallDownload
from tests.faults.s3.acts import CONTENT, MIB, read, refusal


@pytest.mark.parametrize("after", [0, 1, 300_000, MIB - 1])
def test_a_download_that_is_cut_goes_on_where_it_was(
    store: S3Bucket, truth: S3Bucket, proxy: FaultProxy, after: int
) -> None:
    """By a request for the rest of the same object; the bytes are the same."""
    truth.put("k", CONTENT)
    proxy.rule(CutDownload(after), method="GET", times=1)
    assert read(store, "k") == CONTENT
    first, second = proxy.seen
    assert "range" not in first.headers
    assert second.headers["range"] == f"bytes={after}-"
    assert second.headers["if-match"]


def test_a_download_may_be_cut_often_if_it_gets_on(store: S3Bucket, truth: S3Bucket, proxy: FaultProxy) -> None:
    """Here ten times, each time after another hundred kilobytes."""
    truth.put("k", CONTENT)
    proxy.rule(CutDownload(100_000), method="GET", times=10)
    assert read(store, "k") == CONTENT
    assert proxy.count("GET") == 11


def test_a_download_that_stalls_goes_on_where_it_was(impatient: S3Bucket, truth: S3Bucket, proxy: FaultProxy) -> None:
    """After the timeout it counts as cut."""
    truth.put("k", CONTENT)
    proxy.rule(StallDownload(MIB // 2), method="GET", times=1)
    assert read(impatient, "k") == CONTENT
    assert proxy.count() == 2


def test_a_whole_object_in_place_of_a_range_is_refused(store: S3Bucket, truth: S3Bucket, proxy: FaultProxy) -> None:
    """Its first bytes are not those that were asked for."""
    truth.put("k", CONTENT * 3)
    with store.get("k") as stream:
        stream.seek(2 * MIB)
        proxy.rule(Answer(200, CONTENT * 3))
        with pytest.raises(StorageError, match="k cannot be read: S3, or a proxy before it, gives no ranges of bytes"):
            stream.read(10)


def test_a_cut_download_goes_on_with_the_object_that_was_opened(
    store: S3Bucket, truth: S3Bucket, proxy: FaultProxy
) -> None:
    """Though it was replaced meanwhile: the bucket keeps versions."""
    truth.put("k", CONTENT)
    proxy.rule(CutDownload(MIB // 2), method="GET", times=1)
    with store.get("k") as stream:
        truth.put("k", b"x" * MIB)
        assert stream.read() == CONTENT


@pytest.mark.parametrize("change", ["put", "delete"])
def test_without_versions_a_cut_download_of_a_changed_object_ends(client: Any, proxy: FaultProxy, change: str) -> None:
    """Never a mix of two objects."""
    store = S3Bucket(new_bucket(versioned=False), client=client)
    store.put("k", CONTENT)
    proxy.rule(CutDownload(MIB // 2), method="GET", times=1)
    with store.get("k") as stream:
        store.put("k", b"x" * MIB) if change == "put" else store.delete("k")
        with pytest.raises(StorageError, match="k was changed while it was read; run this again"):
            stream.read()


def through_lines(compression: str) -> Callable[[S3Bucket], object]:
    """Reading raw logs, as ingest does."""
    reader = LineReader("json", compression, lambda reject: None)
    return lambda store: list(reader.blocks([RawFile("k", lambda: store.get("k"))], False))


RAW = b"".join(b'{"number": %d, "noise": "%s"}\n' % (n, os.urandom(20).hex().encode()) for n in range(30_000))
READERS: dict[str, tuple[bytes, Callable[[S3Bucket], object]]] = {
    "whole": (CONTENT, lambda store: read(store, "k")),
    "plain lines": (RAW, through_lines("none")),
    "gzip": (gzip.compress(RAW), through_lines("gzip")),
    "zstd": (pa.compress(RAW, "zstd", asbytes=True), through_lines("zstd")),
}


@pytest.mark.parametrize("reader", READERS)
def test_a_download_that_stays_cut_is_a_storage_error_through_every_reader(
    store: S3Bucket, truth: S3Bucket, proxy: FaultProxy, reader: str
) -> None:
    """Not a damaged file, as which readers of compressed files take an OSError: the sentence comes through."""
    content, act = READERS[reader]
    truth.put("k", content)
    proxy.rule(CutDownload(200_000), method="GET", times=1)
    proxy.rule(CutDownload(0), method="GET")
    with pytest.raises(StorageError) as caught:
        act(store)
    assert type(caught.value) is StorageError
    assert str(caught.value) == (
        f"s3://{store.bucket}/lake/k cannot be read: the connection broke 5 times at byte 200000 of {len(content)}; "
        "run this again later."
    )


def test_an_error_while_parquet_is_read_keeps_its_sentence(store: S3Bucket, truth: S3Bucket, proxy: FaultProxy) -> None:
    """Also through Arrow."""
    sink = pa.BufferOutputStream()
    pq.write_table(pa.table({"a": [CONTENT], "b": [CONTENT]}), sink)
    truth.put("k", sink.getvalue().to_pybytes())
    with store.get("k") as stream:
        file = pq.ParquetFile(stream)
        proxy.rule(refusal(403, "AccessDenied"))
        with pytest.raises(StorageError, match="allow s3:GetObject on") as caught:
            file.read()
    assert type(caught.value) is StorageError


def test_a_byte_that_was_changed_on_the_way_is_found(store: S3Bucket, truth: S3Bucket, proxy: FaultProxy) -> None:
    """By the checksum that S3 keeps with the object."""
    truth.put("k", CONTENT)
    proxy.rule(Damage(at=500_000), method="GET")
    with pytest.raises(StorageError, match=r"k came damaged \(its checksum differs\); run this again"):
        read(store, "k")
