"""A bundle: a folder with everything that a scorer needs to trust and run a model.

    model.ubj        the trees, in XGBoost's own format
    features.json    the contract: label, table and its version, the features in order with type and missing value
    metrics.json     how good it was on the held-out day
    lineage.json     what it was made from
    golden.parquet   held-out rows with their `score`, which the model must give again
    manifest.json    what this is, and size and SHA-256 of each file; written last

No pickle: loading a bundle executes nothing that is in it.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dsp_pipeline.errors import BundleError
from dsp_pipeline.registry.manifest import (
    FEATURES,
    FILES,
    GOLDEN,
    LINEAGE,
    MANIFEST,
    METRICS,
    MODEL,
    Entry,
    Identity,
    Manifest,
    dump_json,
    entry_of,
    load_json,
)

if TYPE_CHECKING:
    import numpy as np
    import pyarrow as pa
    from numpy.typing import NDArray

    from dsp_pipeline.registry.scorer import Scorer

TOLERANCE = 1e-6
_AGAIN = "export the model again"


@dataclass(frozen=True)
class Bundle:
    """A bundle that was found whole and that scores as it did when it was made."""

    folder: Path
    manifest: Manifest
    features: Mapping[str, Any]
    metrics: Mapping[str, Any]
    lineage: Mapping[str, Any]
    _scorer: Scorer

    def score(self, rows: pa.RecordBatch | pa.Table) -> NDArray[np.float32]:
        """The probability of each row, shape (rows,). Columns that are no features are ignored.

        BundleError if a feature's column is missing or not of the type that the contract says.
        """
        return self._scorer.score(rows)


def write_bundle(
    folder: Path,
    identity: Identity,
    *,
    model: bytes,
    features: Mapping[str, Any],
    metrics: Mapping[str, Any],
    lineage: Mapping[str, Any],
    golden: pa.Table,
) -> Manifest:
    """Write the files into an empty or new folder, the manifest last; equal contents give equal bytes.

    `golden` holds the features' columns and `score`. BundleError if the folder holds something.
    """
    import pyarrow.parquet as pq

    folder.mkdir(parents=True, exist_ok=True)
    if any(folder.iterdir()):
        raise BundleError(f"{folder} is not empty; write a bundle into a new folder.")
    if not golden.num_rows or "score" not in golden.column_names:
        raise BundleError("a bundle needs golden rows with their `score`; give some held-out rows.")
    (folder / MODEL).write_bytes(model)
    for name, value in ((FEATURES, features), (METRICS, metrics), (LINEAGE, lineage)):
        (folder / name).write_bytes(dump_json(value))
    pq.write_table(golden.replace_schema_metadata(None), folder / GOLDEN, compression="zstd")
    manifest = Manifest(identity, {name: entry_of(folder / name) for name in FILES})
    (folder / MANIFEST).write_bytes(manifest.to_json())
    return manifest


def verify_bundle(folder: Path, manifest_sha256: str | None = None) -> Manifest:
    """The manifest of a bundle whose files all have the size and SHA-256 that it says; nothing else is parsed.

    With `manifest_sha256`, as a pointer has it, the manifest itself is held against that first.
    BundleError, naming the file, if one is missing, cut short or changed.
    """
    path = folder / MANIFEST
    try:
        text = path.read_bytes()
    except FileNotFoundError:
        raise BundleError(f"{path} is missing, so the bundle was not finished; {_AGAIN}.") from None
    if manifest_sha256 is not None and hashlib.sha256(text).hexdigest() != manifest_sha256:
        raise BundleError(f"{path} is not the manifest that was pointed at; fetch the bundle again.")
    manifest = Manifest.from_json(text, str(path))
    for name, entry in manifest.files.items():
        _check(folder / name, entry)
    return manifest


def load_bundle(folder: Path, manifest_sha256: str | None = None) -> Bundle:
    """The bundle, after `verify_bundle` and after its golden rows scored as written, to 1e-6.

    BundleError if not; the file and the cure are named.
    """
    manifest = verify_bundle(folder, manifest_sha256)
    features, metrics, lineage = (
        load_json((folder / name).read_bytes(), str(folder / name)) for name in (FEATURES, METRICS, LINEAGE)
    )
    from dsp_pipeline.registry.scorer import Scorer

    scorer = Scorer((folder / MODEL).read_bytes(), features, str(folder))
    _check_golden(folder / GOLDEN, scorer)
    return Bundle(folder, manifest, features, metrics, lineage, scorer)


def _check(path: Path, entry: Entry) -> None:
    try:
        found = entry_of(path)
    except FileNotFoundError:
        raise BundleError(f"{path} is missing; fetch the bundle again, or {_AGAIN}.") from None
    if found.size != entry.size:
        raise BundleError(
            f"{path} has {found.size} bytes and its manifest says {entry.size}; fetch the bundle again, or {_AGAIN}."
        )
    if found.sha256 != entry.sha256:
        raise BundleError(
            f"{path} was changed: its SHA-256 is not the manifest's; fetch the bundle again, or {_AGAIN}."
        )


def _check_golden(path: Path, scorer: Scorer) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        golden = pq.read_table(path)
    except (pa.ArrowInvalid, OSError) as error:
        raise BundleError(f"{path} is not Parquet ({error}); {_AGAIN}.") from error
    if not golden.num_rows or "score" not in golden.column_names:
        raise BundleError(f"{path} holds no rows with a `score`; {_AGAIN}.")
    off = float(abs(scorer.score(golden) - golden["score"].to_numpy()).max())
    if not off <= TOLERANCE:
        raise BundleError(
            f"{path}: a golden row scores {off:.2g} away from what was written; use the XGBoost version that trained "
            f"it, or {_AGAIN}."
        )
