"""What was found as one HTML page that needs nothing else: a bar a figure, with a mark where its target is."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from html import escape
from pathlib import Path

from bench.part import Figure, Measured

_LEFT, _WIDTH, _ROW = 520, 420, 24  # of a chart, in pixels
_COLOURS = {"met": "#3a7d44", "not met": "#b3392f", "": "#7a8ba0"}
_STYLE = "body{font:14px/1.5 system-ui,sans-serif;margin:2em auto;max-width:1160px;color:#222}svg text{font-size:12px}"


def write_page(path: Path, title: str, found: Mapping[str, Measured]) -> Path:
    parts = "\n".join(f"<h2>{escape(name)}</h2>\n{_chart(one.figures)}" for name, one in found.items())
    path.write_text(
        f'<!doctype html>\n<html lang="en"><meta charset="utf-8"><title>Measurements</title><style>{_STYLE}</style>\n'
        f"<h1>Measurements</h1>\n<p>{escape(title)}. Each bar is a ratio of two medians of the same run, "
        "on a scale of powers of two; less is better. The black line is the target: green met it, red did not; grey: "
        "there is none.</p>\n"
        f"{parts}\n</html>\n",
        encoding="utf-8",
    )
    return path


def _chart(figures: Sequence[Figure]) -> str:
    known = [value for one in figures for value in (one.ratio, one.target) if value]
    low = math.floor(math.log2(min([*known, 1.0]))) - 1
    high = math.ceil(math.log2(max([*known, 1.0]))) + 1

    def place(ratio: float) -> float:
        return _LEFT + (math.log2(max(ratio, 2.0**low)) - low) / (high - low) * _WIDTH

    drawn = [
        f'<line x1="{place(1):.0f}" x2="{place(1):.0f}" y1="0" y2="{len(figures) * _ROW}" stroke="#ccc"/>',
        *(line for number, one in enumerate(figures) for line in _bar(one, number * _ROW, place)),
    ]
    height = len(figures) * _ROW + 4
    return f'<svg width="{_LEFT + _WIDTH + 200}" height="{height}">\n' + "\n".join(drawn) + "\n</svg>"


def _bar(one: Figure, top: int, place: Callable[[float], float]) -> list[str]:
    beside = f" / {one.beside}" if one.beside else ""
    lines = [f'<text x="{_LEFT - 10}" y="{top + 16}" text-anchor="end">{escape(one.contender + beside)}</text>']
    if one.ratio is None:
        return [*lines, f'<text x="{_LEFT}" y="{top + 16}" fill="#7a8ba0">{escape(one.verdict or _spent(one))}</text>']
    end = place(one.ratio)
    lines.append(
        f'<rect x="{_LEFT}" y="{top + 4}" width="{max(end - _LEFT, 1):.0f}" height="16" '
        f'fill="{_COLOURS[one.verdict]}"/>'
        f'<text x="{end + 6:.0f}" y="{top + 16}">{one.ratio:.3f} {_spent(one)}</text>'
    )
    if one.target is not None:
        mark = place(one.target)
        lines.append(
            f'<line x1="{mark:.0f}" x2="{mark:.0f}" y1="{top + 2}" y2="{top + 22}" stroke="#000" stroke-width="2"/>'
        )
    return lines


def _spent(one: Figure) -> str:
    if one.cpu_seconds is None:
        return ""
    memory = f", {one.peak_bytes / 1e6:.0f} MB" if one.peak_bytes is not None else ""
    return f"({one.cpu_seconds:.2f} CPU s{memory})"
