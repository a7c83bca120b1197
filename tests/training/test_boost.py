"""What XGBoost is handed of pages on disk."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from dsp_pipeline.training import pages

from .rows import MODEL, fit_rows, make_rows


@pytest.mark.parametrize("heavy_first", [False, True])
def test_each_page_has_its_own_weights(heavy_first: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """One in which all weights are 1 does not get those of the page before it."""
    rows, exchanges = 4_000, pa.array(np.arange(4_000) % 4)
    weights = pa.array(np.where((np.arange(rows) < rows // 2) == heavy_first, 8.0, 1.0))
    # Few values, and so the same bins however many pages there are.
    train = make_rows(rows, rate=exchanges, noise=pa.array(np.zeros(rows)), heavy=weights)
    holdout = make_rows(500, seed=2, rate=exchanges.slice(0, 500), noise=pa.array(np.zeros(500)), heavy=weights[:500])
    whole = fit_rows(tmp_path, train, holdout, model=MODEL, weight="heavy")
    monkeypatch.setattr(pages, "PAGE_ROWS", rows // 2)
    assert fit_rows(tmp_path, train, holdout, model=MODEL, weight="heavy").report["curve"] == [
        pytest.approx(point) for point in whole.report["curve"]
    ]
