"""Small files that would become large, or deep, when they are read."""

from __future__ import annotations

import gzip
import io
import json
import subprocess
import sys
from functools import partial
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from dsp_pipeline.errors import BundleError, DefinitionError, SettingsError, StorageError
from dsp_pipeline.events.decode import Decoder
from dsp_pipeline.events.lines import MAX_LINE, RawFile
from dsp_pipeline.registry.bundle import load_bundle
from dsp_pipeline.registry.decisions import kept
from dsp_pipeline.registry.manifest import MOST_BYTES, load_json
from dsp_pipeline.registry.pointer import read_manifest
from dsp_pipeline.registry.registry import BundleRegistry
from dsp_pipeline.storage.base import MOST_RECORD_BYTES
from dsp_pipeline.storage.local import LocalFolder
from dsp_pipeline.storage.receipts import ReceiptBook
from dsp_pipeline.storage.running import Running
from dsp_pipeline.storage.versions import VersionBook
from dsp_pipeline.yamlfile import read_yaml
from tests.events.factories import HOUR, JSON, make_impression, make_source

DEEP = 200_000
LAUGHS = "a: &a [x, x, x, x, x, x, x, x, x, x]\n" + "".join(
    f"{name}: &{name} [{', '.join([f'*{before}'] * 10)}]\n" for before, name in zip("abcdefgh", "bcdefghi", strict=True)
)


