"""`dsp WORDS`, which stops when all files of an output are there and its receipt is not: it says so, and waits."""

from __future__ import annotations

import signal
import sys
from typing import Any

from console import dsp
from dsp_pipeline.storage.receipts import ReceiptBook


def _stop(*_given: Any, **_named: Any) -> None:
    sys.stdout.write("before the receipt\n")
    sys.stdout.flush()
    signal.pause()


ReceiptBook.write = _stop  # type: ignore[method-assign]
dsp.main()
