"""What S3 and boto3 say when something is wrong, as one sentence of ours with the cure.

Only codes, permissions, bucket and key stand in a sentence: never a credential, a signature or a whole request.
"""

from __future__ import annotations

import re
from urllib.parse import urlsplit

from botocore import exceptions as boto
from botocore.exceptions import BotoCoreError, ClientError

from dsp_pipeline.errors import ConflictError, NotFoundError, StorageError

# By the client's method: what was not done, and the permission that it needs.
_ACTS = {
    "get_object": ("read", "s3:GetObject"),
    "head_object": ("read", "s3:GetObject"),
    "put_object": ("written", "s3:PutObject"),
    "create_multipart_upload": ("written", "s3:PutObject"),
    "upload_part": ("written", "s3:PutObject"),
    "complete_multipart_upload": ("written", "s3:PutObject"),
    "list_objects_v2": ("listed", "s3:ListBucket"),
    "delete_object": ("removed", "s3:DeleteObject"),
}
_DENIED = {"AccessDenied", "AllAccessDisabled", "403", "Forbidden"}
_EXPIRED = {"ExpiredToken", "ExpiredTokenException", "TokenRefreshRequired"}
_UNKNOWN = {"InvalidAccessKeyId", "SignatureDoesNotMatch", "InvalidToken", "InvalidClientTokenId"}
_ELSEWHERE = {"PermanentRedirect", "AuthorizationHeaderMalformed", "IllegalLocationConstraintException", "301", "307"}
_ABSENT = {"NoSuchKey", "NoSuchVersion", "404"}
_LOGGED_OUT = (boto.SSOError, boto.TokenRetrievalError)
_NO_CREDENTIALS = (boto.NoCredentialsError, boto.PartialCredentialsError, boto.CredentialRetrievalError)
_UNREACHABLE = (boto.EndpointConnectionError, boto.ConnectTimeoutError, boto.ProxyConnectionError)

_LOG_IN = "log in again (aws sso login), or look why the role's credentials are not renewed"
_CHECK_BUCKET = "check [dsp] lake or raw, and the region"


def status(error: ClientError) -> int:
    """The HTTP status of the answer."""
    return int(error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0))


def tries(error: ClientError) -> int:
    """How often the request was sent until this answer."""
    return int(error.response.get("ResponseMetadata", {}).get("RetryAttempts", 0)) + 1


def code(error: ClientError) -> str:
    """S3's word for it (`NoSuchKey`); the HTTP status where the answer had no body, as of HEAD."""
    return str(error.response.get("Error", {}).get("Code", status(error)))


def explain(
    error: ClientError | BotoCoreError | ValueError, method: str, bucket: str, key: str, *, version: bool = False
) -> StorageError:
    """The error of our tree for what the client's `method` raised; `version`: a version of the object was asked for."""
    done, permission = _ACTS[method]
    place = f"s3://{bucket}/{key}"
    if isinstance(error, ClientError):
        return _answered(error, done, "s3:GetObjectVersion" if version else permission, bucket, key)
    if isinstance(error, _LOGGED_OUT):
        return StorageError(f"{place} cannot be {done}: the AWS login has expired; {_LOG_IN}.")
    if isinstance(error, _NO_CREDENTIALS):
        return StorageError(
            f"{place} cannot be {done}: no AWS credentials were found ({type(error).__name__}); "
            "run this in the task's role, or set AWS_PROFILE."
        )
    if isinstance(error, _UNREACHABLE):
        return StorageError(
            f"{place} cannot be {done}: {_host(error)} cannot be reached; check the network, the region and, "
            "if it is set, AWS_ENDPOINT_URL."
        )
    if isinstance(error, boto.SSLError):
        return StorageError(
            f"{place} cannot be {done}: the certificate of {_host(error)} is not trusted; check AWS_CA_BUNDLE."
        )
    if isinstance(error, (boto.HTTPClientError, boto.ResponseStreamingError)):
        late = "did not answer in time" if isinstance(error, boto.ReadTimeoutError) else "broke off the connection"
        return StorageError(f"{place} cannot be {done}: S3 {late}, also when asked again; run this again later.")
    if isinstance(error, boto.ParamValidationError) and "bucket name" in str(error):
        return StorageError(f"{bucket!r} cannot be the name of a bucket: {_CHECK_BUCKET}.")
    said = " ".join(str(error).split())
    return StorageError(f"{place} cannot be {done}: {said.rstrip('.')}; check AWS's settings of this process.")


def _answered(error: ClientError, done: str, permission: str, bucket: str, key: str) -> StorageError:
    word, place = code(error), f"s3://{bucket}/{key}"
    details = error.response.get("Error", {})
    said = str(details.get("Message", ""))
    if word == "NoSuchBucket":
        return StorageError(f"bucket {bucket} is not there: {_CHECK_BUCKET}.")
    if word in _ABSENT:
        return NotFoundError(f"{place} is not there.")
    if status(error) == 412:
        return ConflictError(f"{place} was changed meanwhile; look at it again, then decide.")
    if word in _DENIED:
        return StorageError(_denied(said, done, permission, bucket, key))
    if word in _EXPIRED:
        return StorageError(f"{place} cannot be {done}: the AWS credentials have expired; {_LOG_IN}.")
    if word in _UNKNOWN:
        return StorageError(
            f"{place} cannot be {done}: S3 does not accept these AWS credentials ({word}); check AWS_PROFILE, or the "
            "keys and the session token that are set."
        )
    if word == "RequestTimeTooSkewed":
        return StorageError(f"{place} cannot be {done}: the clock of this machine is wrong; set it.")
    if word in _ELSEWHERE:
        headers = error.response.get("ResponseMetadata", {}).get("HTTPHeaders", {})
        region = details.get("Region") or headers.get("x-amz-bucket-region")
        where = f"lies in region {region}" if region else "lies in another region"
        return StorageError(f"bucket {bucket} {where} ({word}); set AWS_REGION to the bucket's region.")
    if word == "InvalidObjectState":
        return StorageError(f"{place} cannot be {done}: it is in an archive; restore it in S3, then run this again.")
    if status(error) >= 500 or status(error) == 429:
        return StorageError(
            f"{place} cannot be {done}: S3 answered {status(error)} {word} {tries(error)} times; run this again "
            "later, with fewer workers if it lasts."
        )
    said = f": {' '.join(said.split())[:200].rstrip('.')}" if said else ""
    return StorageError(f"{place} cannot be {done}: S3 answered {status(error)} {word}{said}.")


def _denied(said: str, done: str, permission: str, bucket: str, key: str) -> str:
    named = re.search(r"not authorized to perform: ([\w-]+:\w+)", said)  # kms:Decrypt, for one
    permission = named[1] if named else permission
    if permission.startswith("kms:"):
        cure = f"allow {permission} on the bucket's key"
    else:
        resource = bucket if permission == "s3:ListBucket" else f"{bucket}/{key}"
        cure = f"allow {permission} on arn:aws:s3:::{resource}"
    absent = ""
    if permission == "s3:GetObject":
        absent = " (or it is not there: S3 tells that only with s3:ListBucket on the bucket)"
    return (
        f"s3://{bucket}/{key} may not be {done}{absent}: {cure} in the policy of the role that runs this and, "
        "if the bucket belongs to another account, in the bucket's policy."
    )


def _host(error: BotoCoreError) -> str:
    url = urlsplit(str(error.kwargs.get("endpoint_url") or error.kwargs.get("proxy_url") or ""))
    return f"{url.hostname}:{url.port}" if url.port else url.hostname or "S3"
