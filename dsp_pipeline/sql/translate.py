"""From BigQuery's dialect to DuckDB's, with BigQuery's documented results.

sqlglot parses and prints; its own translation gave 23 of 83 expressions another result than BigQuery documents, so
each construct that differs is rewritten here into a macro of `macros.py`. `portable.py` says which may come.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from sqlglot import exp

from dsp_pipeline.sql.bind import BOUND
from dsp_pipeline.sql.macros import MACROS
from dsp_pipeline.sql.rewrites import REWRITES

if TYPE_CHECKING:
    import duckdb
    import pyarrow as pa

__all__ = ["prepare", "to_duckdb"]


def to_duckdb(tree: exp.Expr) -> str:
    """`tree` as DuckDB's SQL, for a connection that went through `prepare`. The tree is not touched.

    INT64 comes out as BIGINT, FLOAT64 as DOUBLE, STRING as VARCHAR, BOOL as BOOLEAN, DATE as DATE and TIMESTAMP as
    TIMESTAMP WITH TIME ZONE; `@date` becomes the bound parameter `$date`.
    """
    copied = tree.copy()
    _group_by_what_is_selected(copied)
    for node in reversed(list(_own_nodes(copied))):
        rewrite = REWRITES.get(type(node))
        new = rewrite(node) if rewrite else node
        if new is not node:
            if node is copied:
                copied = new
            else:
                node.replace(new)
    # Quoted, because DuckDB reserves words that BigQuery leaves free; quoting does not make it mind the case.
    return copied.sql(dialect="duckdb", comments=False, identify=True)


def prepare(connection: duckdb.DuckDBPyConnection) -> None:
    """Give `connection` BigQuery's time zone (UTC), its functions, and FARM_FINGERPRINT. Doing it twice is harmless."""
    connection.execute("SET GLOBAL TimeZone = 'UTC'; SET TimeZone = 'UTC'")  # cursors take the global one
    connection.execute(MACROS)
    from duckdb import func

    known = connection.execute("SELECT count(*) FROM duckdb_functions() WHERE function_name = 'farm_fingerprint'")
    if known.fetchall() == [(0,)]:
        # A lambda, because DuckDB evaluates annotations and would have to import what they name.
        connection.create_function(
            "farm_fingerprint",
            lambda texts: farm_fingerprint(texts),
            ["VARCHAR"],
            "BIGINT",
            type=func.PythonUDFType.ARROW,
        )


def _own_nodes(tree: exp.Expr) -> Iterator[exp.Expr]:
    """The nodes of the query itself, parents first; what `bind` put in is the warehouse's and stays."""
    yield from tree.walk(bfs=False, prune=lambda node: bool(node.meta.get(BOUND)))


def _group_by_what_is_selected(tree: exp.Expr) -> None:
    """`GROUP BY hour` means the selected `… AS hour` in BigQuery, but a column `hour` of the table in DuckDB."""
    for select in tree.find_all(exp.Select):
        group = select.args.get("group")
        if group is None or select.meta.get(BOUND):
            continue
        places = {
            item.alias.lower(): place for place, item in enumerate(select.selects, 1) if isinstance(item, exp.Alias)
        }
        for name in group.expressions:
            if isinstance(name, exp.Column) and not name.table and name.name.lower() in places:
                name.replace(exp.Literal.number(places[name.name.lower()]))


def farm_fingerprint(texts: pa.ChunkedArray | pa.Array) -> pa.Array:
    """FarmHash Fingerprint64 of UTF-8 text as a signed integer; each distinct text is hashed once per batch."""
    import farmhash
    import numpy as np
    import pyarrow as pa

    if isinstance(texts, pa.ChunkedArray):
        texts = texts.combine_chunks()
    coded = texts.dictionary_encode()
    distinct = coded.dictionary.to_pylist()
    hashes = np.fromiter(map(farmhash.fingerprint64, distinct), np.uint64, len(distinct)).view(np.int64)
    return pa.array(hashes).take(coded.indices)
