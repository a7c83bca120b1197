"""forest.bin: NumPy and C score it as XGBoost scores the model, and what was harmed is refused by both."""

from __future__ import annotations

import subprocess
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from dsp_pipeline.errors import BundleError
from dsp_pipeline.registry import flat_layout as layout
from dsp_pipeline.registry.flat import write_flat
from dsp_pipeline.registry.flat_forest import FlatForest
from dsp_pipeline.registry.forest import Forest, Tree, read_forest

from .compiler import SANITIZED, compiled, compiles_as_cpp, needs_compiler, needs_cpp, sanitizers_run
from .forests import GROWN, ISOTONIC, NAMES, NONE, PLATT, WORDS, make_contract, trained

DRIVER = Path(__file__).with_name("forest_in_c.c")
SCORES = np.dtype([("margin", "<f4"), ("single", "<f8"), ("batch", "<f8")])


def flat(grown: str = "depthwise", calibration: dict[str, Any] = PLATT) -> bytes:
    return write_flat(read_forest(trained(grown).model), make_contract(calibration))


def mended(data: bytes) -> bytes:
    """The same with a right checksum, so that only the contents can be refused."""
    checksum = zlib.crc32(data[layout.CHECKED_FROM :])
    return data[:12] + checksum.to_bytes(4, "little") + data[16:]


def changed(data: bytes, name: str, value: Any) -> bytes:
    """With another value in the header, and a right checksum."""
    header = np.frombuffer(data[:128], dtype=layout.HEADER).copy()
    header[name] = value
    return mended(header.tobytes() + data[128:])


