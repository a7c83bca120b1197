"""A complete client of a bundle: onnxruntime and pyarrow, and nothing of dsp-pipeline.

    python score.py LAKE ENVIRONMENT MODEL ROWS.parquet

follows the pointer, holds every file against its checksum, scores the golden rows, and prints a probability for each
row. The rows hold the features' columns; a feature that they lack is looked up by the keys that they hold.
"""

import hashlib
import json
import sys
from pathlib import Path

import numpy as np  # which onnxruntime brings along
import onnxruntime
import pyarrow as pa
import pyarrow.parquet as pq

FORMAT = 2
MISSING_WORD = "\uffff"  # is in no vocabulary
TOLERANCE = 1e-6


class Bundle:
    """The bundle that the pointer of an environment names; SystemExit if it is not whole or scores otherwise."""

    def __init__(self, lake, environment, model):
        pointer = json.loads((lake / "serving" / environment / f"{model}.json").read_bytes())
        self.folder = lake / pointer["address"]
        self.check_files(pointer["manifest_sha256"])
        contract = json.loads((self.folder / "features.json").read_bytes())
        self.features, self.lookups = contract["features"], contract["lookups"]
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = 1  # one row is too little work for two threads
        path = str(self.folder / "model.onnx")
        self.session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
        self.check_golden()

    def check_files(self, manifest_sha256):
        manifest = (self.folder / "manifest.json").read_bytes()
        if hashlib.sha256(manifest).hexdigest() != manifest_sha256:
            sys.exit(f"{self.folder}: the manifest is not the one that was pointed at")
        if json.loads(manifest)["format"] != FORMAT:
            sys.exit(f"{self.folder}: the bundle is of another format than {FORMAT}")
        for name, entry in json.loads(manifest)["files"].items():
            data = (self.folder / name).read_bytes()
            if len(data) != entry["size"] or hashlib.sha256(data).hexdigest() != entry["sha256"]:
                sys.exit(f"{self.folder / name}: cut short or changed")

    def check_golden(self):
        golden = pq.read_table(self.folder / "golden.parquet")
        off = np.abs(self.score(golden) - golden["score"].to_numpy()).max()
        if not off <= TOLERANCE:
            sys.exit(f"{self.folder}: a golden row scores {off:.2g} away from what training gave")

    def score(self, rows):
        """The probability of each row of an Arrow table."""
        numbers, words = [], []
        for feature in self.features:
            column = rows[feature["name"]]
            if "words" in feature:
                words.append(column.cast(pa.string()).fill_null(MISSING_WORD).to_pylist())
            else:  # a number, or a whole code: by way of float64, as training does it
                numbers.append(column.cast(pa.float64(), safe=False).to_numpy())  # null becomes NaN
        inputs = {}
        if numbers:
            inputs["features"] = np.stack(numbers, axis=1).astype(np.float32)
        if words:
            inputs["words"] = np.array(words, dtype=object).T
        return self.session.run(["probability"], inputs)[0]

    def with_lookups(self, rows):
        """The rows with the features that they lack: by key, as of the day that the tables are for; null if unknown."""
        for lookup in self.lookups:
            table = pq.read_table(self.folder / lookup["file"])
            lacking = {feature["name"] for feature in self.features} - set(rows.column_names)
            found = sorted(lacking & set(table.column_names))
            if not found:
                continue
            keys = zip(*(table[name].to_pylist() for name in lookup["key"]), strict=True)
            places = {key: place for place, key in enumerate(keys)}  # a bidder keeps this in memory
            asked = zip(*(rows[name].to_pylist() for name in lookup["key"]), strict=True)
            at = pa.array([places.get(key) for key in asked], pa.int64())
            for name in found:
                rows = rows.append_column(name, table[name].take(at))
        return rows


def main():
    lake, environment, model, rows = sys.argv[1:]
    bundle = Bundle(Path(lake), environment, model)
    for probability in bundle.score(bundle.with_lookups(pq.read_table(rows))):
        print(f"{probability:.9g}")


if __name__ == "__main__":
    main()
