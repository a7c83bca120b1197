"""Why an output has the version that it has: against the versions of the same thing that are on record."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from dsp_pipeline.fingerprint import Version
from dsp_pipeline.platform import Platform
from dsp_pipeline.storage.versions import Recorded

_WORDS = {
    "sql": "its SQL changed",
    "mapping": "the source's mapping changed",
    "columns": "our columns changed",
    "decoder": "our own decoding changed",
    "code": "its code changed",
    "checks": "its checks changed",
}


def before(platform: Platform, version: Version) -> Recorded | None:
    """The other version on record that is most like this one, of equals the newest; None if there is no other."""
    others = [one for one in platform.versions.known(version.of) if one.name != version.name]
    return max(others, key=lambda one: (-len(_differing(one.version, version)), one.at), default=None)


def on_record(platform: Platform, version: Version) -> bool:
    """Whether something was made by this version."""
    return platform.versions.has(version)


def differences(old: Version, new: Version) -> list[str]:
    """What changed, a few words each: what is its own first, then what it reads."""
    told = [_told(part, old.parts.get(part), new.parts.get(part)) for part in _differing(old, new)]
    return sorted(told, key=lambda words: words.startswith("it reads"))


def news(platform: Platform, version: Version) -> list[str]:
    """Why nothing was made by this version yet; empty if something was."""
    if on_record(platform, version):
        return []
    old = before(platform, version)
    return differences(old.version, version) if old else ["it was never made"]


def cure(platform: Platform, version: Version) -> str | None:
    """The line that keeps what is there, for whoever knows that the change of the team's own file is harmless."""
    old = before(platform, version)
    for part in ("sql", "mapping", "code"):
        if old and part in version.parts and old.version.parts.get(part, "") not in ("", version.parts[part]):
            return f"compatible_with: {old.version.parts[part]} = {version.parts[part]}"
    return None


def _differing(old: Version, new: Version) -> list[str]:
    return [part for part in sorted({*old.parts, *new.parts}) if old.parts.get(part) != new.parts.get(part)]


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
