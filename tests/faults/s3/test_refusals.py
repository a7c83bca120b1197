"""What S3 refuses is told in a sentence with the cure."""

from __future__ import annotations

import os
import socket
from pathlib import Path
from typing import Any

import pytest

from console.standins.s3 import S3Server
from dsp_pipeline.errors import NotFoundError, StorageError
from dsp_pipeline.storage.s3 import S3Bucket, s3_client
from tests.faults.proxy import Answer, FaultProxy
from tests.faults.s3.acts import ACTS, CONTENT, MIB, SECRET, refusal

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
