"""A raw log layout: how our events are made from somebody's lines. One YAML file each in `sources/`.

description: one sentence
format: json | csv | tsv          JSON lines, or text columns
compression: gzip | zstd | none
timezone: Asia/Shanghai           of times that carry no zone, and of {hour}
nulls: ["null", ""]               words that mean absent; JSON null always does
columns: [a, b, …]                csv and tsv without a header line; a header without a word is column_<place>
events:
  click:
    path: "clk.{hour:%Y%m%d%H}.txt.gz"        see PathPattern
    arrival: "imp.{hour:%Y%m%d%H}.txt.gz"     what shows that the hour has arrived; `path` if left out
    where: {click: "1"}                       only lines with these raw values are this event
    compatible_with: 1a2b… = 6f5e…            after a change that makes the same rows; see docs/versions.md
    fields:
      click_id: id                            our column: their field (nested by dots, list items by [0])
      clicked_at: {from: ts, time: epoch_ms}  iso, epoch_s, epoch_ms, epoch_us or a strptime format
      bid_price_micros: {from: bid, times: 10}
      segments: {from: tags, split: ","}      text → list; a JSON list needs no split
      segments: {from: pairs, each: 0}        the first member of each pair of a JSON list
      affinities: {from: "affinity_*"}        all columns of that name, in order
      placement_width: {from: size, match: '(\\d+)x'}
      currency: {value: CNY}
      policy: {from: path.policy}             a {policy} of the path
      click_id: {format: "{path.policy}-{id}"}   put together from fields
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from dsp_pipeline.errors import SourceError, UnknownNameError
from dsp_pipeline.events.paths import PathPattern
from dsp_pipeline.events.schema import EVENTS, FLOATS, INTEGER, TEXT, TEXTS, TIME, Column, Event
from dsp_pipeline.fingerprint import Version, compatible, fingerprint
from dsp_pipeline.yamlfile import Block, read_yaml

# Raised when our own code makes other rows of the same lines than it did; tests/events/test_decoder.py tells when.
DECODER = "1"
FORMATS, COMPRESSIONS = ("json", "csv", "tsv"), ("gzip", "zstd", "none")
_RULE_KEYS = ("from", "time", "times", "split", "each", "match", "value", "format")
_PARTS = ("origin", "value", "template", "time", "times", "split", "each", "match")
_REFERENCE = re.compile(r"[^\s{}]+")
_JSON_REFERENCE = re.compile(r"[^\s{}.\[\]*]+(\[\d+\])*(\.[^\s{}.\[\]*]+(\[\d+\])*)*")
_TIMES = ("iso", "epoch_s", "epoch_ms", "epoch_us")
_IN_FORMAT = re.compile(r"\{([^{}]+)\}")


@dataclass(frozen=True)
class Rule:
    """How one column is made. Exactly one of `origin`, `value` and `template` is set."""

    column: Column
    origin: str | None = None
    value: str | None = None
    template: str | None = None
    time: str | None = None
    times: Decimal | None = None
    split: str | None = None
    each: int | None = None
    match: str | None = None

    @property
    def origins(self) -> list[str]:
        """The raw fields that it reads."""
        if self.template is not None:
            return list(_IN_FORMAT.findall(self.template))
        return [self.origin] if self.origin is not None else []


@dataclass(frozen=True)
class EventLayout:
    """Where an event's lines lie and how its columns are made."""

    event: Event
    path: PathPattern
    arrival: PathPattern
    where: Mapping[str, str]
    rules: tuple[Rule, ...]
    compatible_with: str = ""
    compatible_line: int | None = None


@dataclass(frozen=True)
class Source:
    """A raw log layout as read from its file. `columns` is None when the files name their own."""

    name: str
    file: Path
    description: str
    format: str
    compression: str
    timezone: str
    nulls: tuple[str, ...]
    columns: tuple[str, ...] | None
    events: Mapping[str, EventLayout]

    def layout(self, event: str) -> EventLayout:
        """UnknownNameError if this source has no such event."""
        if event not in self.events:
            raise UnknownNameError(f"event of source {self.name}", event, self.events)
        return self.events[event]

    def version(self, event: str) -> Version:
        """All that decides what the event's rows are: the mapping, our own columns, and our own code."""
        layout, schema = self.layout(event), self.layout(event).event
        rules = [repr((rule.column.name, *(getattr(rule, part) for part in _PARTS))) for rule in layout.rules]
        mapping = fingerprint(
            self.format,
            self.timezone,
            repr(self.nulls),
            repr(self.columns),
            layout.path.text,
            repr(sorted(layout.where.items())),
            *rules,
        )
        try:
            mapping = compatible(mapping, layout.compatible_with)
        except ValueError as error:
            raise SourceError(self.file, layout.compatible_line, str(error)) from None
        columns = fingerprint(
            repr([(column.name, column.type) for column in schema.columns]),
            repr((schema.key, schema.time, sorted(schema.required))),
        )
        return Version(
            f"table/{event}",
            {"mapping": mapping, "columns": columns, "decoder": DECODER},
            {f"events/sources/{self.file.name}": self.file.read_text(encoding="utf-8")},
            layout.compatible_with,
        )


