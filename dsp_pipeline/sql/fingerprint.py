"""A query's content, for its version."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from dsp_pipeline.sql.query import Query


def normalised(query: Query) -> str:
    """What `query` means, as text: comments, layout, keyword case, doubled parentheses and the grain do not count.

    The tree, the windows of `reads:` and the `key:` do. The order of `reads:` does not.
    """
    from sqlglot import exp

    tree = query.tree.copy()
    for join in tree.find_all(exp.Join):
        if join.side and join.kind == "OUTER":
            join.set("kind", None)
    for paren in list(tree.find_all(exp.Paren)):
        # `((x))` and `(column)` mean x; other parentheses may carry precedence and stay.
        if isinstance(paren.this, (exp.Paren, exp.Column, exp.Literal)):
            paren.replace(paren.this)
    reads = [f"{read.table}[{read.first},{read.last}]" for read in sorted(query.reads, key=lambda read: read.table)]
    sql = tree.sql(dialect="bigquery", comments=False, normalize_functions="upper")
    return "\n".join([f"reads {' '.join(reads)}", f"key {' '.join(query.key)}", sql])
