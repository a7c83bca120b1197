"""The plots of a model card, as SVG that stands in the page itself.

Colours are names of the page's style sheet, so that plots follow light and dark. All text that is not a number stands
in the page and not in a plot: it wraps there, and a name from the data is never read as mathematics. Equal data give
equal bytes.
"""

from __future__ import annotations

import io
import math
import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import matplotlib
from markupsafe import Markup, escape
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FixedLocator, FuncFormatter, NullLocator

# Stand-ins that matplotlib can draw with, and the names that the page knows the colours by.
_INK, _FAINT, _GRID, _MODEL, _OTHER, _POSITIVE = (f"#0a0b{number:02x}" for number in range(1, 7))
_NAMES = {
    _INK: "ink",
    _FAINT: "faint",
    _GRID: "line",
    _MODEL: "model",
    _OTHER: "other",
    _POSITIVE: "positive",
}
_WIDE, _SMALL = (4.6, 3.1), (3.1, 2.0)  # inches; a point of the plot is about a pixel on a phone
_LEAST = 1e-6  # probabilities are drawn down to here
_SETTLED = 0.01  # of the positives: where the curve of precision begins to mean something
_STRETCHED = 30  # times the middle value: where an axis becomes logarithmic
_SETTINGS = {
    "svg.fonttype": "none",
    "font.size": 9,
    "text.color": _INK,
    "axes.labelcolor": _FAINT,
    "axes.edgecolor": _GRID,
    "axes.linewidth": 0.8,
    "axes.grid": True,
    "axes.axisbelow": True,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "grid.color": _GRID,
    "grid.linewidth": 0.6,
    "xtick.color": _GRID,
    "ytick.color": _GRID,
    "xtick.labelcolor": _FAINT,
    "ytick.labelcolor": _FAINT,
    "xtick.minor.visible": False,
    "ytick.minor.visible": False,
    "legend.frameon": False,
    "lines.linewidth": 1.8,
    "figure.facecolor": "none",
    "axes.facecolor": "none",
}


def calibration(bins: Sequence[Mapping[str, Any]]) -> Markup | None:
    """Observed against predicted, with intervals, both axes logarithmic; None if there is nothing to draw."""
    shown = [one for one in bins if one["predicted"] > _LEAST and one["high"] > _LEAST]
    if not shown:
        return None
    low = min(min(one["predicted"], max(one["low"], one["predicted"] / 10)) for one in shown) / 1.3
    high = min(1.0, max(max(one["predicted"], one["high"]) for one in shown) * 1.3)

    def draw(axes: Axes) -> None:
        axes.plot([low, high], [low, high], color=_FAINT, linewidth=1, dashes=(4, 3))
        for one in shown:
            axes.plot([one["predicted"]] * 2, [max(one["low"], low), one["high"]], color=_MODEL, linewidth=1.2)
        seen = [one for one in shown if one["observed"] >= low]
        axes.plot([one["predicted"] for one in seen], [one["observed"] for one in seen], "o", color=_MODEL, ms=4)
        for scale, limit, axis in (
            (axes.set_xscale, axes.set_xlim, axes.xaxis),
            (axes.set_yscale, axes.set_ylim, axes.yaxis),
        ):
            scale("log")
            limit(low, high)
            axis.set_major_locator(FixedLocator(_log_ticks(low, high)))
            axis.set_minor_locator(NullLocator())
            axis.set_major_formatter(FuncFormatter(lambda at, _: _percent(at)))
        axes.set_xlabel("predicted")
        axes.set_ylabel("observed")

    return _drawn("calibration", "Observed share of positives against the predicted one, by twentieth.", draw)


