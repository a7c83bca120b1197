"""Read one SQL file: its header, its tree, and the checks of its shape.

What a query may use inside (functions, operators) is `portable.py`'s business.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import sqlglot
from sqlglot import exp
from sqlglot.errors import ParseError, TokenError

from dsp_pipeline.errors import SqlError, UndeclaredTableError
from dsp_pipeline.events.schema import EVENTS
from dsp_pipeline.sql import portable
from dsp_pipeline.sql.header import Header, Read, read_header
from dsp_pipeline.sql.place import line_of

__all__ = ["Query", "Read", "parse", "read_query", "tables_used"]

_COLUMN = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_CLOCKS_AND_DICE = (
    exp.CurrentTimestamp,
    exp.CurrentDate,
    exp.CurrentDatetime,
    exp.CurrentTime,
    exp.Rand,
    exp.Uuid,
    exp.SessionUser,
)


@dataclass(frozen=True)
class Query:
    """One checked SQL file. `tree` is shared: copy it before changing it.

    `columns` are the output columns in order; `key` are those that identify a row. The tree is BigQuery's dialect:
    `tree.sql(dialect="bigquery")` is what BigQuery runs, `translate.to_duckdb(tree)` what DuckDB runs.
    """

    name: str
    path: Path
    text: str = field(repr=False)
    grain: str
    reads: tuple[Read, ...]
    key: tuple[str, ...]
    columns: tuple[str, ...]
    tree: exp.Select = field(repr=False, compare=False)
    compatible_with: str = ""
    compatible_line: int | None = None
    level: str = ""  # of an audit alone
    level_line: int | None = None


def read_query(path: Path) -> Query:
    """Read and check `path`, whose name is the table's name. Raises SqlError with line and cure."""
    try:
        text = path.read_text(encoding="utf-8")
    except UnicodeDecodeError as error:
        raise SqlError(
            path, None, f"it is not UTF-8 ({error.reason} at byte {error.start}); save it as UTF-8."
        ) from None
    header = read_header(path, text)
    tree = parse(path, text)
    _check_clocks(path, tree)
    _check_parameters(path, tree)
    _check_tables(path, tree, header)
    _check_top_level(path, tree)
    columns = _columns(path, tree)
    for name in header.key:
        if name not in columns:
            problem = f"the key column {name} is not in the output; there are: {', '.join(columns)}"
            raise SqlError(path, header.key_line, problem)
    portable.check(tree, path)
    return Query(
        path.stem,
        path,
        text,
        header.grain,
        header.reads,
        header.key,
        columns,
        tree,
        header.compatible_with,
        header.compatible_line,
        header.level,
        header.level_line,
    )


def parse(path: Path, text: str) -> exp.Select:
    """The tree of a file that holds exactly one SELECT; lines of errors count in the file, header included."""
    try:
        statements = [tree for tree in sqlglot.parse(text, dialect="bigquery") if tree is not None]
    except ParseError as error:
        first = error.errors[0] if error.errors else {}
        problem = str(first.get("description", error)).split(" but got <Token")[0]
        near = first.get("highlight") or "the end"
        raise SqlError(path, first.get("line"), f"cannot parse the query near `{near}`: {problem}") from error
    except TokenError as error:
        raise SqlError(
            path, None, "cannot read the query: a string, a comment or a quoted name is not closed"
        ) from error
    statements = [tree for tree in statements if not isinstance(tree, exp.Semicolon)]
    if not statements:
        raise SqlError(path, None, "there is no query below the header; write one SELECT")
    if len(statements) > 1:
        raise SqlError(path, line_of(statements[1]), "more than one statement; a file holds one SELECT")
    tree = statements[0]
    if not isinstance(tree, exp.Select):
        cure = "write one SELECT (put a UNION into a WITH and select its columns by name)"
        raise SqlError(path, line_of(tree), f"the query is not a SELECT; {cure}")
    for node in tree.walk():
        node.pop_comments()  # they are no part of what is run, and `*/` in one would end it
    for node in tree.find_all(exp.DateAdd, exp.DateSub, exp.TimestampAdd, exp.TimestampSub, exp.Interval):
        # sqlglot keeps the 7 of `INTERVAL 7 DAY` as a string; BigQuery documents an INT64 there.
        place = "this" if isinstance(node, exp.Interval) else "expression"
        number = node.args.get(place)
        if isinstance(number, exp.Literal) and number.is_string and re.fullmatch(r"-?\d+", number.name):
            node.set(place, exp.Literal.number(number.name))
    return tree


def tables_used(tree: exp.Expr) -> Iterator[exp.Table]:
    """Each place of `tree` that names a table which is not a CTE."""
    ctes = {cte.alias_or_name for cte in tree.find_all(exp.CTE)}
    for table in tree.find_all(exp.Table):
        if table.args.get("db") or table.name not in ctes:
            yield table


