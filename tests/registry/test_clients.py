"""The clients of docs/clients run as they are printed, against a bundle that was published and pointed at."""

from __future__ import annotations

import ast
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from numpy.typing import NDArray

from dsp_pipeline.registry.bundle import Lookup
from dsp_pipeline.registry.registry import BundleRegistry
from dsp_pipeline.registry.scorer import Scorer
from dsp_pipeline.storage.local import LocalFolder

from .bundles import IDENTITY, candidate, make_bundle
from .compiler import compiled, needs_compiler
from .forests import NAMES, as_table, make_contract, trained

CLIENTS = Path(__file__).parents[2] / "docs" / "clients"


@dataclass(frozen=True)
class Served:
    """A lake in which a bundle is served, rows of which `rate` is to be looked up, and what each scores."""

    lake: Path
    bundle: Path
    rows: pa.Table
    whole_rows: pa.Table
    scores: NDArray[np.float64]


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Served:
    folder = tmp_path_factory.mktemp("served")
    one, contract = trained(), make_contract()
    scorer = Scorer(one.model, contract, "here")
    rows = as_table(np.abs(one.matrix[:200]))
    golden = rows.append_column("score", pa.array(scorer.score(rows)))
    campaigns = [f"c{place}" for place in range(40)]
    rates = pa.table({"campaign_id": campaigns, "rate": np.linspace(-1, 2, 40), "impressions": range(40)})
    lookup = Lookup(
        "campaign_rate", ("campaign_id",), tuple(rates.column_names), "2026-11-23", lambda: iter(rates.to_batches())
    )
    address = IDENTITY.address("1")
    made = folder / "made" / address
    make_bundle(made, model=one.model, features=contract, golden=golden, lookups=[lookup])
    store = LocalFolder(folder / "lake")
    BundleRegistry(store).publish(made, address)
    BundleRegistry(store).point("production", "click_rate", candidate(store, address), None)
    asked = [f"c{place * 7 % 45}" for place in range(200)]  # five of the campaigns are in no lookup
    found = [dict(zip(campaigns, rates["rate"].to_pylist(), strict=True)).get(campaign) for campaign in asked]
    whole = rows.set_column(0, "rate", pa.array(found, pa.float64())).append_column("campaign_id", pa.array(asked))
    return Served(folder / "lake", folder / "lake" / address, whole.drop_columns("rate"), whole, scorer.score(whole))


def run_python(lake: Path, rows: Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, str(CLIENTS / "score.py"), str(lake), "production", "click_rate", str(rows)]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def test_the_python_client_scores_what_it_looks_up(served: Served, tmp_path: Path) -> None:
    """From the pointer to probabilities: checksums, golden rows, lookups, texts, nulls."""
    pq.write_table(served.rows, tmp_path / "rows.parquet")
    done = run_python(served.lake, tmp_path / "rows.parquet")
    assert done.returncode == 0, done.stderr
    assert np.array(done.stdout.split(), dtype=np.float64) == pytest.approx(served.scores, rel=1e-6)


def test_the_python_client_needs_onnxruntime_and_pyarrow_only() -> None:
    """And NumPy, without which ONNX Runtime cannot be installed; nothing of this project."""
    tree = ast.parse((CLIENTS / "score.py").read_text())
    names = {name.name for node in ast.walk(tree) if isinstance(node, ast.Import) for name in node.names}
    names |= {str(node.module) for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)}
    others = {name.partition(".")[0] for name in names} - set(sys.stdlib_module_names)
    assert others == {"numpy", "onnxruntime", "pyarrow"}


@pytest.mark.parametrize("name", ["manifest.json", "model.onnx", "features.json", "campaign_rate.lookup.parquet"])
def test_the_python_client_refuses_a_file_that_was_changed(name: str, served: Served, tmp_path: Path) -> None:
    """Before anything in it is parsed."""
    store = LocalFolder(tmp_path / "lake")
    for stored in list(LocalFolder(served.lake).list("")):
        with LocalFolder(served.lake).get(stored.key) as stream:
            data = stream.read()
        store.put(stored.key, data[:-1] + b"?" if stored.key.endswith(f"/{name}") else data)
    pq.write_table(served.rows, tmp_path / "rows.parquet")
    done = run_python(tmp_path / "lake", tmp_path / "rows.parquet")
    assert done.returncode == 1
    assert "changed" in done.stderr or "not the one that was pointed at" in done.stderr
    assert not done.stdout


@pytest.fixture(scope="module")
def client(served: Served, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The C client, compiled with the header that lies in the bundle."""
    return compiled(CLIENTS / "score.c", tmp_path_factory.mktemp("client") / "score", f"-I{served.bundle}")


def as_text(rows: pa.Table) -> str:
    """Tab-separated, with columns in another order than the contract's and one that is no feature."""
    names = [*reversed(NAMES), "campaign_id"]
    lines = ["\t".join(names)]
    for row in rows.select(names).to_pylist():
        cells = [row[name] for name in names]
        lines.append("\t".join("\\N" if cell is None else str(cell) for cell in cells))
    return "\n".join(lines) + "\n"


def run_c(client: Path, forest: Path, text: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([str(client), str(forest)], input=text, capture_output=True, text=True, check=False)


@needs_compiler
def test_the_c_client_scores_rows_of_text(served: Served, client: Path) -> None:
    """Numbers with all their digits, codes, words with letters of any script, what is missing."""
    done = run_c(client, served.bundle / "forest.bin", as_text(served.whole_rows))
    assert done.returncode == 0, done.stderr
    assert np.array(done.stdout.split(), dtype=np.float64) == pytest.approx(served.scores, rel=1e-8)


@needs_compiler
def test_the_c_client_refuses_what_it_cannot_score(served: Served, client: Path, tmp_path: Path) -> None:
    """A damaged forest, a column too few or twice, a cell that is no number, a line that is too short."""
    forest, good = served.bundle / "forest.bin", as_text(served.whole_rows.slice(0, 2))
    harmed = bytearray(forest.read_bytes())
    harmed[200] ^= 1
    (tmp_path / "harmed").write_bytes(harmed)
    (tmp_path / "short").write_bytes(forest.read_bytes()[:-64])
    (tmp_path / "empty").write_bytes(b"")
    header = good.splitlines()[0]
    for given, text, told in (
        (tmp_path / "harmed", good, "checksum is wrong"),
        (tmp_path / "short", good, "not as long as it says"),
        (tmp_path / "empty", good, "cannot be read"),
        (tmp_path / "nowhere", good, "cannot be read"),
        (forest, good.replace("hour", "our", 1), "does not name each feature"),
        (forest, good.replace("campaign_id", "hour", 1), "does not name each feature"),
        (forest, f"{header}\nadx\t1\t0\tmany\t0.5\tc1\n", "many: is no number"),
        (forest, f"{header}\nadx\t1\t0\n", "fewer or more cells"),
        (forest, "", "no first line"),
    ):
        done = run_c(client, given, text)
        assert (done.returncode, done.stdout) == (1, "")
        assert told in done.stderr
