"""Short names for content."""

from __future__ import annotations

import hashlib


def fingerprint(*parts: str) -> str:
    """The first 12 hex digits of a SHA-256 over the parts; ("ab", "c") and ("a", "bc") differ."""
    digest = hashlib.sha256()
    for part in parts:
        text = part.encode()
        digest.update(len(text).to_bytes(8, "big"))
        digest.update(text)
    return digest.hexdigest()[:12]
