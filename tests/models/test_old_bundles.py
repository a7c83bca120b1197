"""Bundles of earlier releases: a bidder may be pointed at one for long, and a rollback goes back to it."""

from __future__ import annotations

from pathlib import Path

import pytest

from dsp_pipeline.registry.budget import Budget
from dsp_pipeline.registry.bundle import load_bundle
from dsp_pipeline.registry.parity import check_parity

BUNDLES = sorted(Path(__file__).parent.glob("bundle_of_*"))


@pytest.mark.parametrize("folder", BUNDLES, ids=[folder.name for folder in BUNDLES])
def test_a_bundle_of_an_earlier_release_scores_as_it_did(folder: Path) -> None:
    """Each of its formats gives its golden rows the scores that were written then, with today's code and libraries."""
    bundle = load_bundle(folder)
    found = check_parity(folder, bundle.golden, Budget())
    assert found["rows"] == bundle.golden.num_rows == 20
    assert max(found["differences"].values()) <= 1e-6


def test_there_is_a_bundle_of_each_release() -> None:
    """A release keeps one: `python -c` of tests/registry/bundles.make_bundle, into bundle_of_<release>."""
    assert [folder.name for folder in BUNDLES] == ["bundle_of_0_1_0"]