def find_sources(folder: Path) -> list[str]:
    return sorted(path.stem for path in folder.glob("*.yaml") if not path.name.startswith("."))


def load_source(folder: Path, name: str) -> Source:
    """UnknownNameError if there is no such file; SourceError, with file and line, if it is wrong."""
    names = find_sources(folder)
    if name not in names:
        raise UnknownNameError("source", name, names)
    block = read_yaml(folder / f"{name}.yaml", SourceError)
    block.allow(("description", "format", "compression", "timezone", "nulls", "columns", "events"))
    format_ = _one_of(block, "format", FORMATS)
    columns = block.get_as("columns", list, "the list of the columns' names, in their order")
    columns = [_word(block, "columns", column) for column in columns] if columns is not None else None
    if columns is not None and format_ == "json":
        raise block.problem("`columns` is for csv and tsv; JSON lines name their fields.", "columns")
    timezone = block.get_as("timezone", str, "a time zone such as UTC or Asia/Tokyo", "UTC")
    try:
        ZoneInfo(timezone)
    except (ZoneInfoNotFoundError, ValueError, OSError):  # OSError: America is a folder
        raise block.problem(f"no such time zone: {timezone!r}; use a name such as Asia/Tokyo.", "timezone") from None
    events = block.need("events", Block, "the mapping of our events to their lines")
    if not events:
        raise block.problem("`events` is empty; a source makes at least one event.", "events")
    layouts = {}
    for event, given in events.items():
        if event not in EVENTS:
            raise events.problem(str(UnknownNameError("event", event, EVENTS)), event)
        if not isinstance(given, Block):
            raise events.problem(f"`{event}` needs `path:` and `fields:`.", event)
        layouts[event] = _layout(EVENTS[event], given, format_, timezone, columns)
    return Source(
        name=name,
        file=block.path,
        description=block.need("description", str, "one sentence"),
        format=format_,
        compression=_one_of(block, "compression", COMPRESSIONS),
        timezone=timezone,
        nulls=tuple(
            _word(block, "nulls", w) for w in block.get_as("nulls", list, "a list of words that mean absent", [])
        ),
        columns=tuple(columns) if columns is not None else None,
        events=layouts,
    )


def _layout(event: Event, block: Block, format_: str, timezone: str, columns: list[str] | None) -> EventLayout:
    block.allow(("path", "arrival", "where", "compatible_with", "fields"))
    path = _pattern(block, "path", timezone)
    where = block.get_as("where", Block, "raw fields with the value that they must have", {})
    fields = block.need("fields", Block, "the mapping of our columns to their fields")
    names = [column.name for column in event.columns]
    fields.allow(names)
    for needed in (event.key, event.time, *sorted(event.required)):
        if needed not in fields:
            raise fields.problem(f"`{needed}` is missing; every {event.name} needs it.")
    rules = tuple(_rule(event.column(name), fields, name, format_) for name in names if name in fields)
    for rule in rules:
        for origin in rule.origins:
            _check_origin(origin, path, columns, fields, rule.column.name, format_)
            if origin.endswith("*") and (rule.column.type not in (TEXTS, FLOATS) or rule.template or rule.split):
                raise fields.problem(
                    f"`{rule.column.name}` cannot be made from {origin}: * makes a list.", rule.column.name
                )
    for origin in where:
        if origin.startswith("path.") or origin.endswith("*"):
            raise where.problem(f"`where` is about fields of the line, and {origin} is none.", origin)
        _check_origin(origin, path, columns, where, origin, format_)
    return EventLayout(
        event=event,
        path=path,
        arrival=_pattern(block, "arrival", timezone) if "arrival" in block else path,
        where={key: _word(where, key, value) for key, value in where.items()},
        rules=rules,
        compatible_with=block.get_as("compatible_with", str, "OLD = NEW, the fingerprints that `dsp why` tells", ""),
        compatible_line=block.lines.get("compatible_with"),
    )


