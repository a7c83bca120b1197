"""Whether a process of this machine lives."""

from __future__ import annotations

import os


def alive(process: int) -> bool:
    """Whether there is a process with this number, whoever's it is."""
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        pass
    return True
