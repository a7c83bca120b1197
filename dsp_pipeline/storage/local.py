"""A folder as an object store."""

from __future__ import annotations

import errno
import fcntl
import os
import re
import secrets
import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from dsp_pipeline.errors import ConflictError, NotFoundError, StorageError
from dsp_pipeline.storage.base import Stored, checked

_ASIDE = ".aside"
_FULL = (errno.ENOSPC, errno.EDQUOT)
_CUT = re.compile(r"\d+ requested and \d+ written")  # what numpy says of a full disk, without an errno


class LocalFolder:
    """An ObjectStore in a folder. Safe for many processes of one machine.

    A write survives the death of the process at any moment; it is not forced to the disk, so a power cut may lose
    the newest outputs (their size and checksum stand in their receipts).
    """

    def __init__(self, root: Path) -> None:
        self.root = root

    def __repr__(self) -> str:
        return f"LocalFolder({str(self.root)!r})"

    def get(self, key: str) -> BinaryIO:
        try:
            return open(self.root / checked(key), "rb")
        except (FileNotFoundError, NotADirectoryError, IsADirectoryError):
            raise NotFoundError(f"{self.root / key} is not there.") from None
        except OSError as error:
            raise StorageError(f"{self.root / key} cannot be read: {error.strerror}.") from error

    def put(self, key: str, data: bytes | Path, *, if_absent: bool = False, if_match: str | None = None) -> str:
        target = self.root / checked(key)
        try:
            aside = self._aside(data)
            try:
                etag = _etag(aside.stat())
                self._move(aside, target, if_absent, if_match)
                return etag
            finally:
                aside.unlink(missing_ok=True)
        except StorageError:
            raise
        except OSError as error:
            raise StorageError(f"{target} cannot be written: {error.strerror}; {cure(error)}.") from error

    def list(self, prefix: str) -> Iterator[Stored]:
        folder, slash, _ = prefix.rpartition("/")
        found = self._walk(str(self.root / checked(folder) if slash else self.root), folder + slash)
        yield from (stored for stored in found if stored.key.startswith(prefix))

    def delete(self, key: str) -> None:
        try:
            (self.root / checked(key)).unlink()
        except (FileNotFoundError, NotADirectoryError, IsADirectoryError):
            pass
        except OSError as error:
            raise StorageError(f"{self.root / key} cannot be removed: {error.strerror}.") from error

    def _walk(self, folder: str, prefix: str) -> Iterator[Stored]:
        """In the order of their keys, a folder at a time: of a year of hours not all are held at once."""
        try:
            entries = sorted(os.scandir(folder), key=_place)
        except (FileNotFoundError, NotADirectoryError):
            return
        except OSError as error:
            raise StorageError(f"{folder} cannot be listed: {error.strerror}.") from error
        for entry in entries:
            if entry.name.startswith("."):
                continue
            if entry.is_dir():
                yield from self._walk(entry.path, f"{prefix}{entry.name}/")
                continue
            try:
                facts = entry.stat()
            except FileNotFoundError:
                continue  # removed since the scan
            yield Stored(prefix + entry.name, facts.st_size, _etag(facts), facts.st_mtime)

    def _aside(self, data: bytes | Path) -> Path:
        """The bytes under a name that no listing shows, on the same disk as the target."""
        folder = self.root / _ASIDE
        folder.mkdir(parents=True, exist_ok=True)
        aside = folder / f"{os.getpid()}-{secrets.token_hex(8)}"
        try:
            with aside.open("xb") as out:
                if isinstance(data, Path):
                    with data.open("rb") as source:
                        shutil.copyfileobj(source, out, 1 << 20)
                else:
                    out.write(data)
            now = time.time_ns()  # the system's own stamp is the same for some milliseconds
            os.utime(aside, ns=(now, now))
        except BaseException:
            aside.unlink(missing_ok=True)
            raise
        return aside

    def _move(self, aside: Path, target: Path, if_absent: bool, if_match: str | None) -> None:
        target.parent.mkdir(parents=True, exist_ok=True)
        if if_absent:
            try:
                os.link(aside, target)
            except FileExistsError:
                raise ConflictError(f"{target} is there already; another writer was first.") from None
        else:
            with self._locked():
                if if_match is not None and not (target.exists() and _etag(target.stat()) == if_match):
                    raise ConflictError(f"{target} was changed meanwhile; look at it again, then decide.")
                os.replace(aside, target)

    @contextmanager
    def _locked(self) -> Iterator[None]:
        with open(self.root / _ASIDE / "lock", "a") as handle:
            fcntl.flock(handle, fcntl.LOCK_EX)
            yield


def _place(entry: os.DirEntry[str]) -> str:
    """What the keys of an entry begin with."""
    return f"{entry.name}/" if entry.is_dir() else entry.name


def is_full(error: OSError) -> bool:
    """Whether the disk, or what a user may have of it, is full."""
    return error.errno in _FULL or _CUT.search(str(error)) is not None


def cure(error: OSError) -> str:
    """What helps where a file of the lake or of scratch cannot be written."""
    return "make room in [dsp] lake and scratch" if is_full(error) else "give [dsp] lake a folder that you may write"


def _etag(facts: os.stat_result) -> str:
    # Every write makes a new inode with its own time, so the pair identifies the write.
    return f"{facts.st_mtime_ns:x}-{facts.st_ino:x}-{facts.st_size:x}"
