"""Where a node of a query stands, and how a person would call it: for messages."""

from __future__ import annotations

import re
from typing import Any

from sqlglot import exp


def line_of(node: Any) -> int | None:
    """The line of the file that `node` stands on, counted from 1; None when sqlglot does not know."""
    at = node
    while at is not None:
        lines = [inner.meta["line"] for inner in at.walk() if "line" in inner.meta]
        if lines:
            return int(min(lines))
        at = at.parent
    return None


def construct_of(node: Any) -> str:
    """How a person would call `node`: a function by its name, other things by their text."""
    if isinstance(node, exp.Anonymous):
        return str(node.name).upper()
    if isinstance(node, exp.NetFunc):
        return f"NET.{construct_of(node.this)}"
    if isinstance(node, (exp.Dot, exp.Tuple, exp.HexString)):
        return str(node.sql(dialect="bigquery"))
    if node.meta.get("bigquery_name"):
        return str(node.meta["bigquery_name"]).upper()
    if isinstance(node, exp.Func):
        return str(node.sql_name())
    return re.sub(r"(?<=[a-z])(?=[A-Z])", " ", type(node).__name__).upper()
