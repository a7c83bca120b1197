"""What a piece of work cost: wall seconds, CPU seconds, peak memory. And how a process gives memory back."""

from __future__ import annotations

import ctypes
import resource
import sys
import time
from contextlib import suppress
from pathlib import Path

_STATUS = Path("/proc/self/status")
_CLEAR = Path("/proc/self/clear_refs")


class Meter:
    """Counts from its creation. Works on a worker process that does one piece of work after another."""

    def __init__(self) -> None:
        with suppress(OSError):
            _CLEAR.write_text("5")  # Linux: forget the peak so far; elsewhere the peak is the process's own
        self._wall, self._cpu = time.perf_counter(), time.process_time()

    @property
    def seconds(self) -> float:
        return time.perf_counter() - self._wall

    @property
    def cpu_seconds(self) -> float:
        return time.process_time() - self._cpu

    @property
    def peak_memory_bytes(self) -> int:
        """The largest resident set since the meter began (Linux), or since the process began."""
        with suppress(OSError):
            for line in _STATUS.read_text().splitlines():
                if line.startswith("VmHWM:"):
                    return int(line.split()[1]) * 1024
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        return peak if sys.platform == "darwin" else peak * 1024


def release_memory() -> None:
    """Give freed memory back to the system.

    A worker lives through many tasks; the C library and Arrow would keep what the largest of them once needed.
    """
    if "pyarrow" in sys.modules:
        sys.modules["pyarrow"].default_memory_pool().release_unused()
    with suppress(OSError, AttributeError):  # the GNU C library has it, others give back by themselves
        ctypes.CDLL(None).malloc_trim(0)
