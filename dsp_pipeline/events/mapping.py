"""A source's rules as one DuckDB query over raw lines.

The query answers every line with its columns and a `reason`: null for a good line, else why it is rejected. Each
column is made in three steps: the raw text (null if absent), the typed value (null if the text has another type),
and the verdict (a text that gave no value is a `wrong_type`).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from dsp_pipeline.events.fields import Fields, JsonFields, TextFields, wants_text
from dsp_pipeline.events.schema import FLOAT, INTEGER, LISTS, TEXT
from dsp_pipeline.events.source import EventLayout, Rule, Source
from dsp_pipeline.events.values import matched_text, row_value, typed_value


@dataclass(frozen=True)
class Trusting:
    """How lines are read that are believed to be as they should be; see `trusted.py`.

    `apart` is a query that takes the fields out of JSON lines. `fields` are the ways to them in its answer, or among
    the columns. Those that are `texts` may not be objects or lists. `query` is over the fields `asked`, and leaves out
    what is a field as it stands (`same`) or the same text in all rows (`constants`): to plan what changes nothing takes
    longer than to read some thousand lines. It leaves numbers by the rules `numbers` as text.
    """

    apart: str
    fields: Mapping[str, Sequence[str]]
    texts: Sequence[str]
    query: str
    asked: Sequence[str]
    same: Mapping[str, str]
    constants: Mapping[str, str]
    numbers: Mapping[str, Rule]


def mapping_query(
    source: Source, layout: EventLayout, hour: datetime, header: Sequence[str] | None, *, hours: int = 1
) -> str:
    """The query over the relation `lines` (see LineReader.records). `header` is None for JSON lines.

    Lines are of `hour`, or of as many hours from there on as `hours` says.

    SourceError if a rule names a column that the header lacks.
    """
    reader = JsonFields(source, layout) if header is None else TextFields(source, header)
    typed = {place: typed_value(rule, f"r{place}") for place, rule in enumerate(layout.rules)}
    made = {rule.column.name: f"t{place}" for place, rule in enumerate(layout.rules)}
    columns = [f"{row_value(column, made)} AS {column.name}" for column in layout.event.columns]
    verdicts = ["WHEN malformed THEN 'malformed'"]
    for place, rule in enumerate(layout.rules):
        kinds = [reader.is_nosql_text(origin) for origin in rule.origins] if wants_text(rule) else []
        verdicts += _wrong(place, rule, kinds)
    rest = _rest(reader, layout, hour, hours, typed, columns, verdicts)
    fields = "".join(f", {expression} AS {name}" for expression, name in reader.fields.values())
    return f"""
        WITH apart AS (SELECT *, {reader.apart()} AS r FROM lines),
        fields AS (SELECT *, {reader.kinds()} AS kinds
                   FROM (SELECT place{reader.record}{_paths(layout)}, coalesce({reader.malformed()}, TRUE) AS malformed
                         {fields} FROM apart)),
        {rest}"""


def trusting_query(
    source: Source, layout: EventLayout, hour: datetime, header: Sequence[str] | None, *, hours: int = 1
) -> Trusting:
    """The same for lines that are believed to be right; SourceError as there."""
    reader = JsonFields(source, layout) if header is None else TextFields(source, header)
    rules = {rule.column.name: rule for rule in layout.rules}
    constants = {name: rule.value for name, rule in rules.items() if rule.value and _is_text(rule) and not rule.match}
    numbers = {name: rule for name, rule in rules.items() if _is_a_number(rule)}
    same = {name for name, rule in rules.items() if _is_a_field(rule) and (_is_text(rule) or name in numbers)}
    typed, made, verdicts = {}, {}, []
    for place, rule in enumerate(layout.rules):
        name, raw = rule.column.name, f"r{place}"
        if name not in same and name not in constants:  # whether a field is a number is found out when it is made one
            made[name] = f"t{place}"
            verdicts += _wrong(place, rule, [])
        if name in made or name in _needed(layout):
            typed[place] = matched_text(rule, raw) if name in numbers else typed_value(rule, raw)
    columns = [
        f"{row_value(column, made) if column.type in LISTS else made[column.name]} AS {column.name}"
        for column in layout.event.columns
        if column.name in made
    ]
    rest = _rest(reader, layout, hour, hours, typed, columns, verdicts)
    asked = [name for _, name in reader.fields.values()]
    for name in same:
        reader.raw(rules[name])
    names = {origin: name for origin, (_, name) in reader.fields.items()}
    apart, fields, texts = "", {}, set()
    if isinstance(reader, TextFields):
        fields = reader.trusting()
    else:
        apart, fields = reader.trusting()
        texts = {origin for rule in layout.rules if wants_text(rule) for origin in rule.origins}
    return Trusting(
        apart=apart,
        fields=fields,
        texts=[name for origin, name in names.items() if origin in texts],
        query=f"""
        WITH fields AS (SELECT *, FALSE AS malformed FROM lines),
        {rest}""",
        asked=asked,
        same={name: names[str(rules[name].origin)] for name in same},
        constants=constants,
        numbers=numbers,
    )


def _is_text(rule: Rule) -> bool:
    return rule.column.type == TEXT


def _is_a_field(rule: Rule) -> bool:
    """Whether the raw text is a field of the line as it stands."""
    made = rule.origin is None or rule.origin.startswith("path.") or rule.origin.endswith("*")
    return not made and not rule.match


def _is_a_number(rule: Rule) -> bool:
    """Whether Arrow makes the number as exactly as the careful query does; only whole `times` are exact for all."""
    return rule.column.type in (INTEGER, FLOAT) and (rule.times is None or rule.times == int(rule.times))


def _wrong(place: int, rule: Rule, kinds: Sequence[str]) -> list[str]:
    """When the rule's value is of a wrong type; `kinds` are tests of what its text may not be."""
    wrong = f"r{place} IS NOT NULL AND t{place} IS NULL" if rule.column.type != TEXT or rule.match else "FALSE"
    test = " OR ".join(test for test in (wrong, *kinds) if test != "FALSE")
    return [f"WHEN {test} THEN 'wrong_type:{rule.column.name}'"] if test else []


