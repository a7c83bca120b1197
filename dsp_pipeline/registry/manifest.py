"""What a bundle is, in one small file that is written last: `manifest.json`."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any, BinaryIO

from dsp_pipeline.errors import BundleError

FORMAT = 2
MANIFEST = "manifest.json"
MOST_BYTES = 1 << 20  # of a manifest or a pointer, which are a few thousand: more is none, and is not read
MODEL, ONNX, FOREST, HEADER = "model.ubj", "model.onnx", "forest.bin", "dsp_forest.h"
FEATURES, METRICS, LINEAGE, GOLDEN, CARD = (
    "features.json",
    "metrics.json",
    "lineage.json",
    "golden.parquet",
    "card.html",
)
FILES = frozenset({MODEL, ONNX, FOREST, HEADER, FEATURES, METRICS, LINEAGE, GOLDEN, CARD})
LOOKUP = ".lookup.parquet"  # how the file of a lookup table ends; a bundle has any number of them
_LOOKUP_FILE = re.compile(r"[a-z][a-z0-9_]*\.lookup\.parquet")
_PART = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.=+~-]*")


@dataclass(frozen=True)
class Identity:
    """Which model a bundle holds: trained up to `date` as the `arm` of `experiment`, by what `version` stands for."""

    model: str
    experiment: str
    arm: str
    version: str
    date: date

    def address(self, attempt: str) -> str:
        """Where a bundle lies in the store; `attempt` tells apart writers of the same thing, so none overwrites."""
        parts = (self.model, self.experiment, self.arm, self.version, self.date.isoformat(), attempt)
        for part in parts:
            if not _PART.fullmatch(part):
                raise BundleError(f"{part!r} cannot be part of a bundle's address; use letters, digits, _ and -.")
        return "/".join(("bundles", *parts))


@dataclass(frozen=True)
class Entry:
    """A file of a bundle: its size in bytes and the SHA-256 of its bytes."""

    size: int
    sha256: str


@dataclass(frozen=True)
class Manifest:
    """Identity and files of a bundle. Every name of FILES is among `files`, and lookups, but no other."""

    identity: Identity
    files: Mapping[str, Entry]

    def to_json(self) -> bytes:
        """Equal bytes for equal manifests."""
        one = self.identity
        raw = {
            "format": FORMAT,
            "model": one.model,
            "experiment": one.experiment,
            "arm": one.arm,
            "version": one.version,
            "date": one.date.isoformat(),
            "files": {name: vars(entry) for name, entry in self.files.items()},
        }
        return dump_json(raw)

    @classmethod
    def from_json(cls, text: bytes, where: str) -> Manifest:
        """BundleError, naming `where`, if this is no manifest of a format that we read."""
        raw = load_json(text, where)
        if raw.get("format") != FORMAT:
            raise BundleError(
                f"{where} is of format {raw.get('format')!r} and this version reads {FORMAT}; export the model again, "
                f"or use the version that wrote it."
            )
        try:
            texts = {key: _text(raw[key]) for key in ("model", "experiment", "arm", "version")}
            identity = Identity(**texts, date=date.fromisoformat(raw["date"]))
            files = {name: Entry(int(entry["size"]), _text(entry["sha256"])) for name, entry in raw["files"].items()}
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise BundleError(f"{where} is damaged ({error!r}); export the model again.") from error
        if {name for name in files if not _LOOKUP_FILE.fullmatch(name)} != FILES:
            raise BundleError(
                f"{where} lists {sorted(files)}; a bundle is {sorted(FILES)} and lookups: export the model again."
            )
        return cls(identity, files)


def entry_of(path: Path) -> Entry:
    """Size and SHA-256 of a file, read in pieces."""
    with path.open("rb") as stream:
        return Entry(path.stat().st_size, hashlib.file_digest(stream, "sha256").hexdigest())


def dump_json(value: Any) -> bytes:
    """Equal bytes for equal values. ValueError on NaN, which JSON does not have."""
    return (json.dumps(value, indent=1, sort_keys=True, allow_nan=False) + "\n").encode()


def read_small(stream: BinaryIO, where: str, cure: str = "export the model again") -> bytes:
    """All that is in a manifest or a pointer. BundleError if it is more than one ever has, before that is read."""
    text = stream.read(MOST_BYTES + 1)
    if len(text) > MOST_BYTES:
        raise BundleError(f"{where} has more than {MOST_BYTES:,} bytes, which is what it may have; {cure}.")
    return text


def load_json(text: bytes, where: str) -> dict[str, Any]:
    """BundleError, naming `where`, if this is no JSON object."""
    try:
        found = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise BundleError(f"{where} is not JSON ({error}); export the model again.") from error
    if not isinstance(found, dict):
        raise BundleError(f"{where} holds no JSON object; export the model again.")
    return found


def _text(value: Any) -> str:
    if not isinstance(value, str):
        raise TypeError(f"{value!r} is no text")
    return value
