"""The libraries that are installed, against those that setup.cfg allows."""

from __future__ import annotations

import operator
import re
import sys
from contextlib import suppress
from importlib import metadata

_PROJECT = "dsp-pipeline"
_PYTHON = "Python"
_DECIDING = (
    "luigi",
    "duckdb",
    "pyarrow",
    "sqlglot",
    "xgboost-cpu",
    "xgboost",
    "scikit-learn",
    "boto3",
    "google-cloud-bigquery",
    "google-cloud-bigquery-storage",
)
_REQUIREMENT = re.compile(r"([A-Za-z0-9._-]+)(?:\[[^]]*\])?\s*\(?([^;)]*)")
_BOUND = re.compile(r"\s*([<>=!]=|[<>])\s*(\d[\d.]*)")
_COMPARE = {
    ">=": operator.ge,
    "<=": operator.le,
    "==": operator.eq,
    "!=": operator.ne,
    ">": operator.gt,
    "<": operator.lt,
}


def installed() -> dict[str, str]:
    """Python and the libraries that results depend on, as far as they are there."""
    found = {_PYTHON: ".".join(map(str, sys.version_info[:3]))}
    for name in _DECIDING:
        with suppress(metadata.PackageNotFoundError):
            found[name] = metadata.version(name)
    return found


def wrong() -> list[str]:
    """What is installed in a version that is not allowed. Nothing where this project itself is not installed."""
    try:
        texts, python = metadata.requires(_PROJECT) or [], metadata.metadata(_PROJECT)["Requires-Python"] or ""
    except metadata.PackageNotFoundError:
        return []
    allowed = {_PYTHON: python}
    for text in texts:
        found = _REQUIREMENT.match(text)
        if found:
            allowed[found[1]] = found[2].strip()
    return [
        f"{name} is {version}, and {allowed[name]} is allowed"
        for name, version in installed().items()
        if not fits(version, allowed.get(name, ""))
    ]


def fits(version: str, allowed: str) -> bool:
    """Whether `3.8.1` is among `<4,>=3.8`, by the numbers at the beginning of each."""
    ours = _numbers(version)
    for sign, bound in _BOUND.findall(allowed):
        theirs = _numbers(bound)
        length = max(len(ours), len(theirs))
        if not _COMPARE[sign](_padded(ours, length), _padded(theirs, length)):
            return False
    return True


def _numbers(version: str) -> list[int]:
    numbers = []
    for part in version.split("."):
        if not part.isdigit():
            break
        numbers.append(int(part))
    return numbers


def _padded(numbers: list[int], length: int) -> list[int]:
    return numbers + [0] * (length - len(numbers))