def _needed(layout: EventLayout) -> frozenset[str]:
    return layout.event.required | {layout.event.key, layout.event.time}


def _paths(layout: EventLayout) -> str:
    return "".join(f', "path.{name}"' for name in layout.path.names)


def _rest(
    reader: Fields,
    layout: EventLayout,
    hour: datetime,
    hours: int,
    typed: Mapping[int, str],
    columns: Sequence[str],
    verdicts: Sequence[str],
) -> str:
    """From `fields` on, of the rules whose places are in `typed`."""
    raw = ", ".join(f"{reader.raw(layout.rules[place])} AS r{place}" for place in typed)
    made = ", ".join(f"{value} AS t{place}" for place, value in typed.items())
    verdicts = [
        *verdicts,
        *(
            f"WHEN r{place} IS NULL THEN 'missing:{rule.column.name}'"
            for place, rule in enumerate(layout.rules)
            if rule.column.name in _needed(layout)
        ),
    ]
    time = next(f"t{place}" for place, rule in enumerate(layout.rules) if rule.column.name == layout.event.time)
    outside = (
        f"({time} < TIMESTAMPTZ '{hour:%Y-%m-%d %H}:00:00+00'"
        f" OR {time} >= TIMESTAMPTZ '{hour + timedelta(hours=hours):%Y-%m-%d %H}:00:00+00')"
    )
    if layout.path.separates(hour):
        verdicts.append(f"WHEN {outside} THEN 'outside_hour'")
        other_hours = "FALSE"
    else:
        other_hours = f"NOT malformed AND coalesce({outside}, FALSE)"
    belongs = " AND ".join(reader.belongs(origin, value) for origin, value in layout.where.items()) or "TRUE"
    return f"""raw AS (SELECT *, {raw} FROM fields WHERE {belongs}),
        typed AS (SELECT *, {made} FROM raw)
        SELECT {", ".join(["place", f"CASE {' '.join(verdicts)} END AS reason", *columns])}
        FROM typed WHERE NOT ({other_hours})"""
