"""What somebody gives stays what it is: a value, never a piece of SQL, of a page or of a terminal's commands."""

from __future__ import annotations

import io
import json
from pathlib import Path

import duckdb
import pyarrow.parquet as pq
import pytest

from dsp_pipeline.errors import DspError
from dsp_pipeline.events.decode import Decoder
from dsp_pipeline.events.lines import RawFile
from dsp_pipeline.warehouse.duckdb import _parquet
from tests.e2e.folder import DAY
from tests.events.factories import HOUR, make_impression, make_source
from tests.faults.lakes import LocalLake

QUOTES = (
    "' OR 1=1 --",
    "'; DROP TABLE impression; --",
    '" OR ""="',
    "') UNION SELECT 1 --",
    "\\' OR 1=1 #",
    "$$",
    "{}",
)


@pytest.mark.parametrize("key", QUOTES)
def test_a_key_is_compared_and_not_run(key: str, whole: LocalLake) -> None:
    """No row has it, and that is what is told."""
    words = ("--experiment", "click_rate_baseline", "--date", DAY, "--key", key)
    done = whole.run("ExplainModel", *words)
    assert done.code != 0
    assert "no row of click_rate has impression_id = " in done.text, done.text
    assert "Traceback" not in done.text


@pytest.mark.parametrize("field", ["it's", 'a"b', "x') OR ('1'='1", "a\\b", "x; DROP TABLE lines", "ж", "a b"])
def test_a_field_of_a_source_is_a_name_and_not_sql(field: str, tmp_path: Path) -> None:
    """Whatever it is called, its value is read, or the file is refused in a sentence."""
    line = json.dumps({**make_impression(), field: "somebody"}).encode() + b"\n"
    try:
        source = make_source(tmp_path / "source", user_id=json.dumps(field))
        decoder = Decoder(source, memory_limit_mb=200, threads=1)
        found = decoder.decode("impression", HOUR, [RawFile("imp/x.jsonl", lambda: io.BytesIO(line))], tmp_path)
    except DspError as error:
        assert "given.yaml" in str(error)
        return
    assert pq.read_table(found.events).column("user_id").to_pylist() == ["somebody"]


@pytest.mark.parametrize("value", QUOTES)
def test_a_constant_of_a_source_is_a_value(value: str, tmp_path: Path) -> None:
    """It stands in the column as it stands in the file."""
    source = make_source(tmp_path / "source", user_id="{value: " + json.dumps(value) + "}")
    line = json.dumps(make_impression()).encode() + b"\n"
    decoder = Decoder(source, memory_limit_mb=200, threads=1)
    found = decoder.decode("impression", HOUR, [RawFile("imp/x.jsonl", lambda: io.BytesIO(line))], tmp_path)
    assert pq.read_table(found.events).column("user_id").to_pylist() == [value]


@pytest.mark.parametrize("name", ["it's", "a'); DROP TABLE x; --", "star*", "quest?on", "[a-z]", "läke"])
def test_a_folder_may_have_any_name(name: str, tmp_path: Path) -> None:
    """A path in SQL means that file and no other."""
    folder = tmp_path / name
    folder.mkdir()
    with duckdb.connect() as connection:
        connection.sql("SELECT 1 AS a").write_parquet(str(tmp_path / "plain.parquet"))
        (tmp_path / "plain.parquet").rename(folder / "rows.parquet")
        assert connection.sql(f"SELECT a FROM {_parquet([folder / 'rows.parquet'])}").fetchall() == [(1,)]


def test_control_characters_of_logs_do_not_reach_the_terminal() -> None:
    """A rejected line is told in an error: with its signs written out."""
    from dsp_pipeline.errors import TooManyRejectsError
    from dsp_pipeline.events.decode import Decoded
    from dsp_pipeline.events.lines import Reject

    decoded = Decoded(events=Path("x"), lines=1, first_reject=Reject("f", 1, "malformed", "\x1b]0;owned\x07\x1b[2J"))
    decoded.rejected["malformed"] += 1
    with pytest.raises(TooManyRejectsError) as told:
        decoded.refuse_above(0.0)
    assert "\x1b" not in str(told.value)
    assert "\\x1b" in str(told.value)
