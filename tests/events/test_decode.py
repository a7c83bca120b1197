"""A whole hour: duplicates, quarantine, the share of rejects, memory."""

from __future__ import annotations

import gzip
import json
import re
import subprocess
import sys
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from dsp_pipeline.errors import TooManyRejectsError
from dsp_pipeline.events import decode, lines
from dsp_pipeline.events.arrow import arrow_schema
from dsp_pipeline.events.lines import Reject
from dsp_pipeline.events.schema import EVENTS
from tests.events.factories import HOUR, decode_files, make_source, raw_file, raw_line, read_back

REPOSITORY = Path(__file__).parents[2]


def test_the_file_has_the_events_schema(tmp_path: Path) -> None:
    """Also when there is no row; the key, the time and required columns are not nullable."""
    for given_lines in ([], [raw_line()]):
        result = decode_files(make_source(tmp_path), [raw_file(given_lines)], tmp_path / "s")
        assert pq.read_schema(result.decoded.events) == arrow_schema(EVENTS["impression"])


@pytest.mark.parametrize("in_memory", [0, 500_000])
@pytest.mark.parametrize("batch", [3, 65_536])
def test_of_lines_with_one_key_the_first_is_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, in_memory: int, batch: int
) -> None:
    """Within a file, over files and batches; the order of the others stays. Large hours are searched by a query."""
    monkeypatch.setattr(decode, "_KEYS_IN_MEMORY", in_memory)
    monkeypatch.setattr(decode, "_BATCH_ROWS", batch)
    monkeypatch.setattr(lines, "_CHUNK", 300)
    ids = ["b", "a", "b", "c", "b", "d", "a", "e"]
    files = [
        raw_file([raw_line(id=one, position=10 * number + place) for place, one in enumerate(ids)], f"f{number}")
        for number in range(3)
    ]
    (tmp_path / "it's").mkdir()
    result = decode_files(make_source(tmp_path), files, tmp_path / "it's" / "[a]*?")
    assert result.column("impression_id") == ["b", "a", "c", "d", "e"]
    assert result.column("placement_position") == [0, 1, 3, 5, 7]
    assert (result.decoded.rows, result.decoded.duplicates) == (5, 24 - 5)
    assert pq.read_schema(result.decoded.events) == arrow_schema(EVENTS["impression"])


@pytest.mark.parametrize("in_memory", [0, 500_000])
def test_an_hour_without_duplicates_has_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, in_memory: int) -> None:
    """By either way."""
    monkeypatch.setattr(decode, "_KEYS_IN_MEMORY", in_memory)
    result = decode_files(make_source(tmp_path), [raw_file([raw_line(id=str(n)) for n in range(50)])], tmp_path / "s")
    assert (result.decoded.rows, result.decoded.duplicates) == (50, 0)


@pytest.mark.parametrize("threads", [1, 4])
def test_a_large_hour_keeps_its_order(tmp_path: Path, threads: int) -> None:
    """Whatever the number of threads, so that `first` means the first."""
    count = 150_000
    given_lines = [f'{{"id": "i{n}", "ts": "2026-11-21T05:00:00Z", "position": {n}}}' for n in range(count)]
    given_lines += [f'{{"id": "i{n}", "ts": "2026-11-21T05:00:00Z", "position": -1}}' for n in range(0, count, 1000)]
    decoder = decode.Decoder(make_source(tmp_path), memory_limit_mb=300, threads=threads)
    decoded = decoder.decode("impression", HOUR, [raw_file(given_lines)], tmp_path)
    assert (decoded.rows, decoded.duplicates) == (count, 150)
    assert pq.read_table(decoded.events, columns=["placement_position"]).column(0).to_pylist() == list(range(count))


def test_one_decoder_decodes_many_hours(tmp_path: Path) -> None:
    """One after the other; a failed one leaves nothing behind."""
    decoder = decode.Decoder(make_source(tmp_path, compression="gzip"), memory_limit_mb=200, threads=1)
    good = raw_file(gzip.compress(raw_line().encode()))
    for number, file in enumerate([good, raw_file(b"no gzip"), good]):
        scratch = tmp_path / str(number)
        scratch.mkdir()
        try:
            assert read_back(decoder.decode("impression", HOUR, [file], scratch)).column("user_id") == ["u1"]
        except Exception:
            assert number == 1


