"""How the raw fields of a line are taken out of it, as DuckDB's SQL."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from typing import Any, Protocol

from dsp_pipeline.errors import SourceError
from dsp_pipeline.events.lines import SEPARATOR
from dsp_pipeline.events.schema import FLOATS, TEXT, TEXTS
from dsp_pipeline.events.source import EventLayout, Rule, Source
from dsp_pipeline.events.values import sql_text

_STEP = re.compile(r"([^.\[\]]+)|\[(\d+)\]")
_IN_FORMAT = re.compile(r"\{([^{}]+)\}")


class Fields(Protocol):
    """The fields that rules asked for by `raw` and `belongs`. Each is taken out once and has a name from there on: to
    plan an expression over a struct costs more than to evaluate it over some thousand lines."""

    fields: dict[str, tuple[str, str]]
    """By origin: how it is taken out of `r`, which is `apart`, and its name then."""
    record: str

    def apart(self) -> str: ...
    def malformed(self) -> str: ...
    def kinds(self) -> str: ...
    def raw(self, rule: Rule) -> str: ...
    def belongs(self, origin: str, value: str) -> str: ...
    def is_nosql_text(self, origin: str) -> str: ...


def wants_text(rule: Rule) -> bool:
    return rule.column.type == TEXT or rule.split is not None


class JsonFields:
    """JSON lines: one pass takes all fields out of a line as text, lists as JSON."""

    record = ", record"

    def __init__(self, source: Source, layout: EventLayout) -> None:
        self._source = source
        self.fields: dict[str, tuple[str, str]] = {}
        self._texts: dict[str, int] = {}
        self._structure: Any = {}
        for rule in layout.rules:
            for origin in rule.origins:
                if not origin.startswith("path."):
                    self._plan(origin, "JSON" if is_json(rule) else "VARCHAR")
        for origin in layout.where:
            self._plan(origin, "VARCHAR")

    def apart(self) -> str:
        return f"json_transform(CASE WHEN json_valid(record) THEN record END, {self._wanted})"

    def trusting(self) -> tuple[str, dict[str, Sequence[str]]]:
        """A query over `lines` that fails if one is no JSON, and for each field the way to it in its answer."""
        ways: dict[str, Sequence[str]] = {}
        more = ""
        for origin, (expression, name) in self.fields.items():
            steps = _STEP.findall(origin)
            if any(index for _, index in steps):
                ways[name], more = (name,), f"{more}, {expression} AS {name}"
            else:
                ways[name] = ("r", *(step for step, _ in steps))
        return f"SELECT r{more} FROM (SELECT json_transform(record, {self._wanted}) AS r FROM lines)", ways

    @property
    def _wanted(self) -> str:
        return sql_text(json.dumps(self._structure))

    def malformed(self) -> str:
        return "r IS NULL OR left(ltrim(record), 1) <> '{'"  # valid JSON that begins so is an object

    def belongs(self, origin: str, value: str) -> str:
        return f"(malformed OR {self._value(origin)} = {sql_text(value)})"

    def raw(self, rule: Rule) -> str:
        if is_json(rule) and rule.origin:
            return f"nullif({self._value(rule.origin)}, 'null')"  # JSON as DuckDB writes it
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


class TextFields:
    """CSV and TSV: a record is split, and must have as many fields as there are columns."""

    record = ""

    def __init__(self, source: Source, header: Sequence[str]) -> None:
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

    def trusting(self) -> dict[str, Sequence[str]]:
        """For each field the column that has it, by its place."""
        return {name: (str(self._header.index(origin)),) for origin, (_, name) in self.fields.items()}


def is_json(rule: Rule) -> bool:
    """Whether the rule wants its field of a JSON line as JSON: a list."""
    return rule.column.type in (TEXTS, FLOATS) and not rule.split and not str(rule.origin).startswith("path.")


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