@pytest.mark.parametrize(
    ("text", "told"),
    [
        (LAUGHS, "YAML aliases"),
        ("a: " + "[" * DEEP + "]" * DEEP, "nested too deeply"),
        ("a: " + "{b: " * DEEP + "}" * DEEP, "nested too deeply"),
        ("a: x\n" + "# nothing\n" * 200_000, "more than 1,048,576 bytes"),
        ("a: !!python/name:os.system", "not YAML"),
    ],
    ids=["a billion laughs", "lists", "mappings", "a long one", "a name"],
)
def test_a_yaml_bomb_is_one_sentence(text: str, told: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It names the file; nothing is run, and nothing is built."""
    monkeypatch.chdir(tmp_path)
    path = tmp_path / "bomb.yaml"
    path.write_text(text)
    with pytest.raises(DefinitionError, match=told):
        read_yaml(path, DefinitionError)
    assert not (tmp_path / "owned").exists()


def test_a_tag_of_yaml_runs_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What stands behind it is the list that it looks like."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "call.yaml").write_text("a: !!python/object/apply:os.system ['touch owned']\n")
    assert read_yaml(tmp_path / "call.yaml", DefinitionError) == {"a": ["touch owned"]}
    assert not (tmp_path / "owned").exists()


@pytest.mark.parametrize("text", [b"[" * DEEP, b'{"a":' * DEEP, b"1" * 10_000], ids=["lists", "objects", "a number"])
def test_a_json_bomb_is_one_sentence(text: bytes, tmp_path: Path) -> None:
    """As a manifest or a pointer, a receipt, a version's record; as a note of who works it counts as none."""
    with pytest.raises(BundleError, match=r"x is not JSON|x holds no JSON object"):
        load_json(text, "x")
    store = LocalFolder(tmp_path)
    for key in ("receipts/a/b.json", "versions/table/a/b.json", "running/a.json", "serving/local/a.json"):
        store.put(key, text)
    with pytest.raises(StorageError, match="the receipt of a/b is damaged"):
        ReceiptBook(store).read("a/b")
    with pytest.raises(StorageError, match="is damaged"):
        VersionBook(store).read("table/a", "b")
    assert Running(store).who("a") is None
    with pytest.raises(BundleError):
        BundleRegistry(store).resolve("local", "a")


@pytest.mark.parametrize("bomb", ["lists", "objects", "in a field", "unclosed", "keys", "escapes", "a number"])
def test_a_line_that_is_a_bomb_is_a_reject_among_good_ones(bomb: str, tmp_path: Path) -> None:
    """As large as a line may be; the good lines around it are rows."""
    good = [json.dumps(make_impression(id=f"i{number}")).encode() for number in range(2)]
    size = MAX_LINE - 200
    line = {
        "lists": b"[" * (size // 2) + b"]" * (size // 2),
        "objects": b'{"a":' * (size // 6) + b"1" + b"}" * (size // 6),
        "in a field": b'{"id":"x","ts":' + b"[" * (size // 2) + b"]" * (size // 2) + b"}",
        "unclosed": b"[" * size,
        "keys": b"{" + b",".join(b'"%d":1' % number for number in range(size // 12)) + b"}",
        "escapes": b'{"id":"' + b"\\u0000" * (size // 6) + b'"}',
        "a number": b'{"id":"x","ts":' + b"9" * size + b"}",
    }[bomb]
    text = b"\n".join([good[0], line, good[1], b""])
    decoder = Decoder(make_source(tmp_path / "source", JSON), memory_limit_mb=300, threads=1)
    found = decoder.decode("impression", HOUR, [RawFile("imp/x.jsonl", partial(io.BytesIO, text))], tmp_path)
    assert pq.read_table(found.events).column("impression_id").to_pylist() == ["i0", "i1"]
    assert found.rejected.total() == 1


def test_too_little_memory_for_a_line_is_a_sentence(tmp_path: Path) -> None:
    """With the least that the setting may be."""
    decoder = Decoder(make_source(tmp_path / "source", JSON), memory_limit_mb=64, threads=1)
    text = b"[" * (MAX_LINE - 1) + b"\n"
    with pytest.raises(SettingsError, match=r"do not fit into \[dsp\] memory_limit_mb; raise it"):
        decoder.decode("impression", HOUR, [RawFile("imp/x.jsonl", partial(io.BytesIO, text))], tmp_path)


def test_a_compressed_bomb_takes_no_more_memory_than_other_files(tmp_path: Path) -> None:
    """Half a gigabyte without a newline, half a megabyte as it lies there: one reject, in bounded memory."""
    source = tmp_path / "source"
    make_source(source, JSON, compression="gzip")
    with gzip.open(tmp_path / "bomb.gz", "wb", compresslevel=9) as out:
        for _ in range(512):
            out.write(b"0" * (1 << 20))
    assert (tmp_path / "bomb.gz").stat().st_size < 1 << 20
    program = f"""
import resource
from pathlib import Path
from dsp_pipeline.events.decode import Decoder
from dsp_pipeline.events.lines import RawFile
from dsp_pipeline.events.source import load_source
from tests.events.factories import HOUR
resource.setrlimit(resource.RLIMIT_AS, (3 << 30, 3 << 30))
folder = Path({str(tmp_path)!r})
decoder = Decoder(load_source(folder / "source", "given"), memory_limit_mb=200, threads=1)
found = decoder.decode("impression", HOUR, [RawFile("x", lambda: open(folder / "bomb.gz", "rb"))], folder)
(peak,) = (line for line in open("/proc/self/status") if line.startswith("VmHWM"))
print(found.rows, dict(found.rejected), int(peak.split()[1]) >> 10)
"""
    if sys.platform != "linux":
        pytest.skip("skipped: what a process took at most is read from Linux's /proc")
    words = [sys.executable, "-c", program]
    done = subprocess.run(words, cwd=Path(__file__).parents[2], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("0 {'too_long': 1} "), done.stdout
    assert int(done.stdout.split()[-1]) < 450  # MB, most of it libraries


def test_a_record_that_is_none_is_not_read_to_its_end(tmp_path: Path) -> None:
    """A receipt, a version's record, a decision: a sentence that names it. A note of who works counts as none."""
    store, long = LocalFolder(tmp_path), b" " * (MOST_RECORD_BYTES + 10)
    for key in ("receipts/a/b.json", "versions/table/a/b.json", "running/a.json", "decisions/local/a/b.json"):
        store.put(key, long)
    with pytest.raises(StorageError, match=r"^receipts/a/b.json has more than 16,777,216 bytes"):
        ReceiptBook(store).read("a/b")
    with pytest.raises(StorageError, match=r"^versions/table/a/b.json has more than 16,777,216 bytes"):
        VersionBook(store).read("table/a", "b")
    with pytest.raises(BundleError, match=r"^decisions/local/a/b.json has more than 1,048,576 bytes"):
        kept(store)
    assert Running(store).who("a") is None


def test_a_manifest_that_is_none_is_not_read_to_its_end(tmp_path: Path) -> None:
    """Nor is it downloaded, and a pointer of such a size is not read either."""
    store = LocalFolder(tmp_path / "lake")
    address = "bundles/click_rate/baseline/control/abc123/2026-11-22/7f"
    for key in (f"{address}/manifest.json", "serving/local/click_rate.json"):
        store.put(key, b" " * (MOST_BYTES + 10))
    told = "has more than 1,048,576 bytes"
    with pytest.raises(BundleError, match=told):
        BundleRegistry(store).fetch(address, tmp_path / "there")
    assert (tmp_path / "there" / "manifest.json").stat().st_size <= MOST_BYTES
    with pytest.raises(BundleError, match=told):
        read_manifest(store, address)
    with pytest.raises(BundleError, match=told):
        load_bundle(tmp_path / "lake" / address)
    with pytest.raises(BundleError, match=told):
        BundleRegistry(store).resolve("local", "click_rate")
