"""A bucket of S3 as an object store."""

from __future__ import annotations

import io
import os
import secrets
import shutil
import stat
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

from dsp_pipeline.errors import ConflictError, NotFoundError, StorageError
from dsp_pipeline.storage.base import Stored, checked

if TYPE_CHECKING:
    from dsp_pipeline.storage.s3_requests import Requests

_BUFFER = 256 << 10  # bytes that a stream reads ahead
_ROUNDS = 5  # of a write that S3 answers with 409: another write of the key was under way
_FIRST_PAUSE = 0.1  # seconds; doubled each time
_MARK = "dsp-put"  # metadata of every object: which call of put wrote it


def s3_client(*, config: Any = None, **overrides: Any) -> Any:
    """A client by boto3's own chain (AWS_PROFILE, the task's role, AWS_ENDPOINT_URL …); `overrides` are its arguments.

    A request is sent up to six times: S3's own 500, 503 and SlowDown, and broken connections, are part of its normal
    work. `config` is a botocore Config that goes before ours.
    """
    import boto3
    from botocore.config import Config

    ours = Config(
        retries={"mode": "standard", "total_max_attempts": 6},
        connect_timeout=5,
        read_timeout=60,
        max_pool_connections=32,
        tcp_keepalive=True,
    )
    # A session of its own: boto3's common one is not safe for threads.
    return boto3.session.Session().client("s3", config=ours.merge(config) if config else ours, **overrides)


