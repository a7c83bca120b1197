"""Bundles: what is written comes back, and what was harmed is refused."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from dsp_pipeline.errors import BundleError
from dsp_pipeline.registry.bundle import Lookup, load_bundle, verify_bundle
from dsp_pipeline.registry.manifest import FILES, MANIFEST, Manifest

from .bundles import FEATURES, IDENTITY, make_bundle, trained


def test_a_bundle_comes_back_and_scores_as_before(tmp_path: Path) -> None:
    """Rows are scored alike as a table of chunks and as a batch; columns that are no features are ignored."""
    written = make_bundle(tmp_path)
    bundle = load_bundle(tmp_path)
    golden = trained()[1]
    assert bundle.manifest == written
    assert (bundle.features, bundle.lineage) == ({**FEATURES, "lookups": []}, {"train/x": {"rows": 200}})
    chunks = pa.concat_tables([golden.slice(0, 7), golden.slice(7)])
    expected = golden["score"].to_numpy()
    assert bundle.score(chunks) == pytest.approx(expected, abs=1e-7)
    assert np.array_equal(bundle.score(golden.to_batches()[0]), bundle.score(chunks))
    assert bundle.score(golden.slice(0, 0)).shape == (0,)


def test_the_same_contents_give_the_same_bytes(tmp_path: Path) -> None:
    """Two writers of one model write one thing."""
    assert make_bundle(tmp_path / "one") == make_bundle(tmp_path / "two")
    for name in (*FILES, MANIFEST):
        assert (tmp_path / "one" / name).read_bytes() == (tmp_path / "two" / name).read_bytes()


def test_the_manifest_says_what_is_in_the_folder(tmp_path: Path) -> None:
    """Identity, and size and SHA-256 of each file and of no other."""
    make_bundle(tmp_path)
    raw = json.loads((tmp_path / MANIFEST).read_bytes())
    assert {key: raw[key] for key in ("format", "model", "experiment", "arm", "version", "date")} == {
        "format": 2,
        "model": "click_rate",
        "experiment": "baseline",
        "arm": "control",
        "version": "abc123",
        "date": "2026-11-22",
    }
    for name, entry in raw["files"].items():
        text = (tmp_path / name).read_bytes()
        assert entry == {"size": len(text), "sha256": hashlib.sha256(text).hexdigest()}
    assert sorted([*raw["files"], MANIFEST]) == sorted(path.name for path in tmp_path.iterdir())


@pytest.mark.parametrize("name", sorted(FILES))
def test_a_flipped_bit_is_refused(name: str, tmp_path: Path) -> None:
    """Before anything is parsed; the file is named."""
    make_bundle(tmp_path)
    text = bytearray((tmp_path / name).read_bytes())
    text[len(text) // 2] ^= 1
    (tmp_path / name).write_bytes(text)
    with pytest.raises(BundleError, match=f"{name} was changed: its SHA-256 is not the manifest's; fetch"):
        load_bundle(tmp_path)


@pytest.mark.parametrize("name", sorted(FILES))
def test_a_truncated_file_is_refused(name: str, tmp_path: Path) -> None:
    """Its size tells."""
    make_bundle(tmp_path)
    text = (tmp_path / name).read_bytes()
    (tmp_path / name).write_bytes(text[:-1])
    told = f"{name} has {len(text) - 1} bytes and its manifest says {len(text)}; fetch the bundle again"
    with pytest.raises(BundleError, match=told):
        verify_bundle(tmp_path)


@pytest.mark.parametrize("name", sorted([*FILES, MANIFEST]))
def test_a_missing_file_is_refused(name: str, tmp_path: Path) -> None:
    """Without the manifest the bundle was not finished."""
    make_bundle(tmp_path)
    (tmp_path / name).unlink()
    with pytest.raises(BundleError, match=f"{name} is missing"):
        load_bundle(tmp_path)


def test_another_manifest_than_the_pointer_names_is_refused(tmp_path: Path) -> None:
    """A whole bundle, but not the one that was asked for."""
    make_bundle(tmp_path)
    digest = hashlib.sha256((tmp_path / MANIFEST).read_bytes()).hexdigest()
    assert verify_bundle(tmp_path, digest).identity == IDENTITY
    with pytest.raises(BundleError, match=r"manifest\.json is not the manifest that was pointed at"):
        load_bundle(tmp_path, "0" * 64)


def test_golden_rows_that_score_otherwise_are_refused(tmp_path: Path) -> None:
    """By more than a millionth; checksums alone would not tell."""
    golden = trained()[1]
    score = golden["score"].to_numpy().copy()
    score[3] += 1e-4
    make_bundle(tmp_path, golden=golden.drop_columns("score").append_column("score", pa.array(score)))
    with pytest.raises(BundleError, match=r"golden\.parquet: a golden row scores 0\.0001 away from what was written"):
        load_bundle(tmp_path)


def test_golden_rows_whose_score_is_no_number_are_refused(tmp_path: Path) -> None:
    """A NaN is not within any tolerance."""
    golden = trained()[1]
    score = np.full(golden.num_rows, np.nan)
    make_bundle(tmp_path, golden=golden.drop_columns("score").append_column("score", pa.array(score)))
    with pytest.raises(BundleError, match="a golden row scores nan away"):
        load_bundle(tmp_path)


def test_lookups_are_files_of_the_bundle_and_of_its_contract(tmp_path: Path) -> None:
    """With their key and the day that they are for; streamed from where they come."""
    rows = pa.record_batch({"campaign_id": ["a", "b"], "rate": [0.1, 0.2]})
    lookup = Lookup(
        "campaign_rate",
        ("campaign_id",),
        ("campaign_id", "rate"),
        "2026-11-23",
        lambda: iter([rows.slice(0, 1), rows.slice(1)]),
    )
    make_bundle(tmp_path, lookups=[lookup])
    assert load_bundle(tmp_path).features["lookups"] == [
        {
            "table": "campaign_rate",
            "file": "campaign_rate.lookup.parquet",
            "key": ["campaign_id"],
            "date": "2026-11-23",
            "rows": 2,
        }
    ]
    assert pq.read_table(tmp_path / "campaign_rate.lookup.parquet").to_pylist() == rows.to_pylist()
    (tmp_path / "campaign_rate.lookup.parquet").write_bytes(b"")
    with pytest.raises(BundleError, match=r"campaign_rate\.lookup\.parquet has 0 bytes"):
        load_bundle(tmp_path)


def test_a_lookup_without_rows_has_its_columns(tmp_path: Path) -> None:
    """A bidder finds nobody in it, and gives everybody what the unknown have."""
    lookup = Lookup("campaign_rate", ("campaign_id",), ("campaign_id", "rate"), "2026-11-23", lambda: iter([]))
    make_bundle(tmp_path, lookups=[lookup])
    assert load_bundle(tmp_path).features["lookups"][0]["rows"] == 0
    assert pq.read_table(tmp_path / "campaign_rate.lookup.parquet").column_names == ["campaign_id", "rate"]


WRONG: list[tuple[dict[str, Any], str]] = [
    (
        {"features": {**FEATURES, "features": FEATURES["features"][::-1]}},
        "name other features; export the model again.",
    ),
    ({"features": {}}, "features.json is no contract (KeyError('features')); export the model again."),
    ({"features": {**FEATURES, "calibration": {"kind": "magic", "offset": 0}}}, "the calibration is of kind 'magic'"),
    ({"model": b"not a model"}, "model.ubj is no XGBoost model"),
    ({"golden": trained()[1].drop_columns("rate")}, "the rows have no single column rate, which"),
    ({"golden": trained()[1].slice(0, 0)}, "golden.parquet holds no rows with a `score`"),
]


@pytest.mark.parametrize(("changes", "told"), WRONG, ids=[told[:40] for _, told in WRONG])
def test_a_bundle_that_does_not_fit_together_is_refused(changes: dict[str, Any], told: str, tmp_path: Path) -> None:
    """When it is written or when it is loaded: its checksums are right, its parts contradict each other."""
    with pytest.raises(BundleError) as caught:
        make_bundle(tmp_path, **changes)
        load_bundle(tmp_path)
    assert told in str(caught.value)


def test_rows_that_break_the_contract_are_refused(tmp_path: Path) -> None:
    """Text for a number, a fraction or a negative number for a code."""
    make_bundle(tmp_path)
    bundle = load_bundle(tmp_path)
    for rate, code, told in (
        (pa.array(["x"]), pa.array([1]), "column rate is string; .*says number"),
        (pa.array([0.5]), pa.array([0.5]), "column exchange_code is double; .*says category"),
        (pa.array([0.5]), pa.array([-1]), "column exchange_code holds a negative code"),
    ):
        with pytest.raises(BundleError, match=told):
            bundle.score(pa.table({"rate": rate, "exchange_code": code}))


def test_a_bundle_is_not_written_over_another(tmp_path: Path) -> None:
    """A folder that holds something stays as it is."""
    make_bundle(tmp_path / "full")
    with pytest.raises(BundleError, match="full is not empty; write a bundle into a new folder"):
        make_bundle(tmp_path / "full")


MANIFESTS = [
    (b"{", "m is not JSON"),
    (b"[]", "m holds no JSON object"),
    (b'{"format": 1}', "m is of format 1 and this version reads 2; export the model again"),
    (b'{"format": 2}', "m is damaged (KeyError('model'))"),
]


@pytest.mark.parametrize(("text", "told"), MANIFESTS, ids=[told[:30] for _, told in MANIFESTS])
def test_a_manifest_that_cannot_be_read_is_refused(text: bytes, told: str) -> None:
    """The sentence says what it is and what to do."""
    with pytest.raises(BundleError) as caught:
        Manifest.from_json(text, "m")
    assert told in str(caught.value)


def test_a_manifest_cannot_name_a_file_elsewhere(tmp_path: Path) -> None:
    """Only the files of a bundle, all of them and no other."""
    make_bundle(tmp_path)
    text = (tmp_path / MANIFEST).read_bytes().replace(b"model.ubj", b"../model.ubj")
    with pytest.raises(BundleError, match=r"m lists .*\.\./model\.ubj.*; a bundle is"):
        Manifest.from_json(text, "m")