@pytest.fixture(scope="module")
def program(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The C driver, with the sanitizers if they are here."""
    folder = tmp_path_factory.mktemp("forest")
    return compiled(DRIVER, folder / "forest", *(SANITIZED if sanitizers_run(folder) else ()))


def in_c(program: Path, folder: Path, data: bytes, rows: NDArray[np.float32]) -> NDArray[np.void]:
    """Margin and scores of each row as C gives them."""
    (folder / "forest.bin").write_bytes(data)
    (folder / "rows").write_bytes(rows.astype("<f4").tobytes())
    done = subprocess.run(
        [str(program), "score", str(folder / "forest.bin"), str(folder / "rows")], capture_output=True, check=True
    )
    return np.frombuffer(done.stdout, dtype=SCORES)


@pytest.mark.parametrize("grown", GROWN)
def test_numpy_gives_xgboosts_margins_to_the_bit(grown: str) -> None:
    """Whatever the trees: deep and thin, of categories, or of nothing but a leaf."""
    one = trained(grown)
    found = FlatForest.read(flat(grown))
    assert found.names == NAMES
    assert np.array_equal(found.margins(one.matrix), one.margins)
    assert found.margins(one.matrix[:0]).shape == (0,)


@needs_compiler
@pytest.mark.parametrize("grown", GROWN)
def test_c_gives_xgboosts_margins_to_the_bit(grown: str, program: Path, tmp_path: Path) -> None:
    """Row by row and in one batch, whose last block is not full."""
    one = trained(grown)
    rows = one.matrix[:597]
    found = in_c(program, tmp_path, flat(grown), rows)
    assert np.array_equal(found["margin"], one.margins[:597])
    assert np.array_equal(found["single"], found["batch"])


@needs_compiler
@pytest.mark.parametrize("calibration", [NONE, PLATT, ISOTONIC, {**ISOTONIC, "margins": [0.1], "probabilities": [0.3]}])
def test_c_and_numpy_calibrate_alike(calibration: dict[str, Any], program: Path, tmp_path: Path) -> None:
    """None, Platt, isotonic, and an isotonic curve of one knot; down to the smallest probabilities."""
    one = trained()
    data = flat(calibration=calibration)
    expected = FlatForest.read(data).score(one.matrix)
    assert np.allclose(in_c(program, tmp_path, data, one.matrix)["single"], expected, rtol=1e-13, atol=0)


@pytest.mark.parametrize("calibration", [NONE, PLATT, ISOTONIC])
def test_a_score_is_the_calibrated_margin(calibration: dict[str, Any]) -> None:
    """By the formulas of the page, in float64."""
    one = trained()
    shifted = one.margins.astype(np.float64) + calibration["offset"]
    if calibration is ISOTONIC:
        expected = np.interp(shifted, calibration["margins"], calibration["probabilities"])
    else:
        expected = 1 / (1 + np.exp(-(calibration.get("slope", 1) * shifted + calibration.get("intercept", 0))))
    assert np.array_equal(FlatForest.read(flat(calibration=calibration)).score(one.matrix), expected)


def wide(features: int, trees: int = 3) -> Forest:
    """A forest over many numbers, each tree a split of one of them."""
    grown = [
        Tree(
            left=np.asarray([1, -1, -1], dtype=np.int32),
            right=np.asarray([2, -1, -1], dtype=np.int32),
            feature=np.asarray([(place * 7 + features - 1) % features, 0, 0], dtype=np.int32),
            threshold=np.asarray([0.25, -1.5 + place, 0.0], dtype=np.float32),
            default_left=np.asarray([place % 2 == 0, False, False]),
            codes={},
        )
        for place in range(trees)
    ]
    return Forest(np.float32(-2), tuple(f"f{n}" for n in range(features)), (False,) * features, tuple(grown))


def wide_contract(features: int) -> dict[str, Any]:
    return {"features": [{"name": f"f{n}", "type": "number"} for n in range(features)], "calibration": NONE}


@needs_compiler
@pytest.mark.parametrize("features", [1, 500, 520, 8000])
def test_forests_with_many_features_score_alike(features: int, program: Path, tmp_path: Path) -> None:
    """C has room for the slots of 64, of 16 or of one row at a time."""
    forest = wide(features, 40)
    rows = np.random.default_rng(1).normal(size=(21, features)).astype(np.float32)
    rows[::3] = np.nan
    expected = forest.margins(rows)
    data = write_flat(forest, wide_contract(features))
    assert np.array_equal(FlatForest.read(data).margins(rows), expected)
    found = in_c(program, tmp_path, data, rows)
    assert np.array_equal(found["margin"], expected)
    assert np.array_equal(found["single"], found["batch"])


def test_a_forest_that_does_not_fit_is_refused() -> None:
    """More slots than a scorer's stack should hold; a tree so wide that a step does not reach its leaves."""
    with pytest.raises(BundleError, match=r"16,385 slots .* grow fewer trees"):
        write_flat(wide(8192), wide_contract(8192))
    inner = np.arange(2**17 - 1, dtype=np.int32)
    leaves = np.full(2**17, -1, dtype=np.int32)
    size = len(inner) + len(leaves)
    nothing = np.zeros(size, dtype=np.int32)
    tree = Tree(
        left=np.append(2 * inner + 1, leaves),
        right=np.append(2 * inner + 2, leaves),
        feature=nothing,
        threshold=nothing.astype(np.float32),
        default_left=nothing.astype(np.bool_),
        codes={},
    )
    with pytest.raises(BundleError, match=r"262,143 nodes.* max_leaves"):
        write_flat(Forest(np.float32(0), ("f0",), (False,), (tree,)), wide_contract(1))


def test_keys_have_the_order_of_their_values() -> None:
    """From -infinity to infinity, with 0 and -0 alike, and none of them as a missing value is written."""
    tiny = np.float32(1e-45)
    values = np.asarray([-np.inf, -3.5, -tiny, -0.0, 0.0, tiny, 1e-30, 3.5, np.inf], dtype=np.float32)
    keys = layout.ordered(values).astype(np.int64)
    assert np.array_equal(np.sign(np.diff(keys)), np.sign(np.diff(values)))
    assert 0 < keys.min() < keys.max() < 0xFFFFFFFF


def test_the_same_forest_gives_the_same_bytes() -> None:
    """Nothing in them tells when or where they were written."""
    assert flat() == flat()


def test_a_contract_that_is_not_the_models_is_refused() -> None:
    """Other names, another type, no calibration, a calibration that cannot be."""
    forest = read_forest(trained().model)
    contract = make_contract()
    renamed = [{**one, "name": one["name"].replace("hour", "day")} for one in contract["features"]]
    retyped = [{**one, "type": "number"} for one in contract["features"]]
    for wrong, told in (
        ({**contract, "features": renamed}, "name other features"),
        ({**contract, "features": retyped}, "device_code is a number"),
        ({**contract, "features": None}, "is no contract"),
        ({**contract, "calibration": {}}, "no calibration"),
        (make_contract({"kind": "beta", "offset": 0.0}), "'beta'"),
        (make_contract({**PLATT, "slope": float("nan")}), "not finite"),
        (make_contract({**ISOTONIC, "margins": [1.0] * 6}), "do not rise"),
        (make_contract({**ISOTONIC, "margins": [1.0]}), "1 margins for 6 probabilities"),
    ):
        with pytest.raises(BundleError, match=told):
            write_flat(forest, wrong)


@needs_compiler
def test_c_knows_the_features_and_the_codes_of_words(program: Path, tmp_path: Path) -> None:
    """So that a bidder can check its columns, and needs no JSON to encode a row."""
    path = tmp_path / "forest.bin"
    path.write_bytes(flat())
    told = subprocess.run([str(program), "features", str(path)], capture_output=True, check=True, text=True).stdout
    assert told.splitlines() == [f"{kind} {name}" for kind, name in zip((0, 0, 1, 1, 2), NAMES, strict=True)]
    asked = [*WORDS, "ad", "adxx", "never seen"]
    given = "".join(f"{word}\n" for word in asked)
    found = subprocess.run(
        [str(program), "codes", str(path), "4"], input=given.encode(), capture_output=True, check=True
    ).stdout.split()
    assert [float(code) for code in found[: len(WORDS)]] == list(range(len(WORDS)))
    assert np.isnan([float(code) for code in found[len(WORDS) :]]).all()


@needs_cpp
def test_the_header_is_cpp_too(tmp_path: Path) -> None:
    """Many bidders are written in C++."""
    source = tmp_path / "bidder.cpp"
    source.write_text('#include "dsp_forest.h"\n#include "dsp_forest.h"\nint main() { return 0; }\n')
    compiles_as_cpp(source)


def test_a_block_that_was_harmed_is_refused_by_numpy() -> None:
    """Cut short, lengthened, one bit changed anywhere, or of another version: the file is named with the cure."""
    data = flat("stumps")
    for size in (0, 7, 127, 128, len(data) - 1):
        with pytest.raises(BundleError, match=r"^x/forest\.bin has \d+ bytes.* fetch the bundle again"):
            FlatForest.read(data[:size], "x/forest.bin")
    with pytest.raises(BundleError, match=r"has \d+ bytes and says"):
        FlatForest.read(data + b"\0")
    for at in range(0, len(data), 5):
        with pytest.raises(BundleError):
            FlatForest.read(data[:at] + bytes([data[at] ^ 1]) + data[at + 1 :])
    with pytest.raises(BundleError, match="is of version 2 and this reads 1"):
        FlatForest.read(changed(data, "version", 2))


@pytest.mark.parametrize(
    ("name", "value", "told"),
    [
        ("node_at", 2**31, "node_at"),
        ("node_at", 8, "node_at"),
        ("nodes", 2**32 - 1, "node_at"),
        ("groups", 2**32 - 1, "root_at"),
        ("knots", 2**31, "knot_at"),
        ("slots", 2**31, "slots"),
        ("slots", 3, "points outside"),
        ("rows", 0, "points outside"),
        ("words", 1, "points outside"),
        ("text", 0, "points outside"),
        ("trees", 10**6, "more trees"),
        ("nodes", 3, "not lie one after another"),
        ("calibration", 9, "calibrated"),
        ("calibration", 2, "0 margins"),
        ("offset", np.nan, "not finite"),
        ("base_margin", np.inf, "not finite"),
    ],
)
def test_a_header_that_lies_is_refused(name: str, value: Any, told: str) -> None:
    """Although its checksum is right."""
    with pytest.raises(BundleError, match=told):
        FlatForest.read(changed(flat(), name, value))


@needs_compiler
def test_trees_that_go_on_behind_the_last_node_are_refused(program: Path, tmp_path: Path) -> None:
    """Each of the last nodes of the block is a test whose children would lie behind its end."""
    data = bytearray(flat("stumps"))
    nodes = np.zeros(8, dtype=layout.NODE)
    nodes["key"], nodes["slot"], nodes["step"] = 1, 1, np.arange(1, 9)
    data[-nodes.nbytes :] = nodes.tobytes()
    header = np.frombuffer(bytes(data[:128]), dtype=layout.HEADER).copy()
    header["node_at"], header["nodes"] = len(data) - nodes.nbytes, len(nodes)
    hostile = mended(header.tobytes() + bytes(data[128:]))
    with pytest.raises(BundleError, match="lie one after another"):
        FlatForest.read(hostile)
    (tmp_path / "hostile").write_bytes(hostile)
    command = [str(program), "verdicts", str(tmp_path / "hostile"), str(len(hostile))]
    assert subprocess.run(command, capture_output=True, check=True).stdout.split() == [b"7"]


@needs_compiler
def test_no_hostile_block_makes_c_read_outside_of_it(program: Path, tmp_path: Path) -> None:
    """Thousands of blocks with changed bytes and a right checksum; those that are accepted are scored.

    The sanitizers end the program at the first byte read outside of what was allocated.
    """
    for grown in ("depthwise", "stumps"):
        (tmp_path / "forest.bin").write_bytes(flat(grown, ISOTONIC))
        (tmp_path / "rows").write_bytes(trained().matrix.tobytes())
        command = [str(program), "hostile", str(tmp_path / "forest.bin"), str(tmp_path / "rows"), "3000"]
        done = subprocess.run(command, capture_output=True, check=False, text=True)
        assert done.returncode == 0, done.stderr[:2000]
        accepted = int(done.stdout.split()[0])
        assert 100 < accepted < 2000
    done = subprocess.run([str(program), "cut", str(tmp_path / "forest.bin")], capture_output=True, check=False)
    assert done.returncode == 0, done.stderr[:2000]


@needs_compiler
def test_numpy_refuses_what_c_refuses(program: Path, tmp_path: Path) -> None:
    """1,500 blocks with a changed value: two loaders would not agree on a bundle otherwise."""
    random = np.random.default_rng(2)
    good = flat("stumps", ISOTONIC)
    many = []
    for _ in range(1500):
        words = np.frombuffer(good, dtype="<u4").copy()
        at = random.integers(4, len(words))
        words[at] = random.choice([0, 1, int(words[at]) + 1, int(words[at]) ^ 0x8000, 2**31, 2**32 - 1]) % 2**32
        many.append(mended(words.tobytes()))
    path = tmp_path / "many"
    path.write_bytes(b"".join(many))
    command = [str(program), "verdicts", str(path), str(len(good))]
    verdicts = subprocess.run(command, capture_output=True, check=True).stdout.split()
    accepted = 0
    for data, verdict in zip(many, verdicts, strict=True):
        try:
            found = FlatForest.read(data)
        except BundleError:
            assert verdict != b"0"
        else:
            assert verdict == b"0"
            found.score(trained().matrix[:3])
            accepted += 1
    assert 100 < accepted < 1400


def test_the_page_describes_the_bytes_as_they_are() -> None:
    """Offsets, fields and types of docs/bundle.md are those that are written."""
    page = (Path(__file__).parents[2] / "docs" / "bundle.md").read_text()
    types = {"|S8": "8 bytes", "<u2": "u16", "<u4": "u32", "<u8": "u64", "<f4": "f32", "<f8": "f64"}
    for record in (layout.HEADER, layout.NODE):
        for name, (kind, at) in ((name, record.fields[name][:2]) for name in record.names or ()):
            assert f"| {at} | {name} | {types[kind.str]} |" in page
    assert f"feature records lie, {layout.FEATURE.itemsize} bytes each" in page
    assert f"word records, {layout.WORD_ENTRY.itemsize} bytes each" in page
    table = page[page.index("| at | feature record") : page.index("| at | node |")].splitlines()[2:]
    listed = {}
    for ats, names in (line.split("|")[1:3] for line in table if line):
        listed.update(zip(names.replace(" ", "").split(","), map(int, ats.split(",")), strict=True))
    assert listed == {name: layout.FEATURE.fields[name][1] for name in layout.FEATURE.names or ()}
