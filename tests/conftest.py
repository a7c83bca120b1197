"""How the tests are spread over processes: those of one file stay together where they share what took long to make.

xdist's own `--dist loadgroup` does nothing under pytest 9.2, which no longer lets it rename tests.
"""

from __future__ import annotations

import os
from typing import Any

import pytest
from xdist.scheduler import LoadScopeScheduling

# The counts of tests/faults/.
from tests.faults.tally import pytest_runtest_logreport as pytest_runtest_logreport
from tests.faults.tally import pytest_terminal_summary as pytest_terminal_summary

# As tasks/settings.py does it: threads of XGBoost that spin while they wait take the other tests' cores, and
# ONNX Runtime tells nobody what it does.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")

_TOGETHER = (
    "tests/e2e/",
    "tests/console/",
    "tests/faults/test_on_the_cloud.py",
    "tests/metrics/test_runs.py",
    "tests/quality/test_check_data.py",
    "tests/quality/test_two_engines.py",
    "tests/simulator/test_traffic.py",
    "tests/sql/test_oracles.py",
    "tests/sql/test_one_sql_two_engines.py",
    "tests/standins/",
    "tests/tasks/",
    "tests/registry/test_mlflow.py",
    "tests/training/test_dask.py",
    "tests/training/test_fit.py",
)


class _FilesThatShare(LoadScopeScheduling):
    def _split_scope(self, nodeid: str) -> str:
        return nodeid.partition("::")[0] if nodeid.startswith(_TOGETHER) else nodeid


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> LoadScopeScheduling | None:
    """Only where nobody asked for another way with --dist."""
    return _FilesThatShare(config, log) if config.getvalue("dist") in ("load", "loadgroup") else None