def test_rejected_lines_are_kept_with_their_place(tmp_path: Path) -> None:
    """File, line number, reason and the line as it stood; good lines are not there."""
    first = [raw_line(id="a"), "", "broken é🎉", raw_line(position="x")]
    second = b"\xff\n" + raw_line(id="b").encode() + b"\r\n" + raw_line(ts="2026-11-21T07:00:00Z").encode() + b"\r\n"
    result = decode_files(make_source(tmp_path), [raw_file(first, "f1"), raw_file(second, "f2")], tmp_path / "s")
    assert sorted(result.quarantine, key=lambda row: (row["file"], row["line_number"])) == [
        {"file": "f1", "line_number": 3, "reason": "malformed", "line": "broken é🎉"},
        {"file": "f1", "line_number": 4, "reason": "wrong_type:placement_position", "line": raw_line(position="x")},
        {"file": "f2", "line_number": 1, "reason": "not_utf8", "line": "\\xff"},
        {"file": "f2", "line_number": 3, "reason": "outside_hour", "line": raw_line(ts="2026-11-21T07:00:00Z")},
    ]
    assert result.column("impression_id") == ["a", "b"]
    assert result.decoded.rejected_share == 4 / 6


def test_without_rejects_there_is_no_quarantine(tmp_path: Path) -> None:
    """No file, no share."""
    result = decode_files(make_source(tmp_path), [raw_file([raw_line()])], tmp_path / "s")
    assert result.decoded.quarantine is None
    assert not (tmp_path / "s" / "rejected.jsonl.gz").exists()
    result.decoded.refuse_above(0)


@pytest.mark.parametrize(
    ("bad", "share", "refused"),
    [(3, 0.03, False), (4, 0.03, True), (1, 0.0, True), (0, 0.0, False), (100, 1.0, False), (7, 0.0699, True)],
)
def test_more_than_the_share_is_refused(tmp_path: Path, bad: int, share: float, refused: bool) -> None:
    """Above it, not at it; duplicates count among the lines."""
    given_lines = ["broken"] * bad + [raw_line(id=str(n // 2)) for n in range(100 - bad)]
    decoded = decode_files(make_source(tmp_path), [raw_file(given_lines)], tmp_path / "s").decoded
    if not refused:
        decoded.refuse_above(share)
        return
    message = (
        rf"^{bad} of 100 lines were rejected \({bad} malformed\), more than the {share * 100:g}% allowed; "
        r"the first is imp/2026112105\.jsonl:1 \(malformed\): 'broken'$"
    )
    with pytest.raises(TooManyRejectsError, match=message):
        decoded.refuse_above(share)


def test_the_first_rejected_line_is_the_first_of_the_files(tmp_path: Path) -> None:
    """What is not text is found ahead of what makes no row, and is told as the first only where it stands first."""
    files = [
        raw_file([raw_line(id="a"), "broken"], "f1"),
        raw_file(b"\xff\n" + raw_line(id="b").encode() + b"\n", "f2"),
    ]
    decoded = decode_files(make_source(tmp_path), files, tmp_path / "s").decoded
    assert decoded.first_reject == Reject("f1", 2, "malformed", "broken")
    mixed = [raw_file(raw_line(id="a").encode() + b"\nbroken\n\xff\nbroken\n", "f1")]
    decoded = decode_files(make_source(tmp_path), mixed, tmp_path / "t").decoded
    assert decoded.first_reject == Reject("f1", 2, "malformed", "broken")
    decoded = decode_files(make_source(tmp_path), [files[1], files[0]], tmp_path / "u").decoded
    assert decoded.first_reject == Reject("f2", 1, "not_utf8", "\\xff")


MEASURE = """
import gzip, io, resource, sys
from datetime import UTC, datetime
from pathlib import Path
import tempfile
from dsp_pipeline.events import decode, lines
from dsp_pipeline.events.lines import RawFile
from dsp_pipeline.events.source import load_source

lines._CHUNK = 1 << 20
decode._KEYS_IN_MEMORY, decode._BATCH_ROWS = 10_000, 4096
folder, count = Path(sys.argv[1]), int(sys.argv[2])
with gzip.open(folder / "raw.gz", "wt", compresslevel=1) as out:
    for n in range(count):
        out.write('{"id": "%032d", "ts": "2026-11-21T05:00:00Z", "user": {"id": "%0200d"}}\\n' % (n, n))
decoder = decode.Decoder(load_source(folder, "given"), memory_limit_mb=60, threads=1)
file = RawFile("raw.gz", lambda: open(folder / "raw.gz", "rb"))
decoded = decoder.decode("impression", datetime(2026, 11, 21, 5, tzinfo=UTC), [file], folder)
assert decoded.rows == count, decoded
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024)
"""


def test_memory_does_not_grow_with_the_hour(tmp_path: Path) -> None:
    """Eight times the lines, 60 MB more of text, take hardly more."""
    peaks = []
    for count in (30_000, 240_000):
        folder = tmp_path / str(count)
        make_source(folder, compression="gzip")
        (folder / "measure.py").write_text(MEASURE)
        command = [sys.executable, str(folder / "measure.py"), str(folder), str(count)]
        done = subprocess.run(command, cwd=REPOSITORY, capture_output=True, text=True, timeout=120)
        assert done.returncode == 0, done.stderr
        peaks.append(int(done.stdout))
    assert peaks[1] < peaks[0] + 50, peaks


scalars = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.floats(),
    st.text(st.characters(exclude_categories=["Cs"]), max_size=8),
    st.sampled_from(["1e999", "-0", "1_0", "0x1", "nan", "2026-11-21T05:00:00Z", "9" * 40, "1e-400", "--1", "1e38"]),
)
values = st.recursive(scalars, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=2), inner))
FIELDS = ["id", "ts", "user", "position", "propensity", "price", "w", "pairs", "tags"]


