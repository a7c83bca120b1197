"""What makes two versions differ: their parts, the team's files behind them, and the same of what they read."""

from __future__ import annotations

from dataclasses import dataclass, field

from console import reasons
from dsp_pipeline.errors import NotFoundError
from dsp_pipeline.fingerprint import Version
from dsp_pipeline.platform import Platform


@dataclass(frozen=True)
class VersionDifference:
    """Of two versions of one thing: what changed, a few words each, and unified diffs of the files that changed.

    Files that changed in nothing that counts are not there.
    """

    of: str
    a: str
    b: str
    what: list[str]
    files: dict[str, list[str]] = field(default_factory=dict)


def version_differences(platform: Platform, a: Version, b: Version) -> list[VersionDifference]:
    """What differs, and then what differs in what is read, as far as it is on record; empty for the same version."""
    found: dict[tuple[str, str, str], VersionDifference] = {}
    ahead = [(a, b)]
    while ahead:
        old, new = ahead.pop(0)
        place = new.of, old.name, new.name
        if old.name == new.name or place in found:
            continue
        found[place] = VersionDifference(*place, reasons.differences(old, new), _files(old, new))
        for part in new.parts:
            if part.startswith("reads ") and part in old.parts:
                read = part.removeprefix("reads ")
                pair = [_on_record(platform, read, version.parts[part]) for version in (old, new)]
                if pair[0] and pair[1]:
                    ahead.append((pair[0], pair[1]))
    return list(found.values())


def _on_record(platform: Platform, read: str, name: str) -> Version | None:
    for kind in ("table", "step"):
        try:
            return platform.versions.read(f"{kind}/{read}", name).version
        except NotFoundError:
            continue
    return None


def _files(old: Version, new: Version) -> dict[str, list[str]]:
    own = {part for part in {*old.parts, *new.parts} if not part.startswith("reads ")}
    if all(old.parts.get(part) == new.parts.get(part) for part in own):
        return {}
    return reasons.changed_files(old, new)
