"""All feature tables of a folder: one `.sql` file is one table, found by its name."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from dsp_pipeline.errors import SqlError, UnknownNameError
from dsp_pipeline.events.schema import EVENTS
from dsp_pipeline.fingerprint import Version, compatible, fingerprint
from dsp_pipeline.sql.fingerprint import normalised

if TYPE_CHECKING:
    from dsp_pipeline.sql.query import Query

_NAME = re.compile(r"[a-z][a-z0-9_]*")


class Catalog:
    """The tables that `features` defines. Files are read once, when first asked for; later changes are not seen."""

    def __init__(self, features: Path) -> None:
        self.features = features
        self._paths: dict[str, Path] | None = None
        self._queries: dict[str, Query] = {}
        self._checked: set[str] = set()
        self._versions: dict[tuple[str, tuple[tuple[str, str], ...]], Version] = {}

    def tables(self) -> list[str]:
        """The names of all tables, sorted. Raises SqlError for a file name that cannot be a table's name."""
        return list(self._found())

    def query(self, table: str) -> Query:
        """The checked query of `table`. Raises UnknownNameError, or SqlError when the file is wrong."""
        found = self._found()
        if table not in found:
            raise UnknownNameError("table", table, [*found, *EVENTS])
        if table not in self._queries:
            # sqlglot takes a tenth of a second to import; `--help` and listings need not wait for it.
            from dsp_pipeline.sql.query import read_query

            query = read_query(found[table])
            if query.level_line:
                problem = "`level:` is of an audit; delete it, or move the file to audits/"
                raise SqlError(query.path, query.level_line, problem)
            self._queries[table] = query
        return self._queries[table]

    def check(self) -> None:
        """Every file is right, every read is an event or a table, and no table feeds itself; or SqlError."""
        for table in self.tables():
            self._check(table, ())

    def events(self, table: str) -> set[str]:
        """The events that a table is made of, however far up; an event is made of itself."""
        if table in EVENTS:
            return {table}
        return {event for read in self.query(table).reads for event in self.events(read.table)}

    def days_after(self, table: str) -> int:
        """How many days after its own a table reads, itself or through what it reads."""
        if table in EVENTS:
            return 0
        return max((max(0, read.last + self.days_after(read.table)) for read in self.query(table).reads), default=0)

    def version(self, table: str, event_versions: Mapping[str, str], first_date: str = "") -> Version:
        """`table`'s query and the versions of all that it reads, and so of all that is upstream.

        `first_date` is the day at which windows into the past are cut; it is part of the version of a table with one.

        `event_versions` names the version of each event that is read. Raises SqlError for a cycle and
        UnknownNameError for an event that has no version.
        """
        self._check(table, ())
        return self._version(table, event_versions, (*sorted(event_versions.items()), ("first_date", first_date)))

    def _found(self) -> dict[str, Path]:
        if self._paths is None:
            paths = {}
            for path in sorted(self.features.glob("[!.]*.sql")):
                if not _NAME.fullmatch(path.stem):
                    problem = f"{path.stem!r} cannot be a table's name; use lower-case letters, digits and _"
                    raise SqlError(path, None, problem)
                if path.stem in EVENTS:
                    raise SqlError(path, None, f"{path.stem} is already an event; give the table another name")
                paths[path.stem] = path
            self._paths = paths
        return self._paths

    def _check(self, table: str, above: tuple[str, ...]) -> None:
        if table in self._checked:
            return
        query = self.query(table)
        if table in above:
            cycle = " → ".join([*above[above.index(table) :], table])
            raise SqlError(
                query.path, None, f"tables that read each other can never be built: {cycle}; break the cycle"
            )
        for read in query.reads:
            if read.table in EVENTS:
                continue
            if read.table not in self._found():
                near = UnknownNameError("table", read.table, [*self._found(), *EVENTS])
                raise SqlError(query.path, self._reads_line(query), f"`reads:` names an {near}")
            self._check(read.table, (*above, table))
        from dsp_pipeline.sql.unknown import check_columns

        check_columns(query, {read.table: self._columns(read.table) for read in query.reads})
        self._checked.add(table)

    def _columns(self, table: str) -> tuple[str, ...]:
        """What a query can read of an event or a table. The platform adds the day to each table."""
        if table in EVENTS:
            return tuple(column.name for column in EVENTS[table].columns)
        return (*self.query(table).columns, "date")

    @staticmethod
    def _reads_line(query: Query) -> int:
        from dsp_pipeline.sql.header import read_header

        return read_header(query.path, query.text).reads_line

    def _version(self, table: str, events: Mapping[str, str], key: tuple[tuple[str, str], ...]) -> Version:
        if (table, key) not in self._versions:
            query = self.query(table)
            try:
                parts = {"sql": compatible(fingerprint(normalised(query)), query.compatible_with)}
            except ValueError as error:
                raise SqlError(query.path, query.compatible_line, str(error)) from None
            for name in (read.table for read in query.reads):
                if name not in EVENTS:
                    parts[f"reads {name}"] = self._version(name, events, key).name
                elif name in events:
                    parts[f"reads {name}"] = events[name]
                else:
                    raise UnknownNameError("event version", name, events)
            first_date = key[-1][1]
            if first_date and any(read.first < 0 for read in query.reads):
                parts["first_date"] = first_date
            texts = {f"features/{query.path.name}": query.text}
            self._versions[table, key] = Version(f"table/{table}", parts, texts, query.compatible_with)
        return self._versions[table, key]
