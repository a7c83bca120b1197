"""All decisions about what is served on one page: newest first, with the numbers; no network, any width."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from html import escape
from typing import Any

from dsp_pipeline.registry.decisions import Check, Decision

_STYLE = """
:root { color-scheme: light dark; --line: #8884; --good: #1a7f37; --bad: #cf222e; --soft: #8881; }
@media (prefers-color-scheme: dark) { :root { --good: #4ac26b; --bad: #ff7b72; } }
* { box-sizing: border-box; }
body { font: 15px/1.5 system-ui, sans-serif; margin: 0 auto; padding: 1rem; max-width: 60rem; }
h1 { font-size: 1.4rem; margin: 0; }
h2 { font-size: 1.05rem; margin: 0; overflow-wrap: anywhere; }
article { border: 1px solid var(--line); border-left: .4rem solid var(--bad); border-radius: .4rem; margin: 1rem 0;
  padding: .7rem 1rem; }
article.accepted { border-left-color: var(--good); }
p { margin: .3rem 0; overflow-wrap: anywhere; }
.verdict { color: var(--bad); font-weight: 600; }
.accepted .verdict { color: var(--good); }
.small { font-size: .85rem; opacity: .75; }
ul { list-style: none; margin: .5rem 0; padding: 0; }
li { margin: .25rem 0; padding-left: 1.4rem; text-indent: -1.4rem; overflow-wrap: anywhere; }
li::before { content: "✓"; color: var(--good); display: inline-block; width: 1.4rem; text-indent: 0; }
li.failed::before { content: "✗"; color: var(--bad); }
summary { cursor: pointer; }
.wide { overflow-x: auto; }
table { border-collapse: collapse; font-size: .85rem; font-variant-numeric: tabular-nums; margin: .5rem 0; }
th, td { border-bottom: 1px solid var(--line); padding: .2rem .6rem; text-align: right; white-space: nowrap; }
th:first-child, td:first-child { text-align: left; }
thead th { background: var(--soft); }
"""
_MOVED = 10  # features that moved the score, of which the page tells
_RIVALS = {"champion": "champion", "baseline": "baseline", "base_rate": "base rate"}


def decisions_page(decisions: Iterable[Decision]) -> str:
    """A whole HTML document. What decisions hold is text to it, never markup."""
    found = sorted(decisions, key=lambda one: one.decided_at, reverse=True)
    articles = "".join(_article(one) for one in found) or "<p>Nothing was decided yet.</p>"
    return (
        '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>Decisions</title>\n<style>{_STYLE}</style>\n</head>\n<body>\n"
        "<h1>Which models are served, and why</h1>\n"
        f'<p class="small">{_count(len(found), "decision")}, newest first. Intervals are of 95 %, by users.</p>\n'
        f"{articles}</body>\n</html>\n"
    )


def _article(one: Decision) -> str:
    verdict = "accepted" if one.accepted else "refused"
    numbers = one.numbers
    judged = (
        f"Judged on {_count(numbers['days'], 'day')}, {_count(numbers['rows'], 'row')}, "
        f"{_count(numbers['positives'], 'positive')}."
    )
    place = f"in place of {escape(one.champion)}" if one.champion else "where nothing was served"
    return (
        f'<article class="{verdict}">\n<p class="small">{escape(one.decided_at)} · {escape(one.environment)} · '
        f"{escape(one.kind)}</p>\n"
        f'<h2>{escape(one.model)}: <span class="verdict">{verdict}</span></h2>\n'
        f"<p>{escape(one.candidate)}<br>{place}</p>\n"
        f"<ul>\n{''.join(_item(check) for check in one.checks)}</ul>\n"
        f'<p class="small">{judged}</p>\n'
        f"<details><summary>Numbers</summary>\n{_rivals(numbers)}{_moves(numbers)}"
        f"{_slices(numbers)}{_bounds(numbers)}</details>\n"
        "</article>\n"
    )


def _item(check: Check) -> str:
    return f'<li class="{"passed" if check.passed else "failed"}">{escape(check.reason)}</li>\n'


def _rivals(numbers: Mapping[str, Any]) -> str:
    rows = []
    for key, name in _RIVALS.items():
        found = numbers["against"].get(key)
        if found:
            value, low, high = (format(found["log_loss"][end], "+.6f") for end in ("value", "low", "high"))
            rows.append(
                (
                    name,
                    f"{found['rows']:,}",
                    _number(found["model"]["log_loss"], ".6f"),
                    _number(found["rival"]["log_loss"], ".6f"),
                    f"{value} ({low} to {high})",
                    _number(found["probability_better"], ".1%"),
                    _number(found["model"]["auc"], ".4f"),
                    _number(found["rival"]["auc"], ".4f"),
                )
            )
    heads = ("against", "rows", "log loss", "its log loss", "difference", "better with", "AUC", "its AUC")
    return _table(heads, rows)


def _moves(numbers: Mapping[str, Any]) -> str:
    """What moved the score from the champion's to the candidate's."""
    found = numbers.get("moves")
    if not found:
        return ""
    rows = [
        (
            one["feature"],
            f"{one['moved']:.3f}",
            f"{one['mean']:+.3f}",
            "; ".join(
                f"{'missing' if place['value'] is None else place['value']}: {place['mean']:+.3f}"
                for place in one["places"]
            ),
        )
        for one in found["features"][:_MOVED]
    ]
    mean = f"Mean score on {_count(found['rows'], 'common row')}: {found['before']:.5f} to {found['after']:.5f}."
    heads = ("feature", "moved the log odds by", "mean", "most at")
    return f'<p class="small">{escape(mean)}</p>\n{_table(heads, rows)}'


def _slices(numbers: Mapping[str, Any]) -> str:
    rows = [
        (
            f"{one['column']} = {one['value']}",
            f"{one['rows']:,}",
            f"{one['positives']:,}",
            _number(one["predicted"], ".5f"),
            _number(one["observed"], ".5f"),
            _number(one["predicted_to_observed"], ".3f"),
            f"{_number(one['low'], '.3f')} to {_number(one['high'], '.3f')}",
        )
        for one in numbers["slices"]
    ]
    heads = ("big slice", "rows", "positives", "predicted", "observed", "ratio", "interval")
    return _table(heads, rows) if rows else ""


def _bounds(numbers: Mapping[str, Any]) -> str:
    bounds = ", ".join(f"{escape(name)} {escape(str(value))}" for name, value in numbers["bounds"].items())
    return f'<p class="small">Bounds: {bounds}</p>\n'


def _table(heads: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    head = "".join(f"<th>{escape(one)}</th>" for one in heads)
    body = "".join(f"<tr>{''.join(f'<td>{escape(cell)}</td>' for cell in row)}</tr>\n" for row in rows)
    return f'<div class="wide"><table>\n<thead><tr>{head}</tr></thead>\n<tbody>\n{body}</tbody></table></div>\n'


def _number(value: float | None, shape: str) -> str:
    return "–" if value is None else format(value, shape)


def _count(number: int, what: str) -> str:
    return f"{number:,} {what}{'' if number == 1 else 's'}"
