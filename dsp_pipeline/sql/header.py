"""The leading comment of a SQL file: what one row is, what the query reads, what identifies a row.

    -- One row per impression of @date, with its label and what was known before it was served.
    -- reads: impression [0, 0], click [0, +1], campaign_daily [-7, -1]
    -- key: impression_id
    -- compatible_with: 1a2b3c4d5e6f = 6f5e4d3c2b1a    (after a change that makes the same rows; see docs/versions.md)
    -- level: fail                                      (of an audit, and of nothing else; see docs/quality.md)

An entry may go on over several comment lines; an empty comment line ends it, and free notes may follow.
"""

from __future__ import annotations

import difflib
import re
from dataclasses import dataclass
from pathlib import Path

from dsp_pipeline.errors import SqlError

_ENTRY = re.compile(r"([A-Za-z_]+):\s*(.*)")
_READ = re.compile(r"\s*([A-Za-z_]\w*)\s*\[\s*([+-]?\d+)\s*,\s*([+-]?\d+)\s*\]\s*(?:,|$)")
_NAME = re.compile(r"[A-Za-z_]\w*")
_ENTRIES = ("reads", "key", "compatible_with", "level")
_READS_EXAMPLE = "write for example `-- reads: impression [0, 0], click [0, +1]` (days relative to @date, inclusive)"
_KEY_EXAMPLE = (
    "write for example `-- key: impression_id` (output columns that identify a row; notes follow an empty `--`)"
)


@dataclass(frozen=True)
class Read:
    """The partitions of `table` from `first` to `last` days relative to @date, both included."""

    table: str
    first: int
    last: int


@dataclass(frozen=True)
class Header:
    """What the leading comment says. The `…_line`s tell where its entries stand, for messages."""

    grain: str
    reads: tuple[Read, ...]
    key: tuple[str, ...]
    reads_line: int
    key_line: int
    compatible_with: str = ""
    compatible_line: int | None = None
    level: str = ""
    level_line: int | None = None


def read_header(path: Path, text: str) -> Header:
    """The header of a SQL file, or SqlError with the line and what to write there."""
    grain: list[str] = []
    entries: dict[str, list[tuple[int, str]]] = {}
    into: list[tuple[int, str]] | None = None
    notes = False
    for number, line in _comment_lines(text):
        entry = _ENTRY.match(line)
        if entry and entry[1] in _ENTRIES:
            if entry[1] in entries:
                raise SqlError(path, number, f"the header has a second `{entry[1]}:`; keep one")
            into = entries.setdefault(entry[1], [(number, entry[2])])
        elif entry and entry[1] == entry[1].lower() and difflib.get_close_matches(entry[1], _ENTRIES, cutoff=0.6):
            raise SqlError(
                path,
                number,
                f"unknown header entry `{entry[1]}:`; there are `reads:`, `key:`, `compatible_with:` and, of an audit, "
                "`level:`",
            )
        elif not line:
            into, notes = None, bool(entries)
        elif into is not None:
            into.append((number, line))
        elif not notes:
            grain.append(line)
    if not grain:
        raise SqlError(path, 1, "the header does not say what one row is; begin with `-- One row per … of @date.`")
    if "reads" not in entries:
        raise SqlError(path, 1, f"the header has no `reads:`; {_READS_EXAMPLE}")
    if "key" not in entries:
        raise SqlError(path, 1, f"the header has no `key:`; {_KEY_EXAMPLE}")
    declared, level = (entries.get(name, [(0, "")]) for name in ("compatible_with", "level"))
    return Header(
        grain=" ".join(grain),
        reads=parse_reads(path, entries["reads"], path.stem),
        key=_key(path, entries["key"]),
        reads_line=entries["reads"][0][0],
        key_line=entries["key"][0][0],
        compatible_with=" ".join(text for _, text in declared).strip(),
        compatible_line=declared[0][0] or None,
        level=" ".join(text for _, text in level).strip(),
        level_line=level[0][0] or None,
    )


def _comment_lines(text: str) -> list[tuple[int, str]]:
    lines: list[tuple[int, str]] = []
    for number, line in enumerate(text.splitlines(), start=1):
        stripped = line.strip()
        if not stripped.startswith("--"):
            if stripped or lines:
                break
            continue
        lines.append((number, stripped[2:].strip()))
    return lines


def parse_reads(path: Path, lines: list[tuple[int, str]], name: str, example: str = _READS_EXAMPLE) -> tuple[Read, ...]:
    """What `name` reads, as numbered lines of the file say it, or SqlError with the line and what to write there."""
    text = "\n".join(content for _, content in lines)
    reads: list[Read] = []
    at = 0
    while text[at:].strip():
        line = lines[min(text.count("\n", 0, at + len(text[at:]) - len(text[at:].lstrip())), len(lines) - 1)][0]
        found = _READ.match(text, at)
        if not found:
            wrong = text[at:].strip().split("\n")[0]
            raise SqlError(path, line, f"cannot read `{wrong}` in `reads:`; {example}")
        read = Read(found[1], int(found[2]), int(found[3]))
        if read.first > read.last:
            cure = f"write {read.table} [{read.last:+d}, {read.first:+d}]"
            raise SqlError(path, line, f"the window of {read.table} ends before it begins; {cure}")
        if any(read.table.lower() == other.table.lower() for other in reads):
            raise SqlError(
                path, line, f"{read.table} is declared twice in `reads:`; give it one window that covers both"
            )
        if read.table.lower() == name.lower():
            cure = "keep running totals in a table of their own, or read the events of a longer window"
            raise SqlError(path, line, f"{name} reads itself; {cure}")
        reads.append(read)
        at = found.end()
    if not reads:
        raise SqlError(path, lines[0][0], f"`reads:` is empty; {example}")
    return tuple(reads)


def _key(path: Path, lines: list[tuple[int, str]]) -> tuple[str, ...]:
    names: list[str] = []
    for number, content in lines:
        for part in content.rstrip().removesuffix(",").split(","):
            name = part.strip()
            if not _NAME.fullmatch(name):
                raise SqlError(path, number, f"cannot read `{content}` in `key:`; {_KEY_EXAMPLE}")
            if name.lower() in (other.lower() for other in names):
                raise SqlError(path, number, f"{name} stands twice in `key:`; keep one")
            names.append(name)
    return tuple(names)
