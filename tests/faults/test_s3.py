"""What S3Bucket does when S3, or the network before it, does not do what it should."""

from __future__ import annotations

import gzip
import os
import socket
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from botocore.config import Config

from console.standins.s3 import S3Server
from dsp_pipeline.errors import ConflictError, NotFoundError, StorageError
from dsp_pipeline.events.lines import LineReader, RawFile
from dsp_pipeline.storage.s3 import S3Bucket, s3_client
from tests.contracts.implementations import new_bucket, s3_server, s3_test_client
from tests.faults.proxy import (
    Answer,
    CutDownload,
    CutUpload,
    Damage,
    Delay,
    FaultProxy,
    LoseAnswer,
    Silence,
    StallDownload,
)

MIB = 1 << 20
CONTENT = os.urandom(MIB)
SECRET = "wJalrXUtnFEMI"  # noqa: S105 (nobody's)


def refusal(status: int, code: str, message: str = "told by S3", **more: str) -> Answer:
    """An answer as S3 writes it."""
    details = "".join(f"<{name}>{value}</{name}>" for name, value in more.items())
    body = f"<?xml version='1.0'?><Error><Code>{code}</Code><Message>{message}</Message>{details}</Error>"
    return Answer(status, body.encode(), {"Content-Type": "application/xml"})


SLOW_DOWN = refusal(503, "SlowDown", "Please reduce your request rate.")
INTERNAL = refusal(500, "InternalError", "We encountered an internal error. Please try again.")


@pytest.fixture
def proxy() -> Iterator[FaultProxy]:
    with FaultProxy(s3_server().url) as proxy:
        yield proxy


@pytest.fixture
def client(proxy: FaultProxy) -> Iterator[Any]:
    settings = {**S3Server.settings_of(proxy.url), "aws_secret_access_key": SECRET}
    client = s3_client(**settings)
    yield client
    client.close()


@pytest.fixture
def store(client: Any) -> S3Bucket:
    """Our lake, through the proxy."""
    return S3Bucket(new_bucket(), "lake", client=client, multipart_above=9 * MIB)


@pytest.fixture
def impatient(store: S3Bucket, proxy: FaultProxy) -> Iterator[S3Bucket]:
    """The same, but it waits for a second only, and asks three times."""
    config = Config(read_timeout=1, retries={"total_max_attempts": 3})
    client = s3_client(config=config, **S3Server.settings_of(proxy.url))
    yield S3Bucket(store.bucket, "lake", client=client)
    client.close()


@pytest.fixture
def truth(store: S3Bucket) -> S3Bucket:
    """The same, past the proxy."""
    return S3Bucket(store.bucket, "lake", client=s3_test_client(s3_server().url))


@pytest.fixture
def big(tmp_path: Path) -> Path:
    """A file of two parts."""
    path = tmp_path / "big"
    path.write_bytes(CONTENT * 12)
    return path


def read(store: S3Bucket, key: str) -> bytes:
    with store.get(key) as stream:
        return stream.read()


def keys(store: S3Bucket) -> list[str]:
    return [one.key for one in store.list("")]


def parts_left(store: S3Bucket) -> int:
    return len(s3_test_client(s3_server().url).list_multipart_uploads(Bucket=store.bucket).get("Uploads", ()))


ACTS: dict[str, Callable[[S3Bucket], object]] = {
    "get": lambda store: read(store, "k"),
    "put": lambda store: store.put("k", b"2"),
    "list": lambda store: list(store.list("a/")),
    "delete": lambda store: store.delete("k"),
}


@pytest.mark.parametrize("act", ACTS)
def test_s3_that_is_busy_for_a_moment_is_asked_again(
    store: S3Bucket, truth: S3Bucket, proxy: FaultProxy, act: str
) -> None:
    """503 SlowDown twice, then the answer: three requests."""
    truth.put("k", b"1")
    proxy.rule(SLOW_DOWN if act == "get" else refusal(503, "ServiceUnavailable"), times=2)
    ACTS[act](store)
    assert proxy.count() == 3


@pytest.mark.parametrize("act", ACTS)
def test_s3_that_stays_broken_is_one_sentence_soon(store: S3Bucket, proxy: FaultProxy, act: str) -> None:
    """It tells what was answered and how often."""
    proxy.rule(INTERNAL)
    began = time.monotonic()
    with pytest.raises(StorageError) as caught:
        ACTS[act](store)
    assert time.monotonic() - began < 15
    assert proxy.count() == (12 if act == "put" else 6)  # after a put, whether it is there nevertheless
    key = "a/" if act == "list" else "k"
    done = {"get": "read", "put": "written", "list": "listed", "delete": "removed"}[act]
    assert str(caught.value) == (
        f"s3://{store.bucket}/lake/{key} cannot be {done}: S3 answered 500 InternalError 6 times; run this again "
        "later, with fewer workers if it lasts."
    )


