"""Files of a model or of rows that somebody has changed: refused before anything parses them, or in one sentence."""

from __future__ import annotations

import io
import random
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from dsp_pipeline.errors import BundleError, DspError, StorageError, WarehouseError
from dsp_pipeline.registry.bundle import load_bundle
from dsp_pipeline.registry.forest import read_forest
from dsp_pipeline.registry.manifest import FILES, MANIFEST
from dsp_pipeline.registry.registry import BundleRegistry
from dsp_pipeline.registry.scorer import Scorer
from dsp_pipeline.storage.local import LocalFolder
from dsp_pipeline.storage.outputs import Outputs
from dsp_pipeline.warehouse.base import Slice
from tests.contracts.implementations import duckdb_warehouse
from tests.contracts.rows import CLICK, PARTITION, draft, make_clicks, parquet
from tests.registry.bundles import IDENTITY, make_bundle


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("bundle")
    make_bundle(folder)
    return folder


@pytest.mark.parametrize("name", sorted(FILES))
def test_a_changed_file_of_a_bundle_is_not_parsed(
    name: str, bundle: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Size first, then the checksum: nothing but the manifest has been read by then."""
    import dsp_pipeline.registry.bundle as module

    monkeypatch.setattr(module, "load_json", _never)
    monkeypatch.setattr(pq, "read_table", _never)
    monkeypatch.setattr("xgboost.Booster", _never)
    draw = random.Random(name)  # noqa: S311
    for number in range(12):
        shutil.copytree(bundle, tmp_path / str(number))
        path = tmp_path / str(number) / name
        content = bytearray(path.read_bytes())
        content[draw.randrange(len(content))] ^= 1 << draw.randrange(8)
        path.write_bytes(content if number % 2 else content + draw.randbytes(1 << number))
        with pytest.raises(BundleError, match=r"was changed|bytes and its manifest says"):
            load_bundle(tmp_path / str(number))


def test_a_file_that_grows_is_not_downloaded_to_its_end(bundle: Path, tmp_path: Path) -> None:
    """As many bytes as the manifest says, and no more: a disk is not filled by somebody's object."""
    store, address = LocalFolder(tmp_path / "lake"), IDENTITY.address("1")
    BundleRegistry(store).publish(bundle, address)
    store.put(f"{address}/model.onnx", b"x" * (8 << 20))
    with pytest.raises(BundleError, match=r"model\.onnx has more than [\d,]+ bytes"):
        BundleRegistry(store).fetch(address, tmp_path / "there")
    assert (tmp_path / "there" / "model.onnx").stat().st_size < 4 << 20


def test_a_manifest_that_fits_its_changed_files_is_not_the_one_that_was_pointed_at(
    bundle: Path, tmp_path: Path
) -> None:
    """The pointer has the manifest's checksum, so a bundle cannot be changed where it lies."""
    import hashlib

    sha256 = hashlib.sha256((bundle / MANIFEST).read_bytes()).hexdigest()
    make_bundle(tmp_path / "other", metrics={"holdout": {"auc": 1.0, "log_loss": 0.0}})
    load_bundle(tmp_path / "other")
    with pytest.raises(BundleError, match="is not the manifest that was pointed at"):
        load_bundle(tmp_path / "other", sha256)


def test_a_broken_model_is_never_taken_even_where_its_checksum_fits(tmp_path: Path) -> None:
    """XGBoost refuses it in a sentence, or ends the process (it does, for some): what it does not do is load it."""
    program = """
import os, random, sys
from pathlib import Path
from dsp_pipeline.errors import DspError
from dsp_pipeline.registry.bundle import load_bundle
from tests.registry.bundles import make_bundle, trained
folder, draw = Path(sys.argv[1]), random.Random(5)
model, _ = trained()
ends = []
for number in range(16):
    cut = model[: draw.randrange(len(model))] if number % 2 else draw.randbytes(400)
    child = os.fork()
    if not child:
        try:
            make_bundle(folder / str(number), model=cut)
            load_bundle(folder / str(number))
        except DspError:
            os._exit(7)
        os._exit(0)
    ends.append(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
print(sorted(set(ends)))
print(ends.count(7))
"""
    words = [sys.executable, "-c", program, str(tmp_path)]
    done = subprocess.run(words, cwd=Path(__file__).parents[2], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-2_000:]
    ends, refused = done.stdout.splitlines()
    assert set(map(int, ends.strip("[]").split(","))) <= {7, -signal.SIGSEGV, -signal.SIGABRT}, done.stderr[-2_000:]
    assert int(refused) >= 8


def test_bytes_that_xgboost_cannot_even_complain_of_are_a_sentence() -> None:
    """It quotes them in its error, which is no text then, so that Python makes another error of it."""
    broken = b'{"\xff'
    with pytest.raises(BundleError, match=r"^b/model\.ubj is no XGBoost model"):
        Scorer(broken, {"features": [], "calibration": {"kind": "none", "offset": 0.0}}, "b")
    with pytest.raises(BundleError, match=r"^model\.ubj is no XGBoost model"):
        read_forest(broken)


def test_rows_of_a_damaged_parquet_file_are_not_loaded(tmp_path: Path) -> None:
    """One sentence, and no partition; or, where the damage met nothing that counts, all rows."""
    content = parquet(make_clicks(3)).read()
    draw, refused = random.Random(3), 0  # noqa: S311
    for number in range(80):
        harmed = bytearray(content)
        if number % 3 == 0:
            harmed = harmed[: draw.randrange(len(harmed))]
        elif number % 3 == 1:
            at = len(harmed) - 8 - draw.randrange(min(600, len(harmed) - 8))  # the description of the file
            harmed[at] ^= 1 << draw.randrange(8)
        else:
            harmed = bytearray(b"PAR1" + draw.randbytes(300) + b"PAR1")
        warehouse = duckdb_warehouse(tmp_path / str(number))
        try:
            made = warehouse.load(CLICK, PARTITION, [io.BytesIO(bytes(harmed))], draft(CLICK, PARTITION), rows=3)
        except DspError as error:
            assert str(error).count("\n") == 0
            assert not warehouse.receipts(CLICK)
            refused += 1
        else:
            assert made.rows == 3
    assert refused > 50


@pytest.mark.parametrize("change", ["cut off", "emptied", "longer", "gone"])
def test_rows_of_the_lake_that_are_not_as_they_were_written_are_not_parsed(
    change: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Their size stands in the receipt, in the warehouse and in the store: a sentence names the file and the cure."""
    warehouse = duckdb_warehouse(tmp_path)
    made = warehouse.load(CLICK, PARTITION, [parquet(make_clicks(3))], draft(CLICK, PARTITION), rows=3)
    outputs, file = Outputs(LocalFolder(tmp_path / "store")), tmp_path / "rows.parquet"
    file.write_bytes(parquet(make_clicks(3)).read())
    kept = outputs.keep(draft(CLICK, PARTITION), {"rows.parquet": file}, 3)
    paths = [warehouse.root / made.files[0].key, tmp_path / "store" / kept.files[0].key]
    for path in paths:
        content = path.read_bytes()
        path.unlink()
        if change != "gone":
            path.write_bytes({"cut off": content[:-9], "emptied": b"", "longer": content + b"PAR1"}[change])
    monkeypatch.setattr(pq, "ParquetFile", _never)
    told = (
        "No such file|is not there" if change == "gone" else r"bytes and its receipt says .* `dsp rerun` what made it"
    )
    with pytest.raises(WarehouseError, match=told):
        list(warehouse.read(Slice(CLICK, (PARTITION,)), ["click_id"]))
    with pytest.raises(StorageError, match=told):
        outputs.open(kept, "rows.parquet")


def _never(*_given: object, **_named: object) -> None:
    raise AssertionError("it was parsed")
