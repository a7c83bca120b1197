"""A query that explodes is stopped by a signal, and what it wrote aside goes."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.console.lake import SQL, answer
from tests.e2e.folder import FIRST, Folder, ended, wait_until

EXPLODING = """\
-- Every impression with every other, and those with two more.
-- reads: impression [0, 0]
-- key: campaign_id
SELECT
  CONCAT(a.impression_id, b.impression_id, c.impression_id, d.impression_id) AS campaign_id,
  1 AS impressions,
  1 AS clicks
FROM impression AS a
CROSS JOIN impression AS b
CROSS JOIN impression AS c
CROSS JOIN impression AS d
"""


def spilt(folder: Folder) -> list[Path]:
    """What queries wrote aside."""
    return [path for path in folder.lake.rglob("duckdb_temp_*") if path.stat().st_size]


@pytest.mark.parametrize(
    ("words", "number", "said"),
    [
        (("dsp", "try", "campaign_daily", str(FIRST)), signal.SIGINT, "interrupted."),
        (("dsp", "try", "campaign_daily", str(FIRST)), signal.SIGTERM, "stopped by SIGTERM."),
        (
            (
                "luigi",
                "--module",
                "tasks",
                "FeatureBuild",
                "--table=campaign_daily",
                f"--date={FIRST}",
                "--local-scheduler",
            ),
            signal.SIGTERM,
            "stopped by SIGTERM; the same command goes on from here.",
        ),
    ],
    ids=["try SIGINT", "try SIGTERM", "build SIGTERM"],
)
def test_a_query_that_explodes_is_stopped(
    own: Folder, words: tuple[str, ...], number: signal.Signals, said: str
) -> None:
    """In one sentence, with the exit code that a shell gives a signal; nothing is left of it."""
    (own.path / "package" / SQL).write_text(EXPLODING)
    config = own.path / "luigi.cfg"
    config.write_text(config.read_text().replace("[dsp]", "[dsp]\nmemory_limit_mb = 100", 1))
    process = subprocess.Popen(
        [str(Path(sys.executable).with_name(words[0])), *words[1:]],
        cwd=own.path,
        env=own.environment(),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        # A shell that runs in the background hands its children SIGINT as ignored.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
    )
    wait_until(lambda: bool(spilt(own)) or process.poll() is not None, "what the query writes aside")
    process.send_signal(number)
    done = ended(process)
    assert done.code == 128 + number, done.text
    assert said in done.text.splitlines()[-1], done.text
    assert "Traceback" not in done.text
    assert not spilt(own)
    left = {path.name for path in (own.lake / ".scratch").iterdir()}
    assert left <= {"matplotlib"}  # what that knows of this machine's fonts


def test_the_janitor_removes_what_a_killed_query_left(own: Folder) -> None:
    """However new it is: a process that is dead needs nothing. What a living one wrote stays."""
    gone = subprocess.Popen([sys.executable, "-c", ""])
    gone.wait()
    places = [
        own.lake / ".scratch" / f"{gone.pid}-x" / "spill",
        own.lake / "warehouse" / ".aside" / f"{gone.pid}-spill",
    ]
    living = own.lake / ".scratch" / f"{os.getpid()}-x"
    for place in (*places, living):
        place.mkdir(parents=True)
        (place / "duckdb_temp_storage-0.tmp").write_bytes(b"x" * 5_000_000)
    told = answer(own, "janitor")
    assert told.out.count("5.0 MB") == 2 and "2 things of 10 MB" in told.out, told.out
    assert all(place.exists() for place in places)
    assert answer(own, "janitor", "--remove", "--yes").code == 0
    assert not any(place.exists() for place in places) and living.exists()
