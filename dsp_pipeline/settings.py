"""What a run may be told. Frozen; reads neither files nor the environment: `tasks/settings.py` does that."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date
from pathlib import Path


@dataclass(frozen=True)
class Settings:
    """Settings of one run.

    `raw` is where raw logs arrive, in the layout that `source` names; `lake` is where everything we make goes.
    `first_date` is the first day that there are logs of: windows are cut there, days before it hold nothing.
    `max_rejected_share` is the share of an hour's lines (0 to 1) above which an ingest fails.
    `memory_limit_mb` bounds the memory of the query engine in one task.
    """

    mode: str
    environment: str
    lake: Path
    raw: Path
    source: str
    first_date: date
    max_rejected_share: float = 0.05
    memory_limit_mb: int = 300
    threads: int = 2
    revision: str = ""
