"""A source's rules as one DuckDB query over raw lines.

The query answers every line with its columns and a `reason`: null for a good line, else why it is rejected. Each
column is made in three steps: the raw text (null if absent), the typed value (null if the text has another type),
and the verdict (a text that gave no value is a `wrong_type`).
"""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any

from dsp_pipeline.errors import SourceError
from dsp_pipeline.events.lines import SEPARATOR
from dsp_pipeline.events.schema import FLOATS, TEXT, TEXTS
from dsp_pipeline.events.source import EventLayout, Rule, Source
from dsp_pipeline.events.values import row_value, sql_text, typed_value

_STEP = re.compile(r"([^.\[\]]+)|\[(\d+)\]")
_IN_FORMAT = re.compile(r"\{([^{}]+)\}")


def mapping_query(
    source: Source, layout: EventLayout, hour: datetime, header: Sequence[str] | None, *, hours: int = 1
) -> str:
    """The query over the relation `lines` (see LineReader.batches). `header` is None for JSON lines.

    Lines are of `hour`, or of as many hours from there on as `hours` says.

    SourceError if a rule names a column that the header lacks.
    """
    reader = _Json(source, layout) if header is None else _Columns(source, layout, header)
    event, rules = layout.event, layout.rules
    raw = ", ".join(f"{reader.raw(rule)} AS r{place}" for place, rule in enumerate(rules))
    typed = ", ".join(f"{typed_value(rule, f'r{place}')} AS t{place}" for place, rule in enumerate(rules))
    verdicts = ["WHEN malformed THEN 'malformed'"]
    for place, rule in enumerate(rules):
        wrong = f"r{place} IS NOT NULL AND t{place} IS NULL" if rule.column.type != TEXT or rule.match else "FALSE"
        is_text = rule.column.type == TEXT or rule.split is not None
        no_text = [reader.is_nosql_text(origin) for origin in rule.origins] if is_text else []
        wrong = " OR ".join(test for test in (wrong, *no_text) if test != "FALSE")
        if wrong:
            verdicts.append(f"WHEN {wrong} THEN 'wrong_type:{rule.column.name}'")
    for place, rule in enumerate(rules):
        if rule.column.name in {event.key, event.time} | event.required:
            verdicts.append(f"WHEN r{place} IS NULL THEN 'missing:{rule.column.name}'")
    time = next(f"t{place}" for place, rule in enumerate(rules) if rule.column.name == event.time)
    outside = (
        f"({time} < TIMESTAMPTZ '{hour:%Y-%m-%d %H}:00:00+00'"
        f" OR {time} >= TIMESTAMPTZ '{hour + timedelta(hours=hours):%Y-%m-%d %H}:00:00+00')"
    )
    if layout.path.separates(hour):
        verdicts.append(f"WHEN {outside} THEN 'outside_hour'")
        other_hours = "FALSE"
    else:
        other_hours = f"NOT malformed AND coalesce({outside}, FALSE)"
    made = {rule.column.name: f"t{place}" for place, rule in enumerate(rules)}
    columns = ", ".join(f"{row_value(column, made)} AS {column.name}" for column in event.columns)
    belongs = " AND ".join(reader.belongs(origin, value) for origin, value in layout.where.items()) or "TRUE"
    paths = "".join(f', "path.{name}"' for name in layout.path.names)
    # Each raw field is taken out of `r` once and has a name from there on: to plan an expression over a struct costs
    # more than to evaluate it over some thousand lines.
    fields = "".join(f", {expression} AS {name}" for expression, name in reader.fields.values())
    return f"""
        WITH apart AS (SELECT *, {reader.apart()} AS r FROM lines),
        fields AS (SELECT file, number, line, record{paths}, coalesce({reader.malformed()}, TRUE) AS malformed{fields}
                   FROM apart),
        raw AS (SELECT file, number, line, malformed, {reader.kinds()} AS kinds, {raw} FROM fields WHERE {belongs}),
        typed AS (SELECT *, {typed} FROM raw)
        SELECT file, number, line, CASE {" ".join(verdicts)} END AS reason, {columns}
        FROM typed WHERE NOT ({other_hours})"""


