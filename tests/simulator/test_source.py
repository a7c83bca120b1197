"""The simulator's own source file names fields that its lines have."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

import dsp_pipeline.events
from dsp_pipeline.events.schema import EVENTS
from dsp_pipeline.simulator.faults import TARGETS
from tests.simulator.conftest import Folder
from tests.simulator.parsing import at_path, rows_of

SOURCE: dict[str, Any] = yaml.safe_load(
    (Path(next(iter(dsp_pipeline.events.__path__))) / "sources" / "simulator.yaml").read_text()
)


def _origin(rule: Any) -> str | None:
    return rule if isinstance(rule, str) else rule.get("from")


@pytest.mark.parametrize("event", list(EVENTS))
def test_every_field_of_the_source_is_in_every_line(large: Folder, small: Folder, event: str) -> None:
    """Our columns exist, and what they are made from is there."""
    fields = SOURCE["events"][event]["fields"]
    assert {EVENTS[event].column(name).name for name in fields} == set(fields)
    folder = small if event == "bid" else large
    for number, row in enumerate(rows_of(folder.out, event)):
        for rule in fields.values():
            origin = _origin(rule)
            assert origin is None or at_path(row, origin) is not None
        if number == 500:
            break


@pytest.mark.parametrize("event", list(EVENTS))
def test_faults_are_named_by_the_columns_of_the_source(event: str) -> None:
    """A field that a fault hits is the field from which the source makes the column that the fault names."""
    fields = SOURCE["events"][event]["fields"]
    for target in (*TARGETS[event].needed, *TARGETS[event].numbers):
        assert _origin(fields[target.column]) == target.path
