"""`python counting.py WORDS`: a luigi command in this process, and then the calls that it made, as JSON."""

from __future__ import annotations

import json
import sys
from collections import Counter
from typing import Any

import luigi

import tasks  # noqa: F401  # sets luigi up
from dsp_pipeline.registry.registry import BundleRegistry
from dsp_pipeline.storage.outputs import Outputs
from tasks.settings import platform


class Counting:
    """An ObjectStore or a Warehouse that counts what it is asked."""

    def __init__(self, inner: Any, name: str, calls: Counter[str]) -> None:
        self._inner, self._name, self._calls = inner, name, calls

    def __getattr__(self, attribute: str) -> Any:
        self._calls[f"{self._name}.{attribute}"] += 1
        return getattr(self._inner, attribute)


def main(words: list[str]) -> None:
    calls: Counter[str] = Counter()
    one = platform()
    one.raw, one.store = Counting(one.raw, "raw", calls), Counting(one.store, "store", calls)  # type: ignore[assignment]
    one.warehouse = Counting(one.warehouse, "warehouse", calls)  # type: ignore[assignment]
    one.outputs, one.registry = Outputs(one.store), BundleRegistry(one.store)
    made: Counter[str] = Counter()
    made_by_luigi = luigi.Task.__init__

    def count(task: luigi.Task, *args: Any, **kwargs: Any) -> None:
        made["tasks"] += 1
        made_by_luigi(task, *args, **kwargs)

    luigi.Task.__init__ = count  # type: ignore[method-assign]
    done = luigi.run([*words, "--local-scheduler"], detailed_summary=True)
    sys.stdout.write(json.dumps({"status": done.status.name, "calls": calls, **made}) + "\n")


if __name__ == "__main__":
    main(sys.argv[1:])
