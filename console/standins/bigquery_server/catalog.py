"""Tables are made and changed one at a time: of several who make the same, one does and the others are told.

Labels, those of jobs as well, have the form that BigQuery wants.
"""

import functools
import re
import threading

from local_bigquery.catalog import datasets, tables
from local_bigquery.errors import BigQueryError

_changing = threading.RLock()


def install() -> None:
    create = tables.create

    def checked(project_id, dataset_id, body, translate):
        check_labels(body.labels)
        return create(project_id, dataset_id, body, translate)

    tables.create = checked
    for module, name in ((tables, "create"), (tables, "update"), (tables, "delete"), (datasets, "create")):
        if hasattr(module, name):
            setattr(module, name, _alone(getattr(module, name)))


def _alone(change):
    @functools.wraps(change)
    def changed(*args, **others):
        with _changing:
            return change(*args, **others)

    return changed


def check_labels(labels) -> None:
    """Keys of 1 to 63 and values of up to 63 small letters, digits, _ and -; no more than 64 of them."""
    if len(labels or {}) > 64:
        raise BigQueryError("invalid", f"Too many labels: {len(labels)}; at most 64 are allowed.")
    for key, value in (labels or {}).items():
        if not re.fullmatch(r"[a-z][a-z0-9_-]{0,62}", key) or not re.fullmatch(r"[a-z0-9_-]{0,63}", value):
            raise BigQueryError("invalid", f"Invalid label {key}={value!r}.")
