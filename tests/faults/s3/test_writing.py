"""What is written is there once and whole, or not at all, whatever the network does."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from dsp_pipeline.errors import ConflictError, StorageError
from dsp_pipeline.storage.s3 import S3Bucket
from tests.faults.proxy import Answer, CutUpload, FaultProxy, LoseAnswer
from tests.faults.s3.acts import CONTENT, INTERNAL, MIB, keys, parts_left, read, refusal


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


def test_a_lost_answer_to_a_delete_does_not_matter(store: S3Bucket, truth: S3Bucket, proxy: FaultProxy) -> None:
    """It is asked for again."""
    truth.put("k", b"1")
    proxy.rule(LoseAnswer(), method="DELETE", times=1)
    store.delete("k")
    assert keys(truth) == []
