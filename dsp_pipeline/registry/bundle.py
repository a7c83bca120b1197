"""A bundle: a folder with everything that a bidder needs to trust and run a model.

    model.ubj               the trees, in XGBoost's own format
    model.onnx              the whole way from features to probability, for any language with ONNX Runtime
    forest.bin              the same as a flat forest, for bidders that count microseconds
    dsp_forest.h            which scores it, in C
    features.json           the contract: features in order with type, words and missing value, calibration, lookups
    <table>.lookup.parquet  what the bidder must know of campaigns, users …, as of the day after the held-out one
    metrics.json            how good it was on the held-out day, and what it learned from
    card.html               the same, to be read
    lineage.json            what it was made from
    golden.parquet          held-out rows with their `score`, which each format must give again
    manifest.json           what this is, and size and SHA-256 of each file; written last

No pickle: loading a bundle executes nothing that is in it.
"""

from __future__ import annotations

import hashlib
import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

from dsp_pipeline.errors import BundleError
from dsp_pipeline.registry.manifest import (
    CARD,
    FEATURES,
    FILES,
    FOREST,
    GOLDEN,
    HEADER,
    LINEAGE,
    LOOKUP,
    MANIFEST,
    METRICS,
    MODEL,
    ONNX,
    Entry,
    Identity,
    Manifest,
    dump_json,
    entry_of,
    load_json,
    read_small,
)

if TYPE_CHECKING:
    import numpy as np
    import pyarrow as pa
    from numpy.typing import NDArray

    from dsp_pipeline.registry.scorer import Scorer

TOLERANCE = 1e-6  # of a probability
_AGAIN = "export the model again"


@dataclass(frozen=True)
class Lookup:
    """A table that a bidder loads beside the model: `key` names its rows, and `day` is the day that they are for."""

    table: str
    key: tuple[str, ...]
    columns: tuple[str, ...]
    day: str
    batches: Callable[[], Iterator[pa.RecordBatch]]

    @property
    def file(self) -> str:
        return f"{self.table}{LOOKUP}"


@dataclass(frozen=True)
class Bundle:
    """A bundle that was found whole and that scores as it did when it was made."""

    folder: Path
    manifest: Manifest
    features: Mapping[str, Any]
    metrics: Mapping[str, Any]
    lineage: Mapping[str, Any]
    golden: pa.Table
    scorer: Scorer

    def score(self, rows: pa.RecordBatch | pa.Table) -> NDArray[np.float64]:
        """The probability of each row, shape (rows,). Columns that are no features are ignored.

        BundleError if a feature's column is missing or not of the type that the contract says.
        """
        return self.scorer.score(rows)


def write_bundle(
    folder: Path,
    identity: Identity,
    trained: Callable[[str], BinaryIO],
    *,
    lineage: Mapping[str, Any],
    lookups: Sequence[Lookup] = (),
) -> Manifest:
    """Write the files into an empty or new folder, the manifest last; equal contents give equal bytes.

    `trained` opens what training made: model.ubj, features.json (without lookups), metrics.json, golden.parquet (the
    features' columns and `score`) and card.html. BundleError if the folder holds something, or if the model cannot be
    written in one of the formats.
    """
    from dsp_pipeline.registry.flat import write_flat
    from dsp_pipeline.registry.forest import read_forest
    from dsp_pipeline.registry.onnx_model import write_onnx

    folder.mkdir(parents=True, exist_ok=True)
    if any(folder.iterdir()):
        raise BundleError(f"{folder} is not empty; write a bundle into a new folder.")
    for name in (MODEL, METRICS, GOLDEN, CARD):
        with trained(name) as stream, (folder / name).open("wb") as out:
            shutil.copyfileobj(stream, out, 1 << 20)
    with trained(FEATURES) as stream:
        contract = load_json(stream.read(), FEATURES)
    contract["lookups"] = [_write_lookup(folder, one) for one in lookups]
    (folder / FEATURES).write_bytes(dump_json(contract))
    (folder / LINEAGE).write_bytes(dump_json(lineage))
    model = (folder / MODEL).read_bytes()
    (folder / ONNX).write_bytes(write_onnx(model, contract))
    (folder / FOREST).write_bytes(write_flat(read_forest(model), contract))
    shutil.copyfile(Path(__file__).with_name(HEADER), folder / HEADER)
    names = [*FILES, *(lookup.file for lookup in lookups)]
    manifest = Manifest(identity, {name: entry_of(folder / name) for name in sorted(names)})
    (folder / MANIFEST).write_bytes(manifest.to_json())
    return manifest


def _write_lookup(folder: Path, lookup: Lookup) -> dict[str, Any]:
    """Write the rows and return what the contract says of them. Of no rows the columns are there, without types."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    writer: pq.ParquetWriter | None = None
    rows = 0
    for batch in lookup.batches():
        if writer is None:
            writer = pq.ParquetWriter(folder / lookup.file, batch.schema, compression="zstd")
        writer.write_batch(batch)
        rows += batch.num_rows
    if writer is None:
        pq.write_table(pa.table({name: pa.nulls(0) for name in lookup.columns}), folder / lookup.file)
    else:
        writer.close()
    return {
        "table": lookup.table,
        "file": lookup.file,
        "key": list(lookup.key),
        "date": lookup.day,
        "rows": rows,
    }


def verify_bundle(folder: Path, manifest_sha256: str | None = None) -> Manifest:
    """The manifest of a bundle whose files all have the size and SHA-256 that it says; nothing else is parsed.

    With `manifest_sha256`, as a pointer has it, the manifest itself is held against that first.
    BundleError, naming the file, if one is missing, cut short or changed.
    """
    manifest = read_manifest_file(folder, manifest_sha256)
    for name, entry in manifest.files.items():
        _check(folder / name, entry)
    return manifest


def read_manifest_file(folder: Path, manifest_sha256: str | None = None) -> Manifest:
    """The manifest alone, held against its SHA-256 before it is parsed if that is given. BundleError if it is wrong."""
    path = folder / MANIFEST
    try:
        with path.open("rb") as stream:
            text = read_small(stream, str(path))
    except FileNotFoundError:
        raise BundleError(f"{path} is missing, so the bundle was not finished; {_AGAIN}.") from None
    if manifest_sha256 is not None and hashlib.sha256(text).hexdigest() != manifest_sha256:
        raise BundleError(f"{path} is not the manifest that was pointed at; fetch the bundle again.")
    return Manifest.from_json(text, str(path))


def load_bundle(folder: Path, manifest_sha256: str | None = None) -> Bundle:
    """The bundle, after `verify_bundle` and after XGBoost scored its golden rows as written, to 1e-6.

    BundleError if not; the file and the cure are named.
    """
    manifest = verify_bundle(folder, manifest_sha256)
    features, metrics, lineage = (
        load_json((folder / name).read_bytes(), str(folder / name)) for name in (FEATURES, METRICS, LINEAGE)
    )
    from dsp_pipeline.registry.scorer import Scorer

    scorer = Scorer((folder / MODEL).read_bytes(), features, str(folder))
    golden = _golden(folder / GOLDEN, scorer)
    return Bundle(folder, manifest, features, metrics, lineage, golden, scorer)


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


def _golden(path: Path, scorer: Scorer) -> pa.Table:
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
    return golden
