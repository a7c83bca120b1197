"""Reading one object of S3 as a file: sequentially from one answer, elsewhere by asking for a range."""

from __future__ import annotations

import http.client
import io
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from botocore.exceptions import BotoCoreError, FlexibleChecksumError
from urllib3.exceptions import HTTPError

from dsp_pipeline.errors import ConflictError, NotFoundError, StorageError

if TYPE_CHECKING:
    from _typeshed import WriteableBuffer

_ATTEMPTS = 5  # without a single byte between them
_FIRST_PAUSE = 0.05  # seconds; doubled each time
_SKIP = 1 << 20  # bytes that are read over sooner than asking anew: about what arrives in the time of a request
_CHUNK = 1 << 20
_BROKEN = (BotoCoreError, HTTPError, http.client.HTTPException, OSError)


class Download(io.RawIOBase):
    """The object as it was when this was made; memory does not grow with its size.

    Every further request asks for the same bytes: by the etag, and when that is there no longer, by the version if
    the bucket keeps versions (which needs s3:GetObjectVersion). Otherwise reading ends with a StorageError, as it does
    when the connection breaks again and again at one place. All errors are StorageErrors and none is an OSError, which
    readers of compressed files take for a damaged file.
    """

    def __init__(self, name: str, ask: Callable[..., Any]) -> None:
        """`ask` is get_object with our errors; what it raises for an absent object, this raises."""
        self.name = name
        self._ask = ask
        self._body: Any = None
        answer = ask()
        self._size: int = answer["ContentLength"]
        self._pin = {"IfMatch": answer["ETag"]}
        self._version: str | None = answer.get("VersionId")
        self._place = self._body_place = 0
        self._body = answer["Body"]

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._place

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        place = offset + {io.SEEK_SET: 0, io.SEEK_CUR: self._place, io.SEEK_END: self._size}[whence]
        if place < 0:
            raise ValueError(f"negative place {place}")
        self._place = place
        return place

    def readinto(self, buffer: WriteableBuffer) -> int:
        room = memoryview(buffer).cast("B")
        room = room[: max(0, min(len(room), self._size - self._place))]
        problem: Exception | None = None
        for attempt in range(_ATTEMPTS if room else 0):
            if attempt:
                time.sleep(_FIRST_PAUSE * 2 ** (attempt - 1))
            body = self._body_here()
            try:
                for _ in range(self._body_place, self._place, _CHUNK):
                    self._body_place += len(body.read(min(_CHUNK, self._place - self._body_place)))
                read = int(body.readinto(room)) if self._body_place == self._place else 0
            except _BROKEN as error:
                problem, read = error, 0
            if read:
                self._place = self._body_place = self._place + read
                if self._place == self._size:
                    self._end()
                return read
            self._drop()
        if room:
            raise StorageError(
                f"{self.name} cannot be read: the connection broke {_ATTEMPTS} times at byte {self._place} of "
                f"{self._size}; run this again later."
            ) from problem
        return 0

    def readall(self) -> bytes:
        content = bytearray(max(0, self._size - self._place))
        room, done = memoryview(content), 0
        while done < len(content):
            done += self.readinto(room[done : done + _CHUNK])
        return bytes(content)

    def close(self) -> None:
        if not self.closed:
            self._drop()
        super().close()

    def _end(self) -> None:
        """All bytes are here; of one that was read from its start the body now compares the checksum."""
        try:
            self._body.read(1)
        except FlexibleChecksumError as error:
            raise StorageError(f"{self.name} came damaged (its checksum differs); run this again.") from error
        except _BROKEN:
            pass
        finally:
            self._drop()

    def _drop(self) -> None:
        if self._body is not None:
            self._body.close()
            self._body = None

    def _body_here(self) -> Any:
        """An open body whose place is ours, or not far before it."""
        if self._body is None or not 0 <= self._place - self._body_place <= _SKIP:
            self._drop()
            self._body = self._ask_from_here()
            self._body_place = self._place
        return self._body

    def _ask_from_here(self) -> Any:
        reach = f"bytes={self._place}-"
        try:
            try:
                answer = self._ask(Range=reach, **self._pin)
            except (ConflictError, NotFoundError):
                if self._version is None or "VersionId" in self._pin:
                    raise
                self._pin["VersionId"] = self._version
                answer = self._ask(Range=reach, **self._pin)
        except (ConflictError, NotFoundError) as error:
            raise StorageError(f"{self.name} was changed while it was read; run this again.") from error
        if not answer.get("ContentRange", "").startswith(f"bytes {self._place}-"):
            answer["Body"].close()
            raise StorageError(f"{self.name} cannot be read: S3, or a proxy before it, gives no ranges of bytes.")
        return answer["Body"]
