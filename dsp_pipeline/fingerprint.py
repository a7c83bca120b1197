"""Short names for content, and the versions that are made of them."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property

_DECLARED = re.compile(r"([0-9a-f]{12})\s*=\s*([0-9a-f]{12})")


def fingerprint(*parts: str) -> str:
    """The first 12 hex digits of a SHA-256 over the parts; ("ab", "c") and ("a", "bc") differ."""
    digest = hashlib.sha256()
    for part in parts:
        text = part.encode()
        digest.update(len(text).to_bytes(8, "big"))
        digest.update(text)
    return digest.hexdigest()[:12]


@dataclass(frozen=True)
class Version:
    """What makes an output, part by part, and the short name of all that, which stands in the output's address.

    `of` says whose version it is, as `table/click_rate`. `parts` decide the name: fingerprints of text, versions of
    what is read, plain values. `texts` are the team's files behind them, to be kept for whoever asks later.
    `compatible_with` is set where a file declares that its change is harmless: `OLD = NEW`, two fingerprints.
    """

    of: str
    parts: Mapping[str, str]
    texts: Mapping[str, str] = field(default_factory=dict, compare=False)
    compatible_with: str = field(default="", compare=False)

    def __hash__(self) -> int:
        return hash((self.of, self.name))

    @cached_property
    def name(self) -> str:
        """Equal for equal parts, in whatever order."""
        return fingerprint(*(word for part in sorted(self.parts.items()) for word in part))


def compatible(own: str, declared: str) -> str:
    """The fingerprint that counts: `own`, or the older one that it equals as `declared` says (`OLD = NEW`, or empty).

    A declaration holds for one content only, so ValueError, with the cure, if it speaks of another than `own`.
    """
    if not declared:
        return own
    found = _DECLARED.fullmatch(declared.strip())
    if not found:
        raise ValueError(
            f"`compatible_with` is {declared!r}; write OLD = NEW, the two fingerprints that `dsp why` tells."
        )
    old, new = found.groups()
    if new != own:
        raise ValueError(
            f"`compatible_with` speaks of {new}, and this is {own} now; delete it, or write {old} = {own} if what is "
            "made still is the same."
        )
    return old
