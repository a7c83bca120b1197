"""One day of a table inspected: asked of the warehouse, and judged."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date
from pathlib import Path
from typing import Any

from dsp_pipeline.errors import WarehouseError
from dsp_pipeline.quality.audit import FOUND, Audit
from dsp_pipeline.quality.declared import Checks
from dsp_pipeline.quality.judging import FAILED, NOT_JUDGED, PASSED, WARNED, Result, judge, missed
from dsp_pipeline.quality.measured import History, Measured
from dsp_pipeline.quality.question import Question, unexpected
from dsp_pipeline.sql.header import Read
from dsp_pipeline.warehouse.base import QueryEngine, Slice, Table

# What each name of some reads stands for on the day that is checked.
Slices = Callable[[Sequence[Read]], Mapping[str, Slice]]
_OUTCOMES = (FAILED, WARNED, NOT_JUDGED, PASSED)


@dataclass(frozen=True)
class Findings:
    """What was counted, None if nothing is expected of single columns or rows, and the results, the worst first."""

    measured: Measured | None
    results: tuple[Result, ...]

    def of(self, outcome: str) -> list[Result]:
        return [one for one in self.results if one.outcome == outcome]

    def accepted(self, reason: str) -> Findings:
        """The same, with failures that somebody looked at and let stand."""
        results = [
            replace(one, outcome=WARNED, told=f"{one.told}; accepted: {reason}") if one.outcome == FAILED else one
            for one in self.results
        ]
        return Findings(self.measured, tuple(results))

    def as_dict(self) -> dict[str, Any]:
        """As it is kept."""
        results = [{**vars(one), "rows": [dict(row) for row in one.rows]} for one in self.results]
        return {"results": results, "measured": self.measured.as_dict() if self.measured else None}


class Inspection:
    """The checks of one table, ready to be asked. Each day needs one query, and one for each audit; and one for each
    expectation of single rows that is missed, which answers the first of them."""

    def __init__(self, checks: Checks, table: Table) -> None:
        self._checks, expectations = checks, checks.expected.expectations
        self._question = (
            Question(table, expectations, Path(f"expectations/{table.name}.yaml")) if expectations else None
        )

    def inspect(self, engine: QueryEngine, day: date, slices: Slices, history: History) -> Findings:
        """WarehouseError, naming the file, if a warehouse refuses a check."""
        measured, results = None, []
        if self._question is not None:
            try:
                rows = engine.ask(self._question.query, day, slices(self._question.reads))
            except WarehouseError as error:
                raise WarehouseError(f"expectations/{self._checks.table}.yaml cannot be checked: {error}") from error
            measured = self._question.read(rows)
            results = list(self._judged(self._question, engine, day, slices, measured, history))
        results += [_audited(audit, engine, day, slices) for audit in self._checks.audits]
        results.sort(key=lambda one: _OUTCOMES.index(one.outcome))
        return Findings(measured, tuple(results))

    def _judged(
        self, question: Question, engine: QueryEngine, day: date, slices: Slices, measured: Measured, history: History
    ) -> Iterator[Result]:
        for expectation in self._checks.expected.expectations:
            result = judge(expectation, measured, history)
            if result.outcome in (WARNED, FAILED) and unexpected(expectation):
                query = question.few(expectation)
                rows = _plain(engine.ask(query, day, slices(question.reads)), query.key)
                result = replace(result, rows=tuple(rows))
            yield result


def _audited(audit: Audit, engine: QueryEngine, day: date, slices: Slices) -> Result:
    try:
        rows = engine.ask(audit.question, day, slices(audit.query.reads))
    except WarehouseError as error:
        raise WarehouseError(f"{audit.place} cannot be asked: {error}") from error
    if not rows:
        return Result(audit.name, audit.level, PASSED, "no row", audit.place)
    number = rows[0][FOUND]
    told = f"{number:,} {'row' if number == 1 else 'rows'}"
    return Result(audit.name, audit.level, missed(audit.level), told, audit.place, tuple(_plain(rows, audit.query.key)))


def _plain(rows: Sequence[Mapping[str, Any]], key: Sequence[str]) -> list[dict[str, Any]]:
    """Rows as JSON has them, in the order of their key."""
    found = [{name: _value(value) for name, value in row.items() if name != FOUND} for row in rows]
    return sorted(found, key=lambda row: [str(row[name]) for name in key])


def _value(value: Any) -> Any:
    if isinstance(value, float) and not math.isfinite(value):
        return str(value)
    if isinstance(value, list):
        return [_value(one) for one in value]
    if isinstance(value, date):  # a datetime is one too
        return value.isoformat()
    return value if value is None or isinstance(value, (bool, int, float, str)) else str(value)


def sentence(result: Result) -> str:
    """A result with the first of its rows, for a log."""
    rows = "; ".join(", ".join(f"{name}={value}" for name, value in row.items()) for row in result.rows)
    return f"{result}{f', the first: {rows}' if rows else ''}"
