"""What is declared of each event and table: its expectations and audits, found by the names of their files."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from dsp_pipeline.errors import ExpectationError, SqlError, UnknownNameError
from dsp_pipeline.events.schema import EVENTS
from dsp_pipeline.events.source import Source
from dsp_pipeline.quality.audit import Audit, read_audit
from dsp_pipeline.quality.declared import Checks
from dsp_pipeline.quality.expectation import Expectation, Expected, read_expectations
from dsp_pipeline.quality.inspection import Inspection
from dsp_pipeline.sql.catalog import Catalog
from dsp_pipeline.warehouse.base import Table


class CheckFiles:
    """The files of `expectations/` and `audits/` in a package. They are read once, when first asked for."""

    def __init__(self, package: Path, catalog: Catalog, source: Source) -> None:
        self._expectations, self._audits = package / "expectations", package / "audits"
        self._catalog, self._source = catalog, source
        self._files: tuple[dict[str, Path], dict[str, list[Path]]] | None = None
        self._found: dict[str, Checks | None] = {}
        self._inspections: dict[str, Inspection] = {}

    def of(self, name: str) -> Checks | None:
        """None if nothing is declared of the event or table, or nothing that can be checked with this source.

        A DefinitionError, with file and line, if a file is wrong.
        """
        if name not in self._found:
            self._found[name] = self._read(name)
        return self._found[name]

    def inspection(self, table: Table) -> Inspection:
        """The checks of a table of which something is declared, ready to be asked."""
        if table.address not in self._inspections:
            declared = self.of(table.name)
            assert declared is not None
            self._inspections[table.address] = Inspection(declared, table)
        return self._inspections[table.address]

    def names(self) -> list[str]:
        """The events and tables of which something is checked, sorted."""
        expectations, audits = self._listed()
        return [name for name in sorted(expectations.keys() | audits.keys()) if self.of(name)]

    def _read(self, name: str) -> Checks | None:
        expectations, audits = self._listed()
        if name not in expectations and name not in audits:
            return None
        if name in EVENTS and name not in self._source.events:
            return None
        expected = Expected((), {}, "")
        if name in expectations:
            expected = read_expectations(expectations[name], EVENTS.get(name), self._columns(name))
            known = tuple(one for one in expected.expectations if self._is_known(name, one))
            expected = Expected(known, expected.accepted, expected.text)
        read = [read_audit(path, name) for path in audits.get(name, [])]
        for one in read:
            self._check_reads(one, name)
        known_audits = tuple(one for one in read if self._can_be_asked(one))
        if not expected.expectations and not known_audits:
            return None
        return Checks(name, expected, known_audits)

    def _columns(self, name: str) -> tuple[str, ...]:
        if name in EVENTS:
            return tuple(column.name for column in EVENTS[name].columns)
        return self._catalog.query(name).columns

    def _is_known(self, name: str, expectation: Expectation) -> bool:
        """Whether the source's logs tell the column; what they never tell is absent in all rows, and nobody's fault."""
        if name not in EVENTS or not expectation.column:
            return True
        return expectation.column in {rule.column.name for rule in self._source.layout(name).rules}

    def _can_be_asked(self, audit: Audit) -> bool:
        """Whether the source has all events that the audit reads, itself or through tables."""
        events = {event for read in audit.query.reads for event in self._below(read.table) if event in EVENTS}
        return events <= set(self._source.events)

    def _check_reads(self, audit: Audit, name: str) -> None:
        """An audit stands between its table and what reads it, so it may read neither that nor what reads that."""
        path, allowed = audit.query.path, {*EVENTS, *(() if name in EVENTS else self._below(name))}
        for read in audit.query.reads:
            if read.table not in EVENTS and read.table not in self._catalog.tables():
                near = UnknownNameError("table", read.table, [*self._catalog.tables(), *EVENTS])
                raise SqlError(path, None, f"`reads:` names an {near}")
            if read.table not in allowed:
                raise SqlError(
                    path,
                    None,
                    f"an audit of {name} may read events, {name} and what {name} is built from, and {read.table} is "
                    f"none of them; name the file {read.table}__…, so that it is checked where both are there",
                )

    def _below(self, name: str) -> Iterator[str]:
        """The event or table, and all that it is built from."""
        yield name
        if name not in EVENTS:
            for read in self._catalog.query(name).reads:
                yield from self._below(read.table)

    def _listed(self) -> tuple[dict[str, Path], dict[str, list[Path]]]:
        """The files by event or table. A DefinitionError if one is named for neither."""
        if self._files is None:
            known = [*EVENTS, *self._catalog.tables()]
            expectations = {path.stem: path for path in sorted(self._expectations.glob("[!.]*.yaml"))}
            for name, path in expectations.items():
                if name not in known:
                    near = UnknownNameError("event or table", name, known)
                    raise ExpectationError(path, None, f"the file is named for an {near}")
            audits: dict[str, list[Path]] = {}
            for path in sorted(self._audits.glob("[!.]*.sql")):
                name, dashes, sentence = path.stem.partition("__")
                if not dashes or not sentence or name not in known:
                    near = UnknownNameError("event or table", name, known)
                    cure = f"call it TABLE__what-must-not-be.sql; {name!r} is an {near}"
                    raise SqlError(path, None, cure if name not in known else f"call it {name}__what-must-not-be.sql")
                audits.setdefault(name, []).append(path)
            self._files = expectations, audits
        return self._files
