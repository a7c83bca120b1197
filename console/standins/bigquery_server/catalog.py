"""Tables are made and changed one at a time: of several who make the same, one does and the others are told."""

import functools
import threading

from local_bigquery.catalog import datasets, tables

_changing = threading.RLock()


def install() -> None:
    for module, name in ((tables, "create"), (tables, "update"), (tables, "delete"), (datasets, "create")):
        if hasattr(module, name):
            setattr(module, name, _alone(getattr(module, name)))


def _alone(change):
    @functools.wraps(change)
    def changed(*args, **others):
        with _changing:
            return change(*args, **others)

    return changed