class S3Bucket:
    """An ObjectStore below a prefix of a bucket. Safe for any number of machines, processes and threads.

    S3 makes the etag from the bytes (unless a KMS key encrypts them): writing the same bytes again does not change it,
    and `if_match` takes such a key for unchanged. Whether a write that S3 answered with "there is one already" was our
    own, whose answer was lost on the way, is told by a mark in the object's metadata. A killed writer may leave parts
    that nobody sees: let a rule of the bucket (AbortIncompleteMultipartUpload) take them away.
    """

    def __init__(self, bucket: str, prefix: str = "", *, client: Any = None, multipart_above: int = 64 << 20) -> None:
        """`client` is a boto3 client, for this process alone, or a function that makes one; s3_client by itself.

        A file of more than `multipart_above` bytes is sent in parts.
        """
        self.bucket = bucket
        self.prefix = f"{prefix.strip('/')}/" if prefix.strip("/") else ""
        self._client, self._home = s3_client if client is None else client, os.getpid()
        self._made: tuple[int, Requests] | None = None
        self._multipart_above = multipart_above

    def __repr__(self) -> str:
        return f"s3://{self.bucket}/{self.prefix}".rstrip("/")

    def get(self, key: str) -> BinaryIO:
        """A stream, which may also be sought in: Parquet is read by its footer and columns, not as a whole."""
        from dsp_pipeline.storage.s3_stream import Download

        name = self.prefix + checked(key)
        ask = partial(self._requests.ask, "get_object", name, Key=name)
        return io.BufferedReader(Download(f"s3://{self.bucket}/{name}", ask), _BUFFER)

    def put(self, key: str, data: bytes | Path, *, if_absent: bool = False, if_match: str | None = None) -> str:
        name = self.prefix + checked(key)
        condition = {}
        if if_absent:
            condition = {"IfNoneMatch": "*"}
        elif if_match is not None:
            condition = {"IfMatch": f'"{if_match}"'}
        if isinstance(data, bytes):
            return self._write(name, io.BytesIO(data), len(data), condition)
        try:
            with _regular(data) as file:
                return self._write(name, file, os.fstat(file.fileno()).st_size, condition)
        except StorageError:
            raise
        except OSError as error:
            raise StorageError(f"s3://{self.bucket}/{name} cannot be written: {data}: {error.strerror}.") from error

    def list(self, prefix: str) -> Iterator[Stored]:
        """1,000 objects a request. As in a folder, what has a part that starts with a dot does not show.

        Nor do the empty objects with a slash at the end by which S3's console shows folders.
        """
        folder, slash, _ = prefix.rpartition("/")
        if slash:
            checked(folder)
        name = self.prefix + prefix
        more: dict[str, str] = {}
        while True:
            page = self._requests.ask("list_objects_v2", name, Prefix=name, **more)
            for one in page.get("Contents", ()):
                key = one["Key"].removeprefix(self.prefix)
                if key and not key.endswith("/") and "/." not in f"/{key}":
                    yield Stored(key, one["Size"], one["ETag"].strip('"'), one["LastModified"].timestamp())
            if not page.get("IsTruncated"):
                return
            more = {"ContinuationToken": page["NextContinuationToken"]}

    def delete(self, key: str) -> None:
        """In a bucket that keeps versions it hides the object, and may be undone there."""
        name = self.prefix + checked(key)
        self._requests.ask("delete_object", name, Key=name)

    @property
    def _requests(self) -> Requests:
        """Those of this process: a client's connections must not be used on both sides of a fork."""
        from dsp_pipeline.storage.s3_requests import Requests

        made, here = self._made, os.getpid()
        if made is None or made[0] != here:
            make: Callable[[], Any] = self._client if callable(self._client) else lambda: self._client
            if not callable(self._client) and here != self._home:
                raise StorageError(f"{self} has the client of another process; give it a function that makes one.")
            made = self._made = (here, Requests(self.bucket, make))
        return made[1]

    def _write(self, name: str, file: BinaryIO, size: int, condition: dict[str, str]) -> str:
        """Send it, again if S3 answers 409; the etag of what this call wrote, or ConflictError."""
        from dsp_pipeline.storage.s3_requests import RefusedError, UnansweredError

        mark = {_MARK: secrets.token_hex(16)}
        for round_ in range(1, _ROUNDS + 1):
            try:
                if size > self._multipart_above:
                    return self._requests.store_in_parts(name, size, _reader(file), mark, condition)
                file.seek(0)
                return self._requests.store("put_object", name, Body=file, Metadata=mark, **condition)
            except RefusedError as refused:
                # The first answer to the first request cannot be about our own write.
                etag = self._etag_of(name, mark) if round_ > 1 or refused.tries > 1 else None
                if etag is not None:
                    return etag
                if not refused.again or round_ == _ROUNDS:
                    break
            except UnansweredError:
                with suppress(StorageError):  # what is told of the write says more than what is told of the look
                    etag = self._etag_of(name, mark)
                    if etag is not None:
                        return etag
                raise
            time.sleep(_FIRST_PAUSE * 2 ** (round_ - 1))
        place = f"s3://{self.bucket}/{name}"
        if "IfNoneMatch" in condition:
            raise ConflictError(f"{place} is there already; another writer was first.")
        if "IfMatch" in condition:
            raise ConflictError(f"{place} was changed meanwhile; look at it again, then decide.")
        raise StorageError(f"{place} cannot be written: S3 refused it {round_} times; run this again later.")

    def _etag_of(self, name: str, mark: dict[str, str]) -> str | None:
        """The etag of the object if it bears this mark."""
        try:
            there = self._requests.ask("head_object", name, Key=name)
        except NotFoundError:
            return None
        return str(there["ETag"]).strip('"') if there["Metadata"].get(_MARK) == mark[_MARK] else None


def _reader(file: BinaryIO) -> Callable[[int, int], bytes]:
    """How to read a piece of it (start, length) from any thread."""
    if isinstance(file, io.BytesIO):
        content = file.getvalue()
        return lambda start, length: content[start : start + length]
    return lambda start, length: os.pread(file.fileno(), length, start)


@contextmanager
def _regular(path: Path) -> Iterator[BinaryIO]:
    """The file, open; of a pipe a copy, since S3 wants to know the size first."""
    with path.open("rb") as file:
        if stat.S_ISREG(os.fstat(file.fileno()).st_mode):
            yield file
            return
        with tempfile.TemporaryFile() as copy:
            shutil.copyfileobj(file, copy, 1 << 20)
            copy.flush()
            yield copy
