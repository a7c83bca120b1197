"""Raw files that are cut off or damaged: refused, or read as they were written; never read as fewer rows."""

from __future__ import annotations

import gzip
import io
import random
from datetime import UTC, datetime
from functools import partial
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from dsp_pipeline.errors import TruncatedFileError
from dsp_pipeline.events.decode import Decoder
from dsp_pipeline.events.lines import RawFile
from dsp_pipeline.events.source import load_source
from dsp_pipeline.platform import PACKAGE
from tests.e2e.folder import DAY
from tests.faults.lakes import HOUR, STEPS, LocalLake, assert_recovered
from tests.faults.tally import FULL, SEED, Count

INGEST = STEPS[0]
NUMBER = 300 if FULL else 12  # of each kind of damage


@pytest.fixture(scope="module")
def decoder() -> Decoder:
    return Decoder(load_source(PACKAGE / "events" / "sources", "simulator"), memory_limit_mb=300, threads=1)


def rows(decoder: Decoder, content: bytes, scratch: Path) -> pa.Table:
    file = RawFile("impression/05-0.jsonl.gz", partial(io.BytesIO, content))
    decoded = decoder.decode("impression", datetime.fromisoformat(HOUR).replace(tzinfo=UTC), [file], scratch)
    assert not decoded.rejected
    return pq.read_table(decoded.events)


@pytest.fixture
def log(whole: LocalLake) -> bytes:
    """An hour as it was delivered, in two members, as two uploads that were joined."""
    (path,) = (whole.folder.raw / "impression" / DAY).glob("05-*.jsonl.gz")
    lines = gzip.decompress(path.read_bytes()).splitlines(keepends=True)
    half = len(lines) // 2
    return b"".join(gzip.compress(b"".join(part), mtime=1) for part in (lines[:half], lines[half:]))


@pytest.mark.parametrize("damage", ["cut off", "a bit", "a byte", "a hole", "zeros", "garbage after"])
def test_a_damaged_file_is_refused_or_read_whole(
    damage: str, log: bytes, decoder: Decoder, tmp_path: Path, count: Count
) -> None:
    """TruncatedFileError, or just the rows that were written (where the damage met nothing that tells of them)."""
    expected, draw = rows(decoder, log, tmp_path), random.Random(f"{SEED} {damage}")  # noqa: S311
    boundary = log.index(b"\x1f\x8b\x08", 1)  # a cut just here leaves a file that is whole, with fewer lines
    assert expected.num_rows > 5
    refused = 0
    for _ in range(NUMBER):
        at = draw.choice([place for place in (draw.randrange(1, len(log) - 12),) if place != boundary] or [1])
        harmed = _harmed(log, damage, at, draw)
        try:
            assert rows(decoder, harmed, tmp_path).equals(expected), (damage, at)
        except TruncatedFileError as error:
            assert "have it delivered again" in str(error)
            refused += 1
        count("damaged files")
    assert refused > NUMBER * 0.9 or damage == "garbage after"


def _harmed(log: bytes, damage: str, at: int, draw: random.Random) -> bytes:
    if damage == "cut off":
        return log[:at]
    if damage == "a bit":
        return log[:at] + bytes([log[at] ^ (1 << draw.randrange(8))]) + log[at + 1 :]
    if damage == "a byte":
        return log[:at] + bytes([(log[at] + draw.randrange(1, 256)) % 256]) + log[at + 1 :]
    if damage == "a hole":
        return log[:at] + log[at + draw.randrange(1, 12) :]
    if damage == "zeros":
        return log[:at] + bytes(8) + log[at + 8 :]
    return log + draw.randbytes(draw.randrange(1, 40))


def test_a_file_that_is_delivered_again_is_taken_as_if_the_first_had_not_been(whole: LocalLake, count: Count) -> None:
    """Cut off at seeded places, the hour fails in one sentence and nothing of it counts; then it comes whole."""
    expected, all_rows = whole.content(), whole.rows(INGEST)
    (path,) = (whole.folder.raw / "impression" / DAY).glob("05-*.jsonl.gz")
    content, kept, draw = path.read_bytes(), path.with_name("kept"), random.Random(SEED)  # noqa: S311
    path.rename(kept)  # which other lakes share
    for at in sorted(draw.sample(range(len(content)), 12 if FULL else 2)):
        whole.unmake(INGEST)
        path.write_bytes(content[:at])
        done = whole.run(*INGEST.command)
        assert done.code == 30, done.text
        assert "is cut off" in done.text
        assert "Traceback" not in done.text
        assert not whole.rows(INGEST)
        path.unlink()
        kept.rename(path)
        count("damaged files")
        assert_recovered(whole, INGEST, expected, all_rows, count, f"cut off after {at} bytes", 0)
        path.rename(kept)