class _Json:
    """JSON lines: one pass takes all fields out of a line as text, lists as JSON."""

    def __init__(self, source: Source, layout: EventLayout) -> None:
        self._source = source
        self.fields: dict[str, tuple[str, str]] = {}  # by origin: how it is taken out of `r`, and its name then
        self._texts: dict[str, int] = {}
        self._structure: Any = {}
        for rule in layout.rules:
            for origin in rule.origins:
                if not origin.startswith("path."):
                    self._plan(origin, "JSON" if rule.column.type in (TEXTS, FLOATS) and not rule.split else "VARCHAR")
        for origin in layout.where:
            self._plan(origin, "VARCHAR")

    def apart(self) -> str:
        return f"json_transform(CASE WHEN json_valid(record) THEN record END, {sql_text(json.dumps(self._structure))})"

    def malformed(self) -> str:
        return "r IS NULL OR left(ltrim(record), 1) <> '{'"  # valid JSON that begins so is an object

    def belongs(self, origin: str, value: str) -> str:
        return f"(malformed OR {self._value(origin)} = {sql_text(value)})"

    def raw(self, rule: Rule) -> str:
        if (
            rule.column.type in (TEXTS, FLOATS)
            and rule.origin
            and not rule.split
            and not rule.origin.startswith("path.")
        ):
            value = self._value(rule.origin)
            return f"CASE WHEN json_type({value}) <> 'NULL' THEN {value} END"  # a part of valid JSON
        return _raw(rule, self._present)

    def _present(self, origin: str) -> str:
        value = self._value(origin)
        return (
            f"CASE WHEN {_absent(value, self._source.nulls)} THEN NULL ELSE {value} END"
            if self._source.nulls
            else value
        )

    def is_nosql_text(self, origin: str) -> str:
        """An object or list where text is wanted arrives as its JSON text; see `kinds`."""
        if origin.startswith("path."):
            return "FALSE"
        self._value(origin)
        self._texts.setdefault(origin, len(self._texts) + 1)
        return f"kinds[{self._texts[origin]}] IN ('OBJECT', 'ARRAY')"

    def kinds(self) -> str:
        """The JSON types of all text fields, looked up only in lines where one begins as an object or list does."""
        if not self._texts:
            return "NULL::VARCHAR[]"
        names = ", ".join(self.fields[origin][1] for origin in self._texts)
        begins = f"concat_ws(chr(31), '', {names})"
        paths = ", ".join(sql_text(_json_path(origin)) for origin in self._texts)
        return (
            f"CASE WHEN contains({begins}, chr(31) || '{{') OR contains({begins}, chr(31) || '[') "
            f"THEN json_type(record, [{paths}]) END"
        )

    def _value(self, origin: str) -> str:
        out = "r"
        for name, index in _STEP.findall(origin):
            out += f"[{int(index) + 1}]" if index else f".{_name(name)}"
        return self.fields.setdefault(origin, (out, f"f{len(self.fields)}"))[1]

    def _plan(self, origin: str, leaf: str) -> None:
        """Add the field to the structure that json_transform takes out: {"a": {"b": "VARCHAR"}, "c": ["JSON"]}."""
        steps: list[str | int] = [int(index) if index else name for name, index in _STEP.findall(origin)]
        place = self._structure
        for step, following in zip(steps, [*steps[1:], None], strict=True):
            fresh: Any = leaf if following is None else [] if isinstance(following, int) else {}
            if isinstance(step, int):
                if not place:
                    place.append(fresh)
                step = 0
            elif step not in place:
                place[step] = fresh
            if not isinstance(place[step], type(fresh)) or (following is None and place[step] != leaf):
                raise SourceError(
                    self._source.file,
                    None,
                    f"{origin!r} is taken in two ways, such as whole and by its parts; choose one.",
                )
            place = place[step]


class _Columns:
    """CSV and TSV: a record is split, and must have as many fields as there are columns."""

    def __init__(self, source: Source, layout: EventLayout, header: Sequence[str]) -> None:
        self._source, self._header = source, list(header)
        self.fields: dict[str, tuple[str, str]] = {}

    def is_nosql_text(self, _: str) -> str:
        return "FALSE"

    def kinds(self) -> str:
        return "NULL::VARCHAR[]"

    def apart(self) -> str:
        separator = "\t" if self._source.format == "tsv" else SEPARATOR
        fields = f"string_split(record, chr({ord(separator)}))"
        if self._source.nulls:  # here once, for all fields: a nullif around each would double the plan with each word
            fields = (
                f"list_transform({fields}, lambda x: CASE WHEN {_absent('x', self._source.nulls)} THEN NULL ELSE x END)"
            )
        return fields

    def malformed(self) -> str:
        return f"len(r) <> {len(self._header)}"

    def belongs(self, origin: str, value: str) -> str:
        return f"(malformed OR {self._value(origin)} = {sql_text(value)})"

    def raw(self, rule: Rule) -> str:
        if rule.origin and rule.origin.endswith("*"):
            stem = rule.origin[:-1]
            several = [self._value(name) for name in self._header if name.startswith(stem)]
            return f"CASE WHEN NOT malformed THEN [{', '.join(several)}] END" if several else "NULL::VARCHAR[]"
        return _raw(rule, self._value)

    def _value(self, origin: str) -> str:
        if origin not in self._header:
            raise SourceError(
                self._source.file, None, f"a file has no column {origin!r}; it has {', '.join(self._header[:20])}."
            )
        return self.fields.setdefault(origin, (f"r[{self._header.index(origin) + 1}]", f"f{len(self.fields)}"))[1]


def _absent(value: str, nulls: Sequence[str]) -> str:
    return f"{value} IN ({', '.join(sql_text(word) for word in nulls)})" if nulls else "FALSE"


def _raw(rule: Rule, value: Any) -> str:
    """The raw text of a rule that makes one value."""
    if rule.value is not None:
        return f"CASE WHEN NOT malformed THEN {sql_text(rule.value)} END"

    def take(origin: str) -> str:
        return f'"{origin}"' if origin.startswith("path.") else str(value(origin))

    if rule.template is not None:
        parts, end = [], 0
        for found in _IN_FORMAT.finditer(rule.template):
            parts += [sql_text(rule.template[end : found.start()]), take(found[1])]
            end = found.end()
        return " || ".join([*parts, sql_text(rule.template[end:])])
    assert rule.origin is not None
    return take(rule.origin)


def _json_path(origin: str) -> str:
    return "$" + "".join(f"[{index}]" if index else f'."{name}"' for name, index in _STEP.findall(origin))


def _name(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'