@st.composite
def mutated(draw: st.DrawFn) -> bytes:
    """A line that was good before one or two things happened to it."""
    content = json.loads(raw_line(w=[1.5], pairs=[["a", 1]], tags="a,b"))
    for name in draw(st.lists(st.sampled_from(FIELDS), max_size=2)):
        content[name] = draw(values)
    line = json.dumps(content, ensure_ascii=draw(st.booleans())).encode("utf-8", "surrogatepass")
    match draw(st.integers(0, 3)):
        case 0:
            start = draw(st.integers(0, len(line)))
            line = line[:start] + draw(st.binary(max_size=4)) + line[start + draw(st.integers(0, 4)) :]
        case 1:
            line = line[: draw(st.integers(0, len(line)))]
    return line.replace(b"\n", b" ")


@settings(max_examples=40, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))
@given(given_lines=st.lists(st.one_of(st.just(None), mutated()), max_size=12), chunk=st.sampled_from([50, 4 << 20]))
def test_any_mixture_of_lines_adds_up(
    tmp_path_factory: pytest.TempPathFactory, given_lines: list[bytes | None], chunk: int
) -> None:
    """Rows, rejects and duplicates are the lines that are not blank; every good line is kept; nothing crashes."""
    folder = tmp_path_factory.mktemp("any")
    rules = {
        "affinities": "w",
        "segment_weights": "{from: pairs, each: 1}",
        "campaign_id": '{format: "{user.id}-{id}"}',
    }
    rules |= {"creative_id": "{from: tags, match: '(a+)'}", "segments": '{from: tags, split: ","}'}
    source = make_source(folder, **rules)
    good = {f"good{place}" for place, line in enumerate(given_lines) if line is None}
    data = [raw_line(id=f"good{place}").encode() if line is None else line for place, line in enumerate(given_lines)]
    content = b"\n".join(data)
    blank = re.compile(rb"\s*").fullmatch
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(lines, "_CHUNK", chunk)
        result = decode_files(source, [raw_file(content)], folder / "s")
    expected = sum(not blank(line) for line in content.removeprefix(b"\xef\xbb\xbf").split(b"\n"))
    assert result.decoded.rows + sum(result.rejected.values()) + result.decoded.duplicates == expected
    assert good <= set(result.column("impression_id"))
    assert len(set(result.column("impression_id"))) == result.decoded.rows


@settings(max_examples=25, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))
@given(
    fields=st.lists(
        st.lists(st.one_of(st.text(max_size=6), st.sampled_from(["1", '"', '""', "2026-11-21T05:00:00Z"])), max_size=6),
        max_size=10,
    ),
    format_=st.sampled_from(["csv", "tsv"]),
)
def test_any_text_columns_add_up(
    tmp_path_factory: pytest.TempPathFactory, fields: list[list[str]], format_: str
) -> None:
    """The same of CSV and TSV."""
    from tests.events.factories import COLUMNS

    folder = tmp_path_factory.mktemp("any")
    source = make_source(folder, COLUMNS, format=f"{format_}\ncolumns: [id, ts, user, position]")
    separator = "," if format_ == "csv" else "\t"
    content = "\n".join(
        ["good" + separator + "2026-11-21T05:00:00Z" + separator * 2] + [separator.join(f) for f in fields]
    )
    data = content.encode("utf-8", "surrogatepass")
    result = decode_files(source, [raw_file(data)], folder / "s")
    expected = sum(bool(line) and not line.isspace() for line in data.split(b"\n"))
    assert result.decoded.rows + sum(result.rejected.values()) + result.decoded.duplicates == expected
    assert "good" in result.column("impression_id")
