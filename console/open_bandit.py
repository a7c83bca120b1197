"""The Open Bandit Dataset as raw logs: fetched from PyPI, laid out by hour as a bidder would deliver it.

The wheel of `obp` carries 60,000 impressions of ZOZOTOWN (Saito et al. 2020, Apache-2.0; the data CC BY 4.0): two
policies, random and Bernoulli Thompson sampling, in three campaigns. Lines are copied as they stand.
"""

from __future__ import annotations

import io
import os
import shutil
import subprocess
import sys
import tempfile
import zipfile
from collections import defaultdict
from datetime import datetime, timedelta
from pathlib import Path

from rich.console import Console

from dsp_pipeline.errors import DspError

PACKAGE, VERSION = "obp", "0.4.1"
_FOLDER = "obp/dataset/obd"
_POLICIES, _CAMPAIGNS = ("random", "bts"), ("all", "men", "women")


def fetch(raw: Path, console: Console) -> None:
    """Fill `raw` with `<policy>/<campaign>/<day>/<hour>.csv`, unless it is there. DspError if PyPI gives no wheel."""
    if raw.exists():
        return
    raw.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=raw.parent, prefix=".open-bandit-") as scratch:
        console.print(f"Downloading {PACKAGE} {VERSION} from PyPI …")
        wheel = _download(Path(scratch))
        aside = Path(scratch) / "raw"
        with zipfile.ZipFile(wheel) as archive:
            _lay_out(archive, aside)
        try:
            os.rename(aside, raw)  # whole or not at all
        except OSError:
            shutil.rmtree(aside)
            if not raw.exists():
                raise


def _download(folder: Path) -> Path:
    done = subprocess.run(
        [
            *(sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--no-cache-dir"),
            *("--only-binary=:all:", "--dest", str(folder), f"{PACKAGE}=={VERSION}"),
        ],
        capture_output=True,
        text=True,
        check=False,
    )
    wheels = list(folder.glob("*.whl"))
    if done.returncode or not wheels:
        said = (done.stderr.strip().splitlines() or ["no wheel"])[-1]
        raise DspError(f"pip could not download {PACKAGE}=={VERSION} ({said}); connect to PyPI and run this again.")
    return wheels[0]


def _lay_out(archive: zipfile.ZipFile, raw: Path) -> None:
    hours: set[datetime] = set()
    for policy in _POLICIES:
        for campaign in _CAMPAIGNS:
            lines: dict[datetime, list[str]] = defaultdict(list)
            with archive.open(f"{_FOLDER}/{policy}/{campaign}/{campaign}.csv") as stream:
                text = io.TextIOWrapper(stream, encoding="utf-8", newline="")
                header = next(text)
                for line in text:
                    lines[datetime.strptime(line.split(",")[1][:13], "%Y-%m-%d %H")].append(line)
            for hour, found in lines.items():
                path = raw / policy / campaign / f"{hour:%Y-%m-%d}" / f"{hour:%H}.csv"
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_text(header + "".join(found), encoding="utf-8", newline="")
            hours |= lines.keys()
    # The set is whole: an hour without a line of a campaign had no impression there, and nothing follows the last
    # day. Its clicks carry the time of their impression, so the day after it is known to have none.
    hour, end = min(hours).replace(hour=0), max(hours).replace(hour=0) + timedelta(days=2)
    while hour < end:
        mark = raw / "arrived" / f"{hour:%Y-%m-%d}" / f"{hour:%H}"
        mark.parent.mkdir(parents=True, exist_ok=True)
        mark.touch()
        hour += timedelta(hours=1)
