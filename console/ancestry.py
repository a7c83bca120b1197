"""Which version on record another one came from. A colleague's that is newer is none: its text was never ours."""

from __future__ import annotations

import subprocess
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from dsp_pipeline.errors import BundleError
from dsp_pipeline.fingerprint import Version
from dsp_pipeline.platform import Platform
from dsp_pipeline.registry.manifest import LINEAGE
from dsp_pipeline.storage.versions import Recorded

_COMMITS = 10  # of a file's history that are looked at
_PATIENCE = 10.0  # seconds for git


@dataclass(frozen=True)
class Older:
    """Another version of the same thing. `why` says how it is known to be the ancestor; empty if it is just alike."""

    recorded: Recorded
    why: str

    def __str__(self) -> str:
        one = self.recorded
        revision = f" by revision {one.revision[:12]}" if one.revision else ""
        return f"version {one.name}, first made {one.at[:19].replace('T', ' ')} UTC{revision}"


def older(platform: Platform, version: Version) -> Older | None:
    """What this environment serves is made of, else what production's is; else of those most alike the newest.

    None if no other version is on record.
    """
    others = _others(platform, version)
    for environment in dict.fromkeys((platform.settings.environment, "production")):
        served = _served(platform, environment)
        if reached := [one for one in others if (version.of, one.name) in served]:
            return Older(_most_alike(reached, version), f"which {environment} serves")
    return Older(_most_alike(others, version), "") if others else None


def ancestor(platform: Platform, version: Version) -> Older | None:
    """As `older`, but only what certainly is one: it is served, or its text stands in the history of this checkout."""
    found = older(platform, version)
    return found if found is None or found.why else _committed(platform, version)


def differing(old: Version, new: Version) -> list[str]:
    """The names of the parts in which they differ."""
    return [part for part in sorted({*old.parts, *new.parts}) if old.parts.get(part) != new.parts.get(part)]


def _others(platform: Platform, version: Version) -> list[Recorded]:
    return [one for one in platform.versions.known(version.of) if one.name != version.name]


def _most_alike(among: list[Recorded], version: Version) -> Recorded:
    return max(among, key=lambda one: (-len(differing(one.version, version)), one.at))


@lru_cache(maxsize=2)  # a plan asks for each of its tasks
def _served(platform: Platform, environment: str) -> frozenset[tuple[str, str]]:
    """Whose and which versions the bundles that an environment serves were made from."""
    found = set()
    try:
        for owner, _, pointer in platform.registry.pointers():
            if owner == environment:
                found.add((f"model/{pointer.experiment}/{pointer.arm}", pointer.version))
                found |= {_version_at(address) for address in platform.registry.contents(pointer.address, LINEAGE)}
    except BundleError:  # what is not known is no ancestor; `dsp doctor` tells what is wrong with it
        return frozenset()
    return frozenset(found)


def _version_at(address: str) -> tuple[str, str]:
    """Whose and which version an output's address names."""
    stem = address.rpartition("/")[0]
    kind, slash, rest = stem.partition("/")
    if not slash or kind == "ingest":
        event, _, name = (rest or stem).rpartition("-" if slash else "_")
        return f"table/{event}", name
    subject, _, name = rest.rpartition("/")
    return f"{'model' if kind in ('train', 'export') else kind}/{subject}", name


def _committed(platform: Platform, version: Version) -> Older | None:
    """The version whose files are those of a commit that this checkout descends from, the newest such commit's."""
    others = [one for one in _others(platform, version) if one.version.texts.keys() == version.texts.keys()]
    if not others or not version.texts:
        return None
    package = platform.package
    folder = next(
        (at for at in (package, package.parent) if all((at / name).is_file() for name in version.texts)), None
    )
    if folder is None:
        return None
    for commit in _git(folder, "log", f"-{_COMMITS}", "--format=%H", "--", *version.texts).split():
        texts = {name: _git(folder, "show", f"{commit}:./{name}") for name in version.texts}
        same = [one for one in others if one.version.texts == texts]
        if same:
            return Older(_most_alike(same, version), f"whose text is that of commit {commit[:12]}")
    return None


def _git(folder: Path, *words: str) -> str:
    """What git answers; nothing where it does not know, or is not there."""
    command = ["git", "-C", str(folder), *words]
    try:
        done = subprocess.run(command, capture_output=True, timeout=_PATIENCE, check=False)
        return done.stdout.decode() if done.returncode == 0 else ""
    except (OSError, subprocess.TimeoutExpired, UnicodeDecodeError):
        return ""