def _check_clocks(path: Path, tree: exp.Expr) -> None:
    for node in tree.find_all(*_CLOCKS_AND_DICE):
        name = str(node.meta.get("bigquery_name") or node.sql_name()).upper()
        cure = "a day must come out the same when it is built again; use @date"
        raise SqlError(path, line_of(node), f"{name} gives another value on each run; {cure}")


def _check_parameters(path: Path, tree: exp.Expr) -> None:
    for node in tree.find_all(exp.Parameter, exp.Placeholder, exp.SessionParameter):
        if not isinstance(node, exp.Parameter) or node.name != "date":
            text = node.sql(dialect="bigquery")
            cure = "the only one is @date (DATE, the day that is built)"
            raise SqlError(path, line_of(node), f"unknown parameter {text}; {cure}")


def _check_tables(path: Path, tree: exp.Expr, header: Header) -> None:
    declared = {read.table for read in header.reads}
    lowered = {name.lower() for name in declared} | {path.stem.lower()}
    seen: set[str] = set()
    for cte in tree.find_all(exp.CTE):
        name = cte.alias_or_name
        if name.lower() in lowered:
            cure = "name it for what one of its rows is"
            raise SqlError(path, line_of(cte), f"the CTE {name} hides the table {name}; {cure}")
        if name.lower() in seen:
            raise SqlError(path, line_of(cte), f"two CTEs are called {name}; give one another name")
        seen.add(name.lower())
    used: set[str] = set()
    for table in tables_used(tree):
        line = line_of(table)
        plain = isinstance(table.this, exp.Identifier) and not table.args.get("db") and not table.args.get("catalog")
        if not plain or not _COLUMN.fullmatch(table.name):
            shown = table.copy()
            shown.set("alias", None)
            cure = "write the bare name of an event or a feature table (an array column goes into UNNEST)"
            raise SqlError(path, line, f"{shown.sql(dialect='bigquery')} is not a plain table name; {cure}")
        if table.name not in declared:
            near = difflib.get_close_matches(table.name, sorted(declared), n=2, cutoff=0.6)
            if near and _is_there(table.name, path) and not _is_there(near[0], path):
                problem = f"`reads:` declares {near[0]}, which is nowhere; did you mean {table.name}?"
                raise UndeclaredTableError(path, header.reads_line, problem)
            cure = f"did you mean {' or '.join(near)}? Else add" if near else "add"
            problem = f"the query reads {table.name}, which its header does not declare; {cure}"
            raise UndeclaredTableError(path, line, f"{problem} `{table.name} [0, 0]` to `-- reads:`")
        used.add(table.name)
    for read in header.reads:
        if read.table not in used:
            problem = f"`reads:` declares {read.table}, which the query does not use; delete it"
            raise SqlError(path, header.reads_line, problem)


def _is_there(name: str, path: Path) -> bool:
    """Whether an event or a file beside this one has the name."""
    return name in EVENTS or path.with_name(f"{name}.sql").exists()


def _check_top_level(path: Path, tree: exp.Select) -> None:
    for star in tree.find_all(exp.Star):
        if not isinstance(star.parent, exp.Count):
            raise SqlError(path, line_of(star), "SELECT * changes with its table; name the columns")
    for part in ("order", "limit", "offset"):
        node = tree.args.get(part)
        if node is not None:
            problem = f"{part.upper()}{' BY' if part == 'order' else ''} at the end of a table's query"
            cure = "a table has no order and its rows are replaced as a set; delete it"
            raise SqlError(path, line_of(node), f"{problem}; {cure}")


def _columns(path: Path, tree: exp.Select) -> tuple[str, ...]:
    names: list[str] = []
    for place, output in enumerate(tree.selects, start=1):
        line = line_of(output)
        if not isinstance(output, (exp.Alias, exp.Column)):
            text = output.sql(dialect="bigquery")
            raise SqlError(path, line, f"output column {place} ({text}) has no name; add `AS name`")
        name = output.alias_or_name
        if not _COLUMN.fullmatch(name):
            raise SqlError(path, line, f"output column {name!r}: use letters, digits and _ only")
        if name.lower() == "date":
            raise SqlError(path, line, "the platform adds the column `date`; leave it out or name it otherwise")
        if name.startswith("_"):
            raise SqlError(path, line, f"output column {name}: names that begin with _ are the platform's; rename it")
        if name.lower() in (other.lower() for other in names):
            raise SqlError(path, line, f"two output columns are called {name}; rename one with AS")
        names.append(name)
    return tuple(names)
