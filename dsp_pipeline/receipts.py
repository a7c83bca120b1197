"""A receipt says that an output is whole, what it holds and what made it. It is written last.

An output without a receipt does not exist, whatever files lie around; files that no receipt names are leftovers
of a writer that was killed or lost a race.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from typing import Any

from dsp_pipeline.meter import Meter

_PAGE = ".html"


@dataclass(frozen=True)
class Input:
    """Something that was read: a raw file (its name and size-and-time tag) or an output (its address and digest)."""

    name: str
    digest: str


@dataclass(frozen=True)
class File:
    """A file of an output. `key` is relative to the store or warehouse; `sha256` is of its bytes."""

    key: str
    size: int
    sha256: str

    def differs(self, size: int) -> str:
        """What to say of it if it has another size than it had when it was written; else nothing."""
        if size == self.size:
            return ""
        return (
            f"{self.key} has {size:,} bytes and its receipt says {self.size:,}: it was cut off or changed; "
            "bring it back, or `dsp rerun` what made it"
        )


@dataclass(frozen=True)
class Receipt:
    """Proof that the output at `address` is whole.

    `rejected` counts refused lines by reason; `details` holds what only this kind of output knows (metrics, say).
    Times are UTC. `revision` is the commit of the code that ran. `compatible_with` is there when a file declared its
    change harmless (`OLD = NEW`): the output stands at the address of the old.
    """

    address: str
    version: str
    rows: int
    files: tuple[File, ...]
    inputs: tuple[Input, ...] = ()
    rejected: Mapping[str, int] = field(default_factory=dict)
    duplicates: int = 0
    details: Mapping[str, Any] = field(default_factory=dict)
    revision: str = ""
    seconds: float = 0.0
    cpu_seconds: float = 0.0
    peak_memory_bytes: int = 0
    created_at: str = ""
    compatible_with: str = ""

    @property
    def digest(self) -> str:
        """Identifies the content: equal for equal files, whoever wrote them and when.

        Pages are for people and tell what the work cost too, so they do not count.
        """
        content = [file.sha256 for file in self.files if not file.key.endswith(_PAGE)]
        parts = [self.address, self.version, str(self.rows), *content]
        return hashlib.sha256("\n".join(parts).encode()).hexdigest()[:16]

    @property
    def size(self) -> int:
        return sum(file.size for file in self.files)

    def as_input(self) -> Input:
        return Input(self.address, self.digest)

    def to_json(self) -> bytes:
        return json.dumps(asdict(self), indent=1, sort_keys=True).encode()

    @classmethod
    def from_json(cls, text: bytes) -> Receipt:
        raw = json.loads(text)
        raw["files"] = tuple(File(**file) for file in raw["files"])
        raw["inputs"] = tuple(Input(**given) for given in raw["inputs"])
        return cls(**raw)


class Draft:
    """A receipt in the making: what is known before the work starts, with a meter that runs since then."""

    def __init__(
        self, address: str, version: str, inputs: Sequence[Input] = (), revision: str = "", compatible_with: str = ""
    ) -> None:
        self.address, self.version, self.inputs, self.revision = address, version, tuple(inputs), revision
        self.compatible_with = compatible_with
        self._meter = Meter()

    def cost(self) -> dict[str, Any]:
        """What the work has cost so far, and whose code does it."""
        return {
            "seconds": round(self._meter.seconds, 4),
            "cpu_seconds": round(self._meter.cpu_seconds, 4),
            "peak_memory_bytes": self._meter.peak_memory_bytes,
            "revision": self.revision,
        }

    def finish(
        self,
        rows: int,
        files: Sequence[File],
        *,
        rejected: Mapping[str, int] | None = None,
        duplicates: int = 0,
        details: Mapping[str, Any] | None = None,
    ) -> Receipt:
        return Receipt(
            address=self.address,
            version=self.version,
            rows=rows,
            files=tuple(files),
            inputs=self.inputs,
            rejected=dict(rejected or {}),
            duplicates=duplicates,
            details=dict(details or {}),
            **self.cost(),
            created_at=datetime.now(UTC).isoformat(timespec="milliseconds"),
            compatible_with=self.compatible_with,
        )
