"""The requests of one bucket: what they raise is of our tree, and what they write is whole."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from typing import Any

from botocore.exceptions import BotoCoreError, ClientError, HTTPClientError

from dsp_pipeline.errors import StorageError
from dsp_pipeline.storage.s3_errors import code, explain, status, tries

_PART = 8 << 20  # bytes; S3 takes at least 5 MiB and at most 10,000 parts
_PARTS = 10_000
_HANDS = 4  # parts that are sent at the same time, each in memory


class RefusedError(Exception):
    """S3 did not write, because of the key's state or of another writer.

    `tries` is the number of requests until this answer; `again` tells whether S3 may write when asked once more.
    """

    def __init__(self, tries: int, again: bool) -> None:
        super().__init__()
        self.tries, self.again = tries, again


class UnansweredError(StorageError):
    """Whether S3 wrote is not known: every answer was lost, or was that something is broken."""


class Requests:
    """Requests of this process to one bucket. `name` is always the whole key."""

    def __init__(self, bucket: str, make: Callable[[], Any]) -> None:
        """`make` makes the client."""
        self._bucket = bucket
        try:
            self._client = make()
        except (BotoCoreError, ValueError) as error:  # ValueError: AWS_ENDPOINT_URL is no address
            raise explain(error, "get_object", bucket, "") from error

    def ask(self, method: str, name: str, **words: Any) -> Any:
        """Call the client's method."""
        call = getattr(self._client, method)
        try:
            return call(Bucket=self._bucket, **words)
        except (ClientError, BotoCoreError) as error:
            raise explain(error, method, self._bucket, name, version="VersionId" in words) from error

    def store(self, method: str, name: str, **words: Any) -> str:
        """The request that makes the object; its etag, or RefusedError, or UnansweredError."""
        call = getattr(self._client, method)
        try:
            return str(call(Bucket=self._bucket, Key=name, **words)["ETag"]).strip('"')
        except (ClientError, BotoCoreError) as error:
            if isinstance(error, ClientError):
                gone = code(error) == "NoSuchUpload" or (code(error) == "NoSuchKey" and "IfMatch" in words)
                if gone or status(error) in (409, 412):
                    raise RefusedError(tries(error), again=status(error) == 409) from error
            problem = explain(error, method, self._bucket, name)
            if isinstance(error, HTTPClientError) or (isinstance(error, ClientError) and status(error) >= 500):
                raise UnansweredError(*problem.args) from error
            raise problem from error

    def store_in_parts(
        self, name: str, size: int, read: Callable[[int, int], bytes], mark: dict[str, str], condition: dict[str, str]
    ) -> str:
        """The same, of what `read(start, length)` gives, some at a time. Nothing is seen before the last request.

        After a failure the parts are taken away.
        """
        length = max(_PART, -(-size // _PARTS))
        begun = self.ask("create_multipart_upload", name, Key=name, Metadata=mark, ChecksumAlgorithm="CRC32")
        upload = {"Key": name, "UploadId": begun["UploadId"]}

        def send(start: int) -> dict[str, Any]:
            number, body = start // length + 1, read(start, length)
            sent = self.ask("upload_part", name, **upload, PartNumber=number, Body=body, ChecksumAlgorithm="CRC32")
            return {"PartNumber": number, **{word: sent[word] for word in ("ETag", "ChecksumCRC32") if word in sent}}

        try:
            with ThreadPoolExecutor(_HANDS) as pool:
                parts = [pool.submit(send, start) for start in range(0, size, length)]
                try:
                    sent = {"Parts": [part.result() for part in parts]}
                except BaseException:
                    pool.shutdown(cancel_futures=True)  # and wait: a part that ends after the abort would stay
                    raise
            del upload["Key"]
            return self.store("complete_multipart_upload", name, **upload, MultipartUpload=sent, **condition)
        except BaseException:
            with suppress(ClientError, BotoCoreError):  # the bucket's rule takes away what stays
                self._client.abort_multipart_upload(Bucket=self._bucket, Key=name, UploadId=upload["UploadId"])
            raise
