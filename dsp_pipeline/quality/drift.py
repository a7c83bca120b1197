"""How far a distribution has moved: the population stability index (PSI) over values, or over sizes of numbers.

PSI = sum of (p - q) ln(p / q) over bins, p the share of a bin now and q before: 0 if nothing moved, above 0.1 worth a
look, above 0.25 a lot (Siddiqi, Credit Risk Scorecards, 2006). It is computed from counts, so that it is the same
whichever warehouse counted.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

# Sizes are bins whose ends have the ratio e^(1/4), about nine for a factor of ten. The code of a bin says its place:
# codes are in the order of the numbers. ABOVE + k is of e^(k/4) to e^((k+1)/4), its negative of the negative numbers.
PER_E, ABOVE, NO_NUMBER = 4, 4_000, 9_000
SIZE = (
    "CASE WHEN {x} = 0 THEN 0.0 "
    f"WHEN IS_NAN({{x}}) OR IS_INF({{x}}) THEN {NO_NUMBER}.0 "
    f"WHEN {{x}} > 0 THEN {ABOVE}.0 + FLOOR(LN({{x}}) * {PER_E}) "
    f"ELSE -{ABOVE}.0 - FLOOR(LN(ABS({{x}})) * {PER_E}) END"
)
# Neighbouring sizes are taken together until each bin held this share of the rows before; rarer values are one bin.
_LEAST_SHARE = {"sizes": 0.1, "values": 0.01}
# The share that is taken for none, whose logarithm there is not.
_NONE = 1e-4


@dataclass(frozen=True)
class Moved:
    """`psi` of all bins, and the bin that has most part in it with its share before and now."""

    psi: float
    bin: str
    before: float
    now: float


def moved_values(before: Mapping[str, int], now: Mapping[str, int]) -> Moved:
    """Of the values of a column, by how often each came; both came at least once."""
    total = sum(before.values())
    kept = [value for value, rows in before.items() if rows >= _LEAST_SHARE["values"] * total]
    bins = {value: (before[value], now.get(value, 0)) for value in sorted(kept)}
    rest = (total - sum(rows for rows, _ in bins.values()), sum(now.values()) - sum(rows for _, rows in bins.values()))
    if rest != (0, 0):
        bins["others"] = rest
    return _moved(bins)


def moved_sizes(before: Mapping[str, int], now: Mapping[str, int]) -> Moved:
    """Of the sizes of a column, by their codes."""
    least = _LEAST_SHARE["sizes"] * sum(before.values())
    bins: dict[str, tuple[int, int]] = {}
    codes: list[int] = []
    rows = [0, 0]
    for code in sorted(map(int, before.keys() | now.keys())):
        codes.append(code)
        rows[0] += before.get(str(code), 0)
        rows[1] += now.get(str(code), 0)
        if rows[0] >= least:
            bins[_range(codes)] = (rows[0], rows[1])
            codes, rows = [], [0, 0]
    if codes:  # what is left above the last bin
        bins[_range(codes)] = (rows[0], rows[1])
    return _moved(bins)


def _moved(bins: Mapping[str, tuple[int, int]]) -> Moved:
    before, now = (sum(rows[place] for rows in bins.values()) for place in (0, 1))
    psi, most = 0.0, Moved(0.0, "", 0.0, 0.0)
    for name, rows in bins.items():
        p, q = max(rows[1] / now, _NONE), max(rows[0] / before, _NONE)
        part = (p - q) * math.log(p / q)
        psi += part
        if part >= most.psi:
            most = Moved(part, name, rows[0] / before, rows[1] / now)
    return Moved(psi, most.bin, most.before, most.now)


def _range(codes: list[int]) -> str:
    """The numbers of these neighbouring sizes, for a person."""
    ends = [end for code in codes for end in _ends(code)]
    if not ends:
        return "not a number"
    least, most = min(ends), max(ends)
    return "0" if least == most == 0 else f"{_said(least)} … {_said(most)}"


def _said(number: float) -> str:
    return f"{float(f'{number:.3g}'):,.15g}"


def _ends(code: int) -> tuple[float, ...]:
    if code == NO_NUMBER:
        return ()
    if code == 0:
        return (0.0,)
    sign = 1 if code > 0 else -1
    place = abs(code) - ABOVE
    return (sign * math.exp(place / PER_E), sign * math.exp((place + 1) / PER_E))