def test_an_upload_that_is_cut_is_sent_again_as_a_whole(store: S3Bucket, truth: S3Bucket, proxy: FaultProxy) -> None:
    """What had come through before does not count."""
    proxy.rule(CutUpload(after=MIB // 2), method="PUT", times=2)
    etag = store.put("k", CONTENT)
    assert proxy.count("PUT") == 3
    assert read(truth, "k") == CONTENT
    assert [one.etag for one in truth.list("")] == [etag]


@pytest.mark.parametrize("old", [None, b"old"], ids=["new", "replaced"])
def test_an_upload_that_is_cut_again_and_again_stores_nothing(
    store: S3Bucket, truth: S3Bucket, proxy: FaultProxy, tmp_path: Path, old: bytes | None
) -> None:
    """A new key does not appear, an old one stays as it was."""
    if old:
        truth.put("k", old)
    path = tmp_path / "file"
    path.write_bytes(CONTENT)
    proxy.rule(CutUpload(after=MIB // 2), method="PUT")
    for data in (CONTENT, path):
        with pytest.raises(StorageError, match=r"lake/k cannot be written: S3 broke off the connection, also when"):
            store.put("k", data)
    assert [read(truth, key) for key in keys(truth)] == [old] * bool(old)


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


@pytest.mark.parametrize("act", ACTS)
def test_an_answer_that_does_not_come_in_time_is_asked_for_again(
    impatient: S3Bucket, truth: S3Bucket, proxy: FaultProxy, act: str
) -> None:
    """The second request is answered."""
    truth.put("k", b"1")
    proxy.rule(Silence(), times=1)
    ACTS[act](impatient)
    assert proxy.count() == 2


def test_an_answer_that_never_comes_is_one_sentence(impatient: S3Bucket, proxy: FaultProxy) -> None:
    """After as many attempts as for any other fault."""
    proxy.rule(Silence())
    with pytest.raises(StorageError, match="k cannot be read: S3 did not answer in time, also when asked again; run"):
        impatient.get("k")
    assert proxy.count() == 3


def test_a_slow_answer_is_waited_for(store: S3Bucket, truth: S3Bucket, proxy: FaultProxy) -> None:
    """As long as the timeout says."""
    truth.put("k", b"1")
    proxy.rule(Delay(0.1))
    assert read(store, "k") == b"1"
    assert proxy.count() == 1


def test_a_write_whose_answer_was_lost_is_a_success(
    store: S3Bucket, truth: S3Bucket, proxy: FaultProxy, big: Path
) -> None:
    """The second request of a conditional put is refused because of the first: that was ours, and we are told so."""
    for name in ("claim", "swap", "plain"):
        proxy.rule(LoseAnswer(), method="PUT", path=f"/{name}", times=1)
    proxy.rule(LoseAnswer(), method="POST", path="uploadId", times=2)
    seen = truth.put("swap", b"old")
    written = {
        "claim": store.put("claim", b"new", if_absent=True),
        "swap": store.put("swap", b"new", if_match=seen),
        "plain": store.put("plain", b"new"),
        "big": store.put("big", big, if_absent=True),
    }
    assert {one.key: one.etag for one in truth.list("")} == written
    assert read(truth, "claim") == read(truth, "swap") == read(truth, "plain") == b"new"
    assert read(truth, "big") == big.read_bytes()
    assert [proxy.count(path=f"/{name}") for name in ("claim", "swap", "plain")] == [3, 3, 2]  # one is the look
    assert parts_left(truth) == 0


def test_a_write_of_which_every_answer_was_lost_is_looked_for(
    store: S3Bucket, truth: S3Bucket, proxy: FaultProxy, big: Path
) -> None:
    """It is a success if it is there: the caller would take back what belongs to it."""
    proxy.rule(LoseAnswer(), method="PUT", path="/k")
    proxy.rule(LoseAnswer(), method="POST", path="uploadId")
    written = {"big": store.put("big", big, if_absent=True), "k": store.put("k", b"1", if_absent=True)}
    assert {one.key: one.etag for one in truth.list("")} == written


def test_an_upload_in_parts_whose_answer_was_lost_and_that_s3_knows_no_more_is_a_success(
    store: S3Bucket, truth: S3Bucket, proxy: FaultProxy, big: Path
) -> None:
    """S3 may say that there is no such upload, or that there is such an object: it is ours."""
    for number, answer in enumerate((refusal(404, "NoSuchUpload"), refusal(412, "PreconditionFailed"))):
        proxy.rule(LoseAnswer(), method="POST", path="uploadId", times=1)
        proxy.rule(answer, method="POST", path="uploadId", times=1)
        etag = store.put(f"k{number}", big, if_absent=True)
        assert [one.etag for one in truth.list(f"k{number}")] == [etag]


def test_a_conflict_whose_answer_was_lost_is_still_a_conflict(
    store: S3Bucket, truth: S3Bucket, proxy: FaultProxy
) -> None:
    """Asked again, S3 refuses again, and what is there is another's, even with the same bytes."""
    truth.put("k", b"same")
    truth.put("gone", b"same")
    seen = truth.put("gone", b"other")
    truth.delete("gone")
    proxy.rule(LoseAnswer(), method="PUT", times=3)
    with pytest.raises(ConflictError, match="k is there already; another writer was first"):
        store.put("k", b"same", if_absent=True)
    with pytest.raises(ConflictError, match="gone was changed meanwhile; look at it again, then decide"):
        store.put("gone", b"new", if_match=seen)
    assert keys(truth) == ["k"]


def test_a_write_that_meets_another_is_tried_again(
    store: S3Bucket, truth: S3Bucket, proxy: FaultProxy, big: Path
) -> None:
    """S3 answers 409 while another conditional write, or a delete, of the key is under way; then it writes."""
    busy = refusal(409, "ConditionalRequestConflict")
    proxy.rule(busy, method="PUT", path="/small", times=2)
    proxy.rule(busy, method="POST", path="uploadId", times=1)
    store.put("small", b"1", if_absent=True)
    store.put("big", big, if_absent=True)
    assert proxy.count("PUT", "/small") == 3
    assert read(truth, "small") == b"1"
    assert read(truth, "big") == big.read_bytes()
    assert parts_left(truth) == 0


def test_a_write_that_meets_others_for_ever_is_a_conflict(store: S3Bucket, proxy: FaultProxy) -> None:
    """With a condition; without one it is an error."""
    proxy.rule(refusal(409, "ConditionalRequestConflict"), method="PUT")
    with pytest.raises(ConflictError, match="k is there already"):
        store.put("k", b"1", if_absent=True)
    with pytest.raises(StorageError, match="k cannot be written: S3 refused it 5 times") as caught:
        store.put("k", b"1")
    assert not isinstance(caught.value, ConflictError)


def test_an_upload_in_parts_survives_a_part_that_is_cut(
    store: S3Bucket, truth: S3Bucket, proxy: FaultProxy, big: Path
) -> None:
    """Only that part is sent again."""
    proxy.rule(CutUpload(after=MIB), path="partNumber=2", times=1)
    store.put("k", big)
    assert read(truth, "k") == big.read_bytes()
    assert (proxy.count(path="partNumber=1"), proxy.count(path="partNumber=2")) == (1, 2)


@pytest.mark.parametrize("conditions", [{}, {"if_absent": True}], ids=str)
def test_an_upload_in_parts_that_fails_leaves_nothing(
    store: S3Bucket, truth: S3Bucket, proxy: FaultProxy, big: Path, conditions: dict[str, Any]
) -> None:
    """No object, and no parts that cost money."""
    proxy.rule(CutUpload(after=MIB), path="partNumber=2")
    with pytest.raises(StorageError, match="k cannot be written: S3 broke off the connection"):
        store.put("k", big, **conditions)
    assert keys(truth) == []
    assert parts_left(truth) == 0
    assert proxy.count("DELETE", "uploadId") == 1


def test_an_upload_in_parts_that_loses_the_race_leaves_nothing(
    store: S3Bucket, truth: S3Bucket, proxy: FaultProxy, big: Path
) -> None:
    """The conditions stand in the last request, which is the one that S3 decides about."""
    proxy.rule(refusal(412, "PreconditionFailed"), method="POST", path="uploadId")
    for conditions, header, sentence in (
        ({"if_absent": True}, ("if-none-match", "*"), "is there already"),
        ({"if_match": "seen"}, ("if-match", '"seen"'), "was changed meanwhile"),
    ):
        with pytest.raises(ConflictError, match=sentence):
            store.put("k", big, **conditions)
        assert header in proxy.matching("POST", "uploadId")[-1].headers.items()
    assert keys(truth) == []
    assert parts_left(truth) == 0


def test_an_error_within_an_answer_of_200_is_an_error(
    store: S3Bucket, truth: S3Bucket, proxy: FaultProxy, big: Path
) -> None:
    """S3 begins to answer before it has put the parts together; what it says at the end counts."""
    proxy.rule(Answer(200, INTERNAL.body, INTERNAL.headers), method="POST", path="uploadId", times=1)
    store.put("k", big)
    assert read(truth, "k") == big.read_bytes()
    assert proxy.count("POST", "uploadId") == 2


def test_a_listing_that_fails_in_the_middle_tells_it(store: S3Bucket, truth: S3Bucket, proxy: FaultProxy) -> None:
    """A part of a listing never looks like all of it."""
    for number in range(7):
        truth.put(f"a/{number}", b"")
    proxy.rule(INTERNAL, path="continuation-token")
    with pytest.raises(StorageError, match="lake/a/ cannot be listed: S3 answered 500 InternalError 6 times"):
        list(store.list("a/"))


def test_a_lost_answer_to_a_delete_does_not_matter(store: S3Bucket, truth: S3Bucket, proxy: FaultProxy) -> None:
    """It is asked for again."""
    truth.put("k", b"1")
    proxy.rule(LoseAnswer(), method="DELETE", times=1)
    store.delete("k")
    assert keys(truth) == []


KMS = "User: arn:aws:sts::1:assumed-role/r is not authorized to perform: kms:GenerateDataKey on this resource"
REFUSALS = {
    "no permission to read": (
        "get",
        refusal(403, "AccessDenied", "Access Denied"),
        "s3://{bucket}/lake/k may not be read (or it is not there: S3 tells that only with s3:ListBucket on the "
        "bucket): allow s3:GetObject on arn:aws:s3:::{bucket}/lake/k in the policy of the role that runs this and, if "
        "the bucket belongs to another account, in the bucket's policy.",
    ),
    "no permission to write": (
        "put",
        refusal(403, "AccessDenied", "Access Denied"),
        "s3://{bucket}/lake/k may not be written: allow s3:PutObject on arn:aws:s3:::{bucket}/lake/k in the policy of "
        "the role that runs this and, if the bucket belongs to another account, in the bucket's policy.",
    ),
    "no permission to use the key": (
        "put",
        refusal(403, "AccessDenied", KMS),
        "s3://{bucket}/lake/k may not be written: allow kms:GenerateDataKey on the bucket's key in the policy of "
        "the role that runs this and, if the bucket belongs to another account, in the bucket's policy.",
    ),
    "no permission to list": (
        "list",
        refusal(403, "AccessDenied", "Access Denied"),
        "s3://{bucket}/lake/a/ may not be listed: allow s3:ListBucket on arn:aws:s3:::{bucket} in the policy of "
        "the role that runs this and, if the bucket belongs to another account, in the bucket's policy.",
    ),
    "no permission to delete": (
        "delete",
        refusal(403, "AccessDenied", "Access Denied"),
        "s3://{bucket}/lake/k may not be removed: allow s3:DeleteObject on arn:aws:s3:::{bucket}/lake/k in the policy "
        "of the role that runs this and, if the bucket belongs to another account, in the bucket's policy.",
    ),
    "expired token": (
        "get",
        refusal(400, "ExpiredToken", "The provided token has expired.", **{"Token-0": "FwoGZXIvYXdzEJr"}),
        "s3://{bucket}/lake/k cannot be read: the AWS credentials have expired; log in again (aws sso login), or look "
        "why the role's credentials are not renewed.",
    ),
    "unknown key": (
        "get",
        refusal(403, "InvalidAccessKeyId", "It does not exist in our records.", AWSAccessKeyId="AKIAIOSFODNN7EXAMPLE"),
        "s3://{bucket}/lake/k cannot be read: S3 does not accept these AWS credentials (InvalidAccessKeyId); check "
        "AWS_PROFILE, or the keys and the session token that are set.",
    ),
    "clock": (
        "put",
        refusal(403, "RequestTimeTooSkewed"),
        "s3://{bucket}/lake/k cannot be written: the clock of this machine is wrong; set it.",
    ),
    "archived": (
        "get",
        refusal(403, "InvalidObjectState", "The operation is not valid for the object's storage class"),
        "s3://{bucket}/lake/k cannot be read: it is in an archive; restore it in S3, then run this again.",
    ),
    "something else": (
        "put",
        refusal(400, "EntityTooLarge", "Your proposed upload\n exceeds the maximum allowed size."),
        "s3://{bucket}/lake/k cannot be written: S3 answered 400 EntityTooLarge: Your proposed upload exceeds the "
        "maximum allowed size.",
    ),
    "no XML at all": (
        "get",
        Answer(418, b"<html>I am a proxy of your company"),
        "s3://{bucket}/lake/k cannot be read: S3 answered 418 418: I'm a Teapot.",
    ),
}


@pytest.mark.parametrize("case", REFUSALS)
def test_a_refusal_is_one_sentence_with_the_cure(store: S3Bucket, proxy: FaultProxy, case: str) -> None:
    """Asked once, since asking again would not help; the sentence names what to change, and no secret."""
    act, answer, sentence = REFUSALS[case]
    proxy.rule(answer)
    with pytest.raises(StorageError) as caught:
        ACTS[act](store)
    assert str(caught.value) == sentence.format(bucket=store.bucket)
    assert type(caught.value) is StorageError
    assert proxy.count() == 1


@pytest.mark.parametrize("act", ACTS)
def test_a_bucket_that_is_not_there_is_named(client: Any, act: str) -> None:
    """With the settings that name buckets."""
    with pytest.raises(StorageError) as caught:
        ACTS[act](S3Bucket("never-made", client=client))
    assert str(caught.value) == "bucket never-made is not there: check [dsp] lake or raw, and the region."
    assert not isinstance(caught.value, NotFoundError)


def test_a_name_that_no_bucket_can_have_is_named(client: Any) -> None:
    """A slash too many in the settings, for one."""
    with pytest.raises(StorageError, match=r"^'my bucket' cannot be the name of a bucket: check \[dsp\] lake or raw"):
        S3Bucket("my bucket", client=client).get("k")


def test_a_bucket_in_another_region_tells_where(store: S3Bucket, proxy: FaultProxy) -> None:
    """When boto3 does not find the way by itself."""
    proxy.rule(refusal(400, "IllegalLocationConstraintException", Region="cn-north-1"))
    with pytest.raises(StorageError) as caught:
        store.get("k")
    assert str(caught.value) == (
        f"bucket {store.bucket} lies in region cn-north-1 (IllegalLocationConstraintException); set AWS_REGION to the "
        "bucket's region."
    )


def test_an_old_version_that_may_not_be_read_names_its_own_permission(
    store: S3Bucket, truth: S3Bucket, proxy: FaultProxy
) -> None:
    """s3:GetObjectVersion is easily forgotten."""
    truth.put("k", CONTENT * 3)
    proxy.rule(refusal(403, "AccessDenied"), path="versionId")
    with store.get("k") as stream:
        truth.put("k", b"new")
        stream.seek(2 * MIB)
        with pytest.raises(StorageError, match="allow s3:GetObjectVersion on arn:aws:s3:::"):
            stream.read()


def test_an_address_where_nobody_answers_is_named(store: S3Bucket) -> None:
    """Nothing listens on this port: it is bound, but not opened."""
    with socket.socket() as nobody:
        nobody.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{nobody.getsockname()[1]}"
        client = s3_client(**S3Server.settings_of(url))
        with pytest.raises(StorageError) as caught:
            S3Bucket("lake", client=client).get("k")
        client.close()
    assert str(caught.value) == (
        f"s3://lake/k cannot be read: {url.removeprefix('http://')} cannot be reached; check the network, the region "
        "and, if it is set, AWS_ENDPOINT_URL."
    )


@pytest.mark.parametrize(
    ("variables", "sentence"),
    [
        ({}, r"no AWS credentials were found \(NoCredentialsError\); run this in the task's role, or set AWS_PROFILE"),
        ({"AWS_PROFILE": "there-is-none"}, r"The config profile \(there-is-none\) could not be found; check AWS's"),
        (
            {"AWS_ENDPOINT_URL": "nonsense", "AWS_ACCESS_KEY_ID": "x", "AWS_SECRET_ACCESS_KEY": SECRET},
            "nonsense; check",
        ),
    ],
    ids=["no credentials", "no such profile", "no address"],
)
def test_settings_of_aws_that_are_wrong_are_one_sentence(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, variables: dict[str, str], sentence: str
) -> None:
    """Found at the first use, since nothing is asked for before."""
    for name in [name for name in os.environ if name.startswith("AWS_")]:
        monkeypatch.delenv(name)
    for name in ("AWS_CONFIG_FILE", "AWS_SHARED_CREDENTIALS_FILE"):
        monkeypatch.setenv(name, str(tmp_path / "absent"))
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    store = S3Bucket("lake")
    with pytest.raises(StorageError, match=sentence) as caught:
        store.get("k")
    assert "\n" not in str(caught.value)
    assert SECRET not in str(caught.value)