def histogram(spread: Mapping[str, Any]) -> Markup | None:
    """How the scores of positives and of negatives are spread, each as a share of its own."""
    edges = spread.get("edges") or []
    if len(edges) < 2:
        return None

    def draw(axes: Axes) -> None:
        for name, colour in (("negatives", _OTHER), ("positives", _POSITIVE)):
            total = math.fsum(spread[name])
            if total:
                shares = [count / total for count in spread[name]]
                axes.stairs(shares, edges, color=colour, fill=True, alpha=0.3)
                axes.stairs(shares, edges, color=colour, linewidth=1.4)
        axes.set_xlim(edges[0], edges[-1])
        ticks = _log_ticks(10 ** edges[0], 10 ** edges[-1])
        axes.xaxis.set_major_locator(FixedLocator([math.log10(one) for one in ticks]))
        axes.xaxis.set_major_formatter(FuncFormatter(lambda at, _: _percent(10**at)))
        axes.yaxis.set_major_formatter(FuncFormatter(lambda at, _: _percent(at)))
        axes.set_xlabel("score")
        axes.set_ylabel("share of rows")

    return _drawn("histogram", "The spread of the scores of positives and of negatives.", draw)


def roc(points: Sequence[Sequence[float]]) -> Markup | None:
    """The share of the positives found against the share of the negatives taken for them."""
    if not points:
        return None

    def draw(axes: Axes) -> None:
        axes.plot([0, 1], [0, 1], color=_FAINT, linewidth=1, dashes=(4, 3))
        axes.plot([one[0] for one in points], [one[1] for one in points], color=_MODEL)
        _unit(axes.set_xlim, axes.xaxis)
        _unit(axes.set_ylim, axes.yaxis)
        axes.set_xlabel("of the negatives")
        axes.set_ylabel("of the positives")

    return _drawn("roc", "The share of positives above a score, against the share of negatives above it.", draw)


def precision_recall(points: Sequence[Sequence[float]], rate: float | None) -> Markup | None:
    """The share of positives among the highest scores, against how many of all positives are there."""
    if not points:
        return None
    # A handful of rows at the very top say nothing, and would decide the axis.
    shown = [one for one in points if one[0] >= _SETTLED] or list(points)

    def draw(axes: Axes) -> None:
        if rate:
            axes.plot([0, 1], [rate, rate], color=_FAINT, linewidth=1, dashes=(4, 3))
        axes.plot([one[0] for one in shown], [one[1] for one in shown], color=_MODEL)
        _unit(axes.set_xlim, axes.xaxis)
        axes.set_ylim(0, min(1.0, 1.1 * max(one[1] for one in shown)))
        axes.yaxis.set_major_formatter(FuncFormatter(lambda at, _: _percent(at)))
        axes.set_xlabel("of the positives")
        axes.set_ylabel("positives among them")

    return _drawn("precision-recall", "The share of positives among the highest scores.", draw)


def curve(points: Sequence[Mapping[str, Any]], kept: int | None) -> Markup | None:
    """Log loss by number of trees, of the training rows and of the validation day; a line where the model ends."""
    if len(points) < 2:
        return None
    later = [(one["rounds"], one["validation_log_loss"]) for one in points if one.get("validation_log_loss")]

    def draw(axes: Axes) -> None:
        axes.plot([one["rounds"] for one in points], [one["train_log_loss"] for one in points], color=_OTHER)
        if later:
            axes.plot([one[0] for one in later], [one[1] for one in later], color=_MODEL)
        if kept:
            axes.axvline(kept, color=_FAINT, linewidth=1, dashes=(4, 3))
        axes.set_xlabel("trees")
        axes.set_ylabel("log loss")

    return _drawn("curve", "Log loss by the number of trees.", draw)


