"""Bytes by key. Object storage is not a filesystem: no folders, no rename, no append."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, Protocol

from dsp_pipeline.errors import StorageError

MOST_RECORD_BYTES = 16 << 20  # of a receipt, a version, a note: the largest ones are some 100 kB
_PART = re.compile(r"[A-Za-z0-9_@=+,:~-][A-Za-z0-9_.@=+,:~ -]*")


@dataclass(frozen=True)
class Stored:
    """An object as a listing shows it. `etag` changes whenever its bytes do; `modified` is epoch seconds."""

    key: str
    size: int
    etag: str
    modified: float


class ObjectStore(Protocol):
    """A flat map from keys (`a/b/c.json`) to bytes.

    A key's parts hold letters, digits and `_ . @ = + , : ~ - space` and do not start with a dot;
    anything else is a StorageError, so a parameter can never name a place outside the store.
    """

    def get(self, key: str) -> BinaryIO:
        """A stream over the object as it is now; a later put does not change what is read. NotFoundError if absent."""

    def put(self, key: str, data: bytes | Path, *, if_absent: bool = False, if_match: str | None = None) -> str:
        """Write the whole object at once and return its etag; a reader sees the old bytes or the new, never a mix.

        `data` is bytes or a local file, which stays where it is. With `if_absent` only the first of several writers
        succeeds; with `if_match` only a writer that saw this etag does. The others get ConflictError.
        """

    def list(self, prefix: str) -> Iterator[Stored]:
        """The objects whose key starts with `prefix`, in the order of their keys. One sweep, however many there are.

        What comes before the prefix's last slash must be a key.
        """

    def delete(self, key: str) -> None:
        """Remove the object. Nothing happens if there is none."""


def read_record(store: ObjectStore, key: str) -> bytes:
    """A whole JSON record of the lake. NotFoundError if it is absent, StorageError if it is larger than one is."""
    with store.get(key) as stream:
        text: bytes = stream.read(MOST_RECORD_BYTES + 1)
    if len(text) > MOST_RECORD_BYTES:
        raise StorageError(f"{key} has more than {MOST_RECORD_BYTES:,} bytes, which no record has; remove it.")
    return text


def checked(key: str) -> str:
    """The key itself, or StorageError when one of its parts could lead outside the store or is not portable."""
    if not key or not all(_PART.fullmatch(part) for part in key.split("/")):
        raise StorageError(f"not a key: {key!r}; use parts of letters, digits and _ . @ = + , : ~ - joined by /.")
    return key
