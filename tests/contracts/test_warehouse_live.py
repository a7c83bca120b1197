"""Whether the contract of warehouses is tested on BigQuery itself too."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.contracts.implementations import LIVE_PROJECT, WAREHOUSES, bigquery_client, live_dataset


@pytest.mark.skipif(not LIVE_PROJECT, reason="skipped: DSP_TEST_BIGQUERY_PROJECT is not set")
def test_bigquery_itself_is_among_the_warehouses(tmp_path: Path) -> None:
    """In a dataset that is removed at the end; one that a killed run leaves is known by its name."""
    assert "BigQueryWarehouse (live)" in WAREHOUSES
    settings = live_dataset(tmp_path)
    dataset = bigquery_client(settings).get_dataset(settings.dataset)
    assert dataset.dataset_id.startswith("dsp_test_")
