"""Before a bundle is published: what scores otherwise than training did, or is too large or slow, is refused."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from dsp_pipeline.errors import BundleError, ExperimentError
from dsp_pipeline.registry.budget import Budget, read_budget
from dsp_pipeline.registry.flat import write_flat
from dsp_pipeline.registry.forest import read_forest
from dsp_pipeline.registry.manifest import dump_json
from dsp_pipeline.registry.onnx_model import write_onnx
from dsp_pipeline.registry.parity import Formats, check_parity
from dsp_pipeline.registry.scorer import Scorer
from dsp_pipeline.yamlfile import read_yaml

from .forests import ISOTONIC, NONE, PLATT, as_table, make_contract, trained


def make_folder(folder: Path, calibration: dict[str, Any] = PLATT, grown: str = "depthwise") -> Path:
    """A bundle's models and contract, in a new folder."""
    folder.mkdir()
    model, contract = trained(grown).model, make_contract(calibration)
    (folder / "model.ubj").write_bytes(model)
    (folder / "features.json").write_bytes(dump_json(contract))
    (folder / "model.onnx").write_bytes(write_onnx(model, contract))
    (folder / "forest.bin").write_bytes(write_flat(read_forest(model), contract))
    return folder


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_folder(tmp_path_factory.mktemp("parity") / "bundle")


def golden(calibration: dict[str, Any] = PLATT) -> pa.Table:
    """300 rows with the score that training gave."""
    rows = as_table(np.abs(trained().matrix[:300]))
    scorer = Scorer(trained().model, make_contract(calibration), "here")
    return rows.append_column("score", pa.array(scorer.score(rows)))


@pytest.mark.parametrize("calibration", [NONE, PLATT, ISOTONIC])
def test_every_format_scores_the_golden_rows_as_training_did(calibration: dict[str, Any], tmp_path: Path) -> None:
    """Texts, nulls and unseen codes among them; what was found is told as plain values."""
    found = check_parity(make_folder(tmp_path / "bundle", calibration), golden(calibration), Budget())
    assert found["rows"] == 300
    assert set(found["differences"]) == {"model.ubj", "model.onnx", "forest.bin"}
    assert all(difference < 1e-7 for difference in found["differences"].values())
    size = sum(path.stat().st_size for path in (tmp_path / "bundle").iterdir())
    assert found["megabytes"] == pytest.approx(size / 1e6, abs=1e-3)
    assert 1 < found["microseconds"] < 100_000


def test_formats_score_rows_that_are_no_golden_ones(whole: Path) -> None:
    """For replay: all three give the same of any table with the features' columns, also of none."""
    rows = golden().drop_columns("score")
    scores = [score(rows) for score in Formats.load(whole).scores().values()]
    assert np.allclose(scores[0], scores[1], rtol=1e-6)
    assert np.allclose(scores[0], scores[2], rtol=1e-12)
    assert all(len(score(rows.slice(0, 0))) == 0 for score in Formats.load(whole).scores().values())


@pytest.mark.parametrize("name", ["model.ubj", "model.onnx", "forest.bin"])
def test_a_format_that_scores_otherwise_is_named(name: str, whole: Path, tmp_path: Path) -> None:
    """Each is taken from another model of the same features."""
    folder = tmp_path / "bundle"
    shutil.copytree(whole, folder)
    other = make_folder(tmp_path / "other", grown="lossguide")
    shutil.copy(other / name, folder / name)
    with pytest.raises(BundleError, match=rf"bundle/{name} scores golden row \d+ .* away"):
        check_parity(folder, golden(), Budget())


def test_a_calibration_that_is_a_little_off_is_refused(whole: Path, tmp_path: Path) -> None:
    """2e-6 in the log odds is at most 5e-7 of a probability; 1e-5 is too much, and so is a score that is no number."""
    expected = golden()
    near = {**PLATT, "intercept": PLATT["intercept"] + 2e-6}
    check_parity(make_folder(tmp_path / "near", near), expected, Budget())
    off = {**PLATT, "intercept": PLATT["intercept"] + 1e-5}
    with pytest.raises(BundleError, match=r"model\.ubj scores golden row"):
        check_parity(make_folder(tmp_path / "off", off), expected, Budget())
    lost = expected["score"].to_numpy().copy()
    lost[7] = np.nan
    unknown = expected.set_column(expected.num_columns - 1, "score", pa.array(lost, from_pandas=False))
    with pytest.raises(BundleError, match="golden row 7 nan away"):
        check_parity(whole, unknown, Budget())
    with pytest.raises(BundleError, match="holds no rows"):
        check_parity(whole, expected.slice(0, 0), Budget())


@pytest.mark.parametrize(
    ("name", "told"), [("model.onnx", "cannot be loaded"), ("forest.bin", "fewer than its header")]
)
def test_a_format_that_cannot_be_loaded_is_named(name: str, told: str, whole: Path, tmp_path: Path) -> None:
    """In one sentence."""
    folder = tmp_path / "bundle"
    shutil.copytree(whole, folder)
    (folder / name).write_bytes(b"nothing")
    with pytest.raises(BundleError, match=rf"bundle/{name} .*{told}"):
        check_parity(folder, golden(), Budget())


def test_a_bundle_beyond_its_budget_is_refused_with_the_cure(whole: Path) -> None:
    """Too large, or too slow; each sentence names what was found and the limit."""
    with pytest.raises(BundleError, match=r"has 0\.\d+ MB .* max_megabytes: 0\.01; grow smaller trees"):
        check_parity(whole, golden(), Budget(max_megabytes=0.01))
    with pytest.raises(BundleError, match=r"takes \d+ microseconds a row .* max_microseconds: 0\.5; grow fewer trees"):
        check_parity(whole, golden(), Budget(max_microseconds=0.5))
    check_parity(whole, golden(), Budget(max_megabytes=100, max_microseconds=1e6))


def test_a_budget_is_read_from_yaml(tmp_path: Path) -> None:
    """What is left out has no limit; a wrong key or value is told with its line."""
    path = tmp_path / "experiment.yaml"
    path.write_text("budget:\n  max_megabytes: 20\n")
    assert read_budget(read_yaml(path, ExperimentError)["budget"]) == Budget(max_megabytes=20)
    assert read_budget(None) == Budget()
    path.write_text("budget:\n  max_microseconds: 0\n")
    with pytest.raises(ExperimentError, match=r"experiment\.yaml:2: `max_microseconds` is 0; it is a number above 0"):
        read_budget(read_yaml(path, ExperimentError)["budget"])
    path.write_text("budget:\n  max_megabyte: 1\n")
    with pytest.raises(ExperimentError, match="did you mean max_megabytes"):
        read_budget(read_yaml(path, ExperimentError)["budget"])
