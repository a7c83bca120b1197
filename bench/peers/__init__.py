"""What others use for the same work. Each has an environment of its own, so that nothing here depends on it.

`<name>.txt` pins it, with hashes. The modules here run in those environments, and import nothing but the peer and what
only needs the standard library.
"""

from __future__ import annotations

import subprocess
import sys
import venv
from functools import cache
from pathlib import Path

_PINS = Path(__file__).parent
_ENVIRONMENTS = Path(".cache/bench/peers")


class MissingPeerError(Exception):
    """A peer that cannot be had here, and why."""


@cache
def python_of(peer: str) -> str:
    """The Python of the peer's environment, which is made when it is not there. MissingPeerError if it cannot be."""
    pins = _PINS / f"{peer}.txt"
    environment = _ENVIRONMENTS / peer
    python, ready = environment / "bin" / "python", environment / "ready"
    if not ready.exists() or ready.read_bytes() != pins.read_bytes():
        print(f"installing {peer} into {environment} …", file=sys.stderr, flush=True)
        try:
            venv.create(environment, clear=True, with_pip=True)
        except (OSError, subprocess.CalledProcessError) as error:
            raise MissingPeerError(f"{peer} has no environment to be installed into: {error}") from error
        install = [str(python), "-m", "pip", "install", "--quiet", "--no-deps", "--require-hashes", "-r", str(pins)]
        done = subprocess.run(install, stderr=subprocess.PIPE, text=True)
        if done.returncode:
            said = done.stderr.strip().splitlines() or [f"pip ended with {done.returncode}"]
            raise MissingPeerError(f"{peer} cannot be installed: {said[-1]}")
        ready.write_bytes(pins.read_bytes())
    return str(python)