def _rule(column: Column, fields: Block, name: str, format_: str) -> Rule:
    given = fields[name]
    if isinstance(given, (str, int)) and not isinstance(given, bool):
        given = {"from": str(given)}
        block = fields
    elif isinstance(given, Block):
        block = given
        block.allow(_RULE_KEYS)
    else:
        raise fields.problem(f"`{name}` is {given!r}; write their field's name, or {{from: …}}.", name)
    words = {key: _word(block, key, given[key]) for key in _RULE_KEYS if key in given and key not in ("times", "each")}
    if sum(key in given for key in ("from", "value", "format")) != 1:
        raise fields.problem(f"`{name}` needs exactly one of `from`, `value` and `format`.", name)
    if ("time" in given) != (column.type == TIME):
        cure = "say how it is written, `time: iso` say" if column.type == TIME else "`time` is for times"
        raise fields.problem(f"`{name}` is {column.type}: {cure}.", name)
    if "time" in words and words["time"] not in _TIMES and "%" not in words["time"]:
        cure = "or a format such as '%Y-%m-%d %H:%M:%S'"
        raise block.problem(f"`time` is {words['time']!r}; it is one of {', '.join(_TIMES)}, {cure}.", "time")
    for key, types in (("split", (TEXTS, FLOATS)), ("each", (TEXTS, FLOATS)), ("times", (INTEGER, "float"))):
        if key in given and column.type not in types:
            raise fields.problem(f"`{key}` is not for `{name}`, which is {column.type}.", name)
    if "each" in given and format_ != "json":
        raise fields.problem("`each` is for JSON lists; use `split` for text.", name)
    if "split" in given and ("each" in given or not words["split"]):
        raise fields.problem(f"`{name}`: `split` is the text between the items, for text that is no JSON list.", name)
    if column.type in (TEXTS, FLOATS) and "split" not in given:
        if "value" in given or words.get("from", "").startswith("path."):
            raise fields.problem(f"`{name}` is a list, and this is one text; add `split`.", name)
        if format_ != "json" and not words["from"].endswith("*"):
            raise fields.problem(f'`{name}` is a list; add `split`, or take several columns: `from: "name_*"`.', name)
    if "format" in given and column.type != TEXT:
        raise fields.problem(f"`format` makes text, and `{name}` is {column.type}.", name)
    match = words.get("match")
    if match is not None:
        try:
            groups = re.compile(match).groups
        except re.error as error:
            raise block.problem(f"`match` is no regular expression: {error}.", "match") from None
        if groups != 1:
            raise block.problem(f"`match` needs one (group), which is what is kept; it has {groups}.", "match")
    try:
        times = Decimal(str(given["times"])) if "times" in given else None
    except InvalidOperation:
        times = Decimal("NaN")
    if times is not None and not (times.is_finite() and 0 < times <= 10**12 and times == round(times, 9)):
        raise block.problem(f"`times` is {given['times']!r}; it is a number above 0, of up to 9 decimals.", "times")
    each = given.get("each")
    if each is not None and (not isinstance(each, int) or isinstance(each, bool) or each < 0):
        raise block.problem(f"`each` is {each!r}; it is a place in the pair, from 0.", "each")
    return Rule(
        column=column,
        origin=words.get("from"),
        value=words.get("value"),
        template=words.get("format"),
        time=words.get("time"),
        times=times,
        split=words.get("split"),
        each=each,
        match=match,
    )


def _check_origin(
    origin: str, path: PathPattern, columns: list[str] | None, fields: Block, name: str, format_: str
) -> None:
    if not (_JSON_REFERENCE if format_ == "json" else _REFERENCE).fullmatch(origin):
        raise fields.problem(f"`{name}` is made from {origin!r}, which is no field name.", name)
    if origin.startswith("path."):
        if origin[5:] not in path.names:
            raise fields.problem(f"`{name}` is made from {origin}, but the path has no {{{origin[5:]}}}.", name)
    elif columns is not None and not origin.endswith("*") and origin not in columns:
        raise fields.problem(f"`{name}`: {UnknownNameError('column', origin, columns)}", name)


def _word(block: Block, key: str, value: Any) -> str:
    """A word that may look like a number; YAML makes other things of `null`, `yes` and 2026-11-21."""
    if isinstance(value, bool) or not isinstance(value, (str, int, float)):
        raise block.problem(f"`{key}` holds {value!r}, which YAML does not take for a word; put it in quotes.", key)
    return str(value)


def _pattern(block: Block, key: str, timezone: str) -> PathPattern:
    pattern = PathPattern(block.need(key, str, "the path of the hour's files"), timezone)
    problem = pattern.problem()
    if problem:
        raise block.problem(f"`{key}` is {pattern.text!r}: {problem}.", key)
    return pattern


def _one_of(block: Block, key: str, words: tuple[str, ...]) -> str:
    value = block.need(key, str, f"one of {', '.join(words)}")
    if value not in words:
        raise block.problem(f"`{key}` is {value!r}; it is one of {', '.join(words)}.", key)
    return str(value)
