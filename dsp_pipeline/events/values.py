"""From a raw text to a column's value, as DuckDB's SQL."""

from __future__ import annotations

from collections.abc import Mapping

from dsp_pipeline.events.schema import FLOAT, FLOATS, INTEGER, TEXT, TEXTS, TIME, WEIGHTS_OF, Column
from dsp_pipeline.events.source import Rule

_TYPES = {
    TEXT: "VARCHAR",
    INTEGER: "BIGINT",
    FLOAT: "DOUBLE",
    TIME: "TIMESTAMPTZ",
    TEXTS: "VARCHAR[]",
    FLOATS: "DOUBLE[]",
}


def matched_text(rule: Rule, raw: str) -> str:
    """What the rule's `match` keeps of a raw text, null if it does not match."""
    return raw if rule.match is None else f"nullif(regexp_extract({raw}, {sql_text(rule.match)}, 1), '')"


def typed_value(rule: Rule, raw: str) -> str:
    """The typed value of a raw text, null where it does not have the type."""
    raw = matched_text(rule, raw)
    kind = rule.column.type
    if kind == TEXT:
        return raw
    if kind == TIME:
        return _time(str(rule.time), raw)
    if kind in (INTEGER, FLOAT):
        return number_value(rule, raw)
    texts = raw
    if rule.split is not None:
        texts = f"string_split({raw}, {sql_text(rule.split)})"
    elif rule.origin and not rule.origin.endswith("*"):
        is_list = f"starts_with({raw}, '[')"  # it is JSON as DuckDB writes it
        items = f"CASE WHEN {is_list} THEN json_extract({raw}, '$[*]') END"
        texts = f"json_extract_string({raw}, '$[*]')"
        if rule.each is not None:
            single = "json_extract_string(x, '$')" if rule.each == 0 else "NULL"
            texts = (
                f"list_transform({items}, lambda x: CASE WHEN json_type(x) = 'ARRAY' "
                f"THEN json_extract_string(x, '$[{rule.each}]') ELSE {single} END)"
            )
        texts = f"CASE WHEN {is_list} THEN {texts} END"
    if kind == TEXTS:
        return texts
    # An absent item stays, for lists go in pairs; one that is no number spoils the list.
    wrong = "x <> '' AND NOT coalesce(isfinite(TRY_CAST(x AS DOUBLE)), FALSE)"
    return f"CASE WHEN len(list_filter({texts}, lambda x: {wrong})) = 0 THEN TRY_CAST({texts} AS DOUBLE[]) END"


def number_value(rule: Rule, text: str) -> str:
    """The number that a text which the rule's `match` has kept is, null where it is none."""
    if rule.column.type == FLOAT:
        number = f"TRY_CAST({text} AS DOUBLE)" + (f" * {rule.times:f}" if rule.times is not None else "")
        return f"CASE WHEN isfinite({number}) THEN {number} END"
    if rule.times is not None:
        return f"TRY_CAST(round(TRY(TRY_CAST({text} AS DECIMAL(38, 9)) * {rule.times:f})) AS BIGINT)"
    exact = f"TRY_CAST({text} AS DECIMAL(38, 18))"
    whole = f"CASE WHEN {exact} = trunc({exact}) THEN TRY_CAST({exact} AS BIGINT) END"
    # A cast to BIGINT rounds; only these signs can make a fraction.
    fraction = f"contains({text}, '.') OR contains({text}, 'e') OR contains({text}, 'E')"
    return f"CASE WHEN {fraction} THEN {whole} ELSE TRY_CAST({text} AS BIGINT) END"


def _time(written: str, raw: str) -> str:
    if written == "iso":
        return f"TRY_CAST({raw} AS TIMESTAMPTZ)"  # without a zone of its own it is in the connection's, the source's
    if written in ("epoch_s", "epoch_ms", "epoch_us"):
        micros = {"epoch_s": 1_000_000, "epoch_ms": 1_000, "epoch_us": 1}[written]
        return f"TRY(make_timestamptz(TRY_CAST(TRY_CAST({raw} AS DECIMAL(38, 9)) * {micros} AS BIGINT)))"
    return f"TRY_CAST(try_strptime({raw}, {sql_text(written)}) AS TIMESTAMPTZ)"


def row_value(column: Column, made: Mapping[str, str]) -> str:
    """What the row gets of the typed values in `made`; see `events/schema.py` for the rule of lists.

    BigQuery keeps an absent list as an empty one and refuses a list with an absent item, so neither comes out.
    """
    typed = made.get(column.name, f"NULL::{_TYPES[column.type]}")
    if column.type == TEXTS:
        there = f"list_filter({typed}, lambda x: x IS NOT NULL)"
        return f"coalesce(CASE WHEN len({typed}) = list_count({typed}) THEN {typed} ELSE {there} END, [])"
    if column.type != FLOATS:
        return typed
    of = WEIGHTS_OF.get(column.name, "")
    if of not in made:
        return f"CASE WHEN len({typed}) = list_count({typed}) THEN {typed} ELSE [] END"
    names = made[of]
    kept = f"list_filter({typed}, lambda x, place: {names}[place] IS NOT NULL)"
    return f"CASE WHEN len({typed}) = len({names}) AND len({kept}) = list_count({kept}) THEN {kept} ELSE [] END"


def sql_text(value: str) -> str:
    """A literal."""
    return "'" + value.replace("'", "''") + "'"