def dependence(name: str, points: Sequence[Mapping[str, Any]], low: float, high: float) -> Markup | None:
    """What a number multiplies the odds by, along its values; the band holds four fifths of the rows.

    `low` and `high`, in log odds, are the ends of the axis, which plots side by side share. None without two values.
    """
    shown = [one for one in points if isinstance(one["value"], (int, float))]
    if len(shown) < 2:
        return None
    values = [one["value"] for one in shown]
    stretched = values[0] > 0 and values[-1] > _STRETCHED * values[len(values) // 2]

    def draw(axes: Axes) -> None:
        if all("low" in one for one in shown):
            ends = [one["low"] for one in shown], [one["high"] for one in shown]
            axes.fill_between(values, *ends, color=_MODEL, alpha=0.15, lw=0)
        axes.axhline(0, color=_FAINT, linewidth=1)
        axes.plot(values, [one["effect"] for one in shown], color=_MODEL, marker="o", ms=2.5, linewidth=1.4)
        if stretched:
            axes.set_xscale("log")
            axes.xaxis.set_minor_locator(NullLocator())
        else:
            axes.locator_params(axis="x", nbins=4)
        axes.set_ylim(low, high)
        axes.yaxis.set_major_locator(FixedLocator(_odds_ticks(low, high)))
        axes.yaxis.set_major_formatter(FuncFormatter(lambda at, _: f"×{math.exp(at):.2g}"))
        axes.xaxis.set_major_formatter(FuncFormatter(lambda at, _: _short(at)))

    return _drawn(f"dependence {name}", f"What {name} multiplies the odds by.", draw, _SMALL)


def _drawn(name: str, told: str, draw: Callable[[Axes], None], size: tuple[float, float] = _WIDE) -> Markup:
    """The SVG of what `draw` draws. `told` is for who cannot see it."""
    settings: Any = {**_SETTINGS, "svg.hashsalt": name}  # so that ids differ from plot to plot, and never by chance
    out = io.StringIO()
    with matplotlib.rc_context(settings):
        figure = Figure(figsize=size, layout="constrained")
        draw(figure.add_subplot())
        figure.savefig(out, format="svg", metadata={"Date": None, "Creator": None, "Format": None, "Type": None})
    return _inline(out.getvalue(), told)


def _inline(text: str, told: str) -> Markup:
    """What is drawn alone: without the XML's head, sizes in points and ids that another plot has too."""
    text = text[text.index("<svg") :]
    text = re.sub(r"<metadata>.*?</metadata>", "", text, flags=re.DOTALL)
    text = re.sub(r'<g id="[^"]*"', "<g", text)
    view = re.search(r'viewBox="[^"]*"', text)
    assert view is not None
    head = f'<svg {view[0]} role="img" aria-label="{escape(told)}" xmlns:xlink="http://www.w3.org/1999/xlink">'
    text = head + text[text.index(">") + 1 :]
    for colour, known in _NAMES.items():
        text = text.replace(colour, f"var(--{known})")
    return Markup(re.sub(r"\n\s*", "\n", text).strip())  # noqa: S704 (drawn by us; names are in `told` alone, escaped)


def _log_ticks(low: float, high: float) -> list[float]:
    """Round numbers on a logarithmic axis: powers of ten, with 2 and 5 times of them if there is room."""
    powers = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
    steps = (1,) if math.log10(high / low) > 2.5 else (1, 2, 5)
    return [step * 10.0**power for power in powers for step in steps if low <= step * 10.0**power <= high]


def _odds_ticks(low: float, high: float) -> list[float]:
    """Where an axis of log odds says what the odds are multiplied by."""
    for factors in (
        (1, 1.1, 1.2, 1.3),
        (1, 1.25, 1.5),
        (1, 1.5, 2, 3),
        (1, 2, 4, 8),
        (1, 4, 16, 64),
        (1, 20, 400, 8000),
    ):
        if math.log(factors[-1]) >= max(-low, high) * 0.9:
            break
    both = {sign * math.log(factor) for factor in factors for sign in (-1, 1)}
    return sorted(one for one in both if low <= one <= high)


def _unit(limit: Callable[[float, float], Any], axis: Any) -> None:
    limit(0, 1)
    axis.set_major_locator(FixedLocator([0, 0.25, 0.5, 0.75, 1]))
    axis.set_major_formatter(FuncFormatter(lambda at, _: f"{100 * at:.0f} %"))


def _percent(share: float) -> str:
    return f"{100 * share:.3g} %"


def _short(number: float) -> str:
    for size, unit in ((1e9, "G"), (1e6, "M"), (1e3, "k")):
        if abs(number) >= size:
            return f"{number / size:.3g}{unit}"
    return f"{number:.3g}"
