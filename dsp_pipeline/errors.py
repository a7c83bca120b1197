"""Every error that this project raises on purpose.

A message is one sentence that names the thing (file, line, value) and the cure; the command line prints that
sentence and nothing else. Errors that are not in this tree are bugs of ours and keep their traceback.

    DspError
    ├── SettingsError            a setting is missing or has a wrong value
    ├── UnknownNameError         no such event, source, table, model, experiment or arm; tells the near matches
    ├── DefinitionError          a file written by the team (YAML, SQL, model) is wrong; tells file and line
    │   ├── SourceError          events/sources/*.yaml
    │   ├── ExperimentError      experiments/*.yaml
    │   ├── ModelError           models/*.py
    │   ├── StepError            tasks/*.py, functions with @step
    │   ├── ExpectationError     expectations/*.yaml
    │   └── SqlError             features/*.sql, audits/*.sql
    │       ├── UndeclaredTableError   the query names a table that its header does not declare
    │       └── NonPortableSqlError    the query uses what the two engines answer differently
    ├── NotReadyError            logs have not arrived, or a label window is still open
    ├── RunningError             another process makes this output at this moment; tells who and since when
    ├── RawLogError              a raw log cannot be used
    │   ├── TruncatedFileError   a compressed file ends too early or is corrupt
    │   └── TooManyRejectsError  more lines were rejected than the set share
    ├── StorageError             the lake cannot be read or written
    │   ├── NotFoundError        no such key (also a FileNotFoundError)
    │   └── ConflictError        the key was written by somebody else meanwhile (also a FileExistsError)
    ├── WarehouseError           a table cannot be loaded, built or read
    │   └── PartitionError       rows lie outside the partition that they are written to
    ├── QualityError             rows are not as a check of level `fail` says, so nothing is built on them
    ├── TrainingError            the data do not allow a model to be fitted
    └── BundleError              an exported bundle is not whole or does not reproduce its golden rows
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from pathlib import Path


class DspError(Exception):
    """The root of the tree."""


class SettingsError(DspError):
    """A setting is missing or has a wrong value."""


class UnknownNameError(DspError):
    """Nothing has this name; the message lists what is near, or all there is."""

    def __init__(self, kind: str, name: str, known: Iterable[str]) -> None:
        names = sorted(one for one in known if one != name)  # of another kind, where it is among them
        near = difflib.get_close_matches(name, names, n=3, cutoff=0.5)
        if near:
            cure = f"did you mean {' or '.join(near)}?"
        elif names:
            cure = f"there are: {', '.join(names)}."
        else:
            cure = f"there is no {kind} yet."
        super().__init__(f"unknown {kind} {name!r}: {cure}")


class DefinitionError(DspError):
    """A file written by the team is wrong. `line` counts from 1; None when no single line is to blame."""

    def __init__(self, path: Path | str, line: int | None, problem: str) -> None:
        super().__init__(f"{path}{f':{line}' if line else ''}: {problem}")
        self.path, self.line, self.problem = str(path), line, problem


class SourceError(DefinitionError):
    """A raw log layout is described wrongly."""


class ExperimentError(DefinitionError):
    """An experiment is described wrongly."""


class ModelError(DefinitionError):
    """A model file lacks something or has a wrong value."""


class StepError(DefinitionError):
    """A step's function, or what it gives back, is not as its decorator and annotations say."""


class ExpectationError(DefinitionError):
    """What is expected of a table is written wrongly."""


class SqlError(DefinitionError):
    """A SQL file is wrong: header, syntax or shape."""


class UndeclaredTableError(SqlError):
    """A query names a table that its header does not declare."""


class NonPortableSqlError(SqlError):
    """A construct means something else, or nothing, on one of the two engines."""

    def __init__(self, path: Path | str, line: int | None, construct: str, use: str) -> None:
        super().__init__(path, line, f"{construct} is not portable; {use}")
        self.construct, self.use = construct, use


class NotReadyError(DspError):
    """The inputs are not there yet; nothing is wrong, it is too early."""


class RunningError(DspError):
    """Another process makes this output at this moment."""


class RawLogError(DspError):
    """A raw log cannot be used."""


class TruncatedFileError(RawLogError):
    """A compressed file ends too early or is corrupt."""


class TooManyRejectsError(RawLogError):
    """More lines were rejected than the set share."""


class StorageError(DspError):
    """The store cannot be read or written."""


class NotFoundError(StorageError, FileNotFoundError):
    """No such key."""


class ConflictError(StorageError, FileExistsError):
    """Somebody else wrote the key meanwhile; what they wrote stays."""


class WarehouseError(DspError):
    """A table cannot be loaded, built or read."""


class PartitionError(WarehouseError):
    """Rows lie outside the partition that they are written to."""


class QualityError(DspError):
    """Rows are not as a check of level `fail` says; what stands on them is not built."""


class TrainingError(DspError):
    """The data do not allow a model to be fitted."""


class BundleError(DspError):
    """A bundle is not whole, or does not reproduce its golden rows."""


def first_line(error: Exception) -> str:
    """What an engine's error says before it begins to explain."""
    return (str(error).splitlines() or [type(error).__name__])[0]
