"""What an output was made from, as a tree: receipts of one kind and range of days stand together."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import date, datetime
from typing import Any

from rich.tree import Tree

from console.printing import is_value, number, size
from dsp_pipeline.receipts import Receipt
from tasks.plan import count, ranges, span

_DAY, _HOUR = re.compile(r"\d{4}-\d\d-\d\d"), re.compile(r"\d{4}-\d\d-\d\dT\d\d")


@dataclass
class Node:
    """Outputs of one kind (`click_rate_1a2b3c4d5e6f`, `ingest/click-…`, `raw`) and what they were made from."""

    kind: str
    names: list[str]
    rows: int = 0
    bytes: int = 0
    first_made: str = ""
    last_made: str = ""
    inputs: list[Node] = field(default_factory=list)
    value: bool = False  # they are values of steps, whose entries are counted
    above: bool = False  # the same outputs stand elsewhere in the tree, with their inputs


def lineage_tree(receipt: Receipt, upstream: Mapping[str, Mapping[str, Any]]) -> Node:
    """The tree of an output, from its receipt and those of everything upstream, by address, as `lineage` gives them."""
    known = {**upstream, receipt.address: _plain(receipt)}
    return _node(_kind(receipt.address), [receipt.address], known, set())


def draw(node: Node, tree: Tree | None = None) -> Tree:
    """The tree for the terminal."""
    said = _said(node)
    branch = tree.add(said) if tree else Tree(said)
    for below in node.inputs:
        draw(below, branch)
    return branch


def _node(kind: str, addresses: list[str], known: Mapping[str, Mapping[str, Any]], seen: set[frozenset[str]]) -> Node:
    receipts = [known[address] for address in addresses if address in known]
    made = sorted(receipt["created_at"] for receipt in receipts)
    node = Node(
        kind,
        [address.rpartition("/")[2] if kind != "raw" else address.partition("/")[2] for address in addresses],
        sum(receipt["rows"] for receipt in receipts),
        sum(file["size"] for receipt in receipts for file in receipt["files"]),
        made[0] if made else "",
        made[-1] if made else "",
    )
    node.value = any(is_value(file["key"]) for receipt in receipts for file in receipt["files"])
    group = frozenset(addresses)
    node.above = group in seen and bool(receipts)
    if node.above:
        return node
    seen.add(group)
    below: dict[str, list[str]] = defaultdict(list)
    for name in dict.fromkeys(given["name"] for receipt in receipts for given in receipt["inputs"]):
        below[_kind(name)].append(name)
    node.inputs = [_node(one, sorted(names), known, seen) for one, names in below.items()]
    return node


def _kind(address: str) -> str:
    return "raw" if address.startswith("raw/") else address.rpartition("/")[0]


def _plain(receipt: Receipt) -> Mapping[str, Any]:
    return {
        "rows": receipt.rows,
        "created_at": receipt.created_at,
        "files": [vars(file) for file in receipt.files],
        "inputs": [vars(given) for given in receipt.inputs],
    }


def _said(node: Node) -> str:
    if node.kind == "raw":
        few = ", ".join(node.names[:2]) + (" …" if node.names[2:] else "")
        return f"{count(len(node.names), 'raw file')}: {few}"
    made = (
        node.first_made[:16]
        if node.first_made[:16] == node.last_made[:16]
        else (f"{node.first_made[:16]} … {node.last_made[:16]}")
    )
    what = ("entry" if node.rows == 1 else "entries") if node.value else ("row" if node.rows == 1 else "rows")
    said = f"[bold]{node.kind}[/bold] {_times(node.names)}: {number(node.rows)} {what}, {size(node.bytes)}"
    return f"{said}, made {made.replace('T', ' ')} UTC" + (" (as above)" if node.above else "")


def _times(names: Iterable[str]) -> str:
    """Ranges of days or hours, where the names are such."""
    times: list[datetime | date] = []
    for name in names:
        if _HOUR.fullmatch(name):
            times.append(datetime.strptime(name, "%Y-%m-%dT%H"))
        elif _DAY.fullmatch(name):
            times.append(date.fromisoformat(name))
        else:
            return ", ".join(names)
    return ", ".join(span(*one) for one in ranges(times))
