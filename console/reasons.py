"""Why an output has the version that it has: against the versions of the same thing that are on record."""

from __future__ import annotations

import difflib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from console.ancestry import Older, ancestor, differing, older
from dsp_pipeline.fingerprint import Version
from dsp_pipeline.platform import Platform

_WORDS = {
    "sql": "its SQL changed",
    "mapping": "the source's mapping changed",
    "columns": "our columns changed",
    "decoder": "our own decoding changed",
    "code": "its code changed",
    "checks": "its checks changed",
}
_OWN = ("sql", "mapping", "code")  # the team's own files, which may declare themselves compatible


def on_record(platform: Platform, version: Version) -> bool:
    """Whether something was made by this version."""
    return platform.versions.has(version)


def differences(old: Version, new: Version) -> list[str]:
    """What changed, a few words each: what is its own first, then what it reads."""
    told = [_told(part, old.parts.get(part), new.parts.get(part)) for part in differing(old, new)]
    return sorted(told, key=lambda words: words.startswith("it reads"))


def news(platform: Platform, version: Version) -> list[str]:
    """Why nothing was made by this version yet; empty if something was."""
    if on_record(platform, version):
        return []
    old = older(platform, version)
    return differences(old.recorded.version, version) if old else ["it was never made"]


@dataclass(frozen=True)
class Cure:
    """The line that keeps what `older` made, and how the team's files differ from those that it was made from."""

    line: str
    older: Older
    files: Mapping[str, list[str]]


def cure(platform: Platform, version: Version) -> Cure | None:
    """For whoever knows that the change of the team's own file is harmless. None if something else changed too, or if
    it is not certain which version this one came from: the line would put another text in the place of ours."""
    old = ancestor(platform, version)
    if old is None or len(changed := differing(old.recorded.version, version)) != 1 or changed[0] not in _OWN:
        return None
    before, now = (one.parts.get(changed[0], "") for one in (old.recorded.version, version))
    if not before or not now:
        return None
    return Cure(f"compatible_with: {before} = {now}", old, changed_files(old.recorded.version, version))


def changed_files(old: Version, new: Version) -> dict[str, list[str]]:
    """Unified diffs of the team's files that are not the same, without the names of the two."""
    found = {}
    for name in dict.fromkeys([*old.texts, *new.texts]):
        before, after = (version.texts.get(name, "").splitlines() for version in (old, new))
        lines = list(difflib.unified_diff(before, after, n=1, lineterm=""))[2:]
        if lines:
            found[name] = lines
    return found


def _told(part: str, old: str | None, new: str | None) -> str:
    if part.startswith("reads "):
        table = part.removeprefix("reads ")
        return f"it reads {table}, which changed" if old and new else f"it reads {table} {'no more' if old else 'now'}"
    if part in _WORDS:
        return f"{_WORDS[part]} ({old} → {new})"
    if part == "parameters":
        return ", ".join(_changed(json.loads(old or "{}"), json.loads(new or "{}")))
    return f"{part} {old} → {new}"


def _changed(old: Mapping[str, Any], new: Mapping[str, Any]) -> list[str]:
    names = [name for name in sorted({*old, *new}) if old.get(name) != new.get(name)]
    return [f"{name} {old.get(name, '(none)')} → {new.get(name, '(none)')}" for name in names]
