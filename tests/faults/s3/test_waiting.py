"""S3 that is busy, slow or silent is asked again, for a while."""

from __future__ import annotations

import time

import pytest

from dsp_pipeline.errors import StorageError
from dsp_pipeline.storage.s3 import S3Bucket
from tests.faults.proxy import Delay, FaultProxy, Silence
from tests.faults.s3.acts import ACTS, INTERNAL, SLOW_DOWN, read, refusal


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


def test_a_listing_that_fails_in_the_middle_tells_it(store: S3Bucket, truth: S3Bucket, proxy: FaultProxy) -> None:
    """A part of a listing never looks like all of it."""
    for number in range(7):
        truth.put(f"a/{number}", b"")
    proxy.rule(INTERNAL, path="continuation-token")
    with pytest.raises(StorageError, match="lake/a/ cannot be listed: S3 answered 500 InternalError 6 times"):
        list(store.list("a/"))
