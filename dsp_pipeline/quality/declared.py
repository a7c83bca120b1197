"""All that is checked of one event or table."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

from dsp_pipeline.fingerprint import Version, fingerprint
from dsp_pipeline.quality.audit import Audit
from dsp_pipeline.quality.expectation import Expected
from dsp_pipeline.sql.fingerprint import normalised
from dsp_pipeline.sql.header import Read


@dataclass(frozen=True)
class Checks:
    """All that is checked of one event or table, and can be with this source."""

    table: str
    expected: Expected
    audits: tuple[Audit, ...]

    @cached_property
    def reads(self) -> list[Read]:
        """What is looked at: of each event or table one window that covers all."""
        found = {self.table: Read(self.table, 0, 0)} if self.expected.expectations else {}
        for read in (read for audit in self.audits for read in audit.query.reads):
            known = found.get(read.table, read)
            found[read.table] = Read(read.table, min(known.first, read.first), max(known.last, read.last))
        return list(found.values())

    @cached_property
    def version(self) -> Version:
        """Of all that is checked; which days were accepted is no part of it."""
        said = [repr((one.kind, one.column, one.bound, one.level)) for one in self.expected.expectations]
        said += [f"{one.level} {one.name} {normalised(one.query)}" for one in self.audits]
        texts = {f"expectations/{self.table}.yaml": self.expected.text} if self.expected.text else {}
        texts |= {one.place: one.query.text for one in self.audits}
        return Version(f"quality/{self.table}", {"checks": fingerprint(*sorted(said))}, texts)
