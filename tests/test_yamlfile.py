"""Reading the YAML files of teams."""

from __future__ import annotations

from pathlib import Path

import pytest

from dsp_pipeline.errors import ExperimentError
from dsp_pipeline.yamlfile import Block, read_yaml


def read(folder: Path, text: str | bytes) -> Block:
    path = folder / "a.yaml"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return read_yaml(path, ExperimentError)


def test_every_mapping_knows_the_lines_of_its_keys(tmp_path: Path) -> None:
    """Also within lists; comments and blank lines count."""
    block = read(tmp_path, "# first\n\na: 1\nb:\n  c: [1, x]\n  d:\n    - e: 5\n      f: 6\n")
    assert block == {"a": 1, "b": {"c": [1, "x"], "d": [{"e": 5, "f": 6}]}}
    assert block.lines == {"a": 3, "b": 4}
    assert block["b"].lines == {"c": 5, "d": 6}
    assert block["b"]["d"][0].lines == {"e": 7, "f": 8}
    assert str(block["b"].problem("wrong", "d")) == f"{tmp_path}/a.yaml:6: wrong"


@pytest.mark.parametrize(
    ("text", "line", "problem"),
    [
        ("", 1, "the file must hold `key: value` lines"),
        ("- a\n", 1, "the file must hold `key: value` lines"),
        ("a: 1\nb: 2\na: 3\n", 3, "`a` stands twice; it is on line 1 too"),
        ("a:\n  b: 1\n  b: 1\n", 3, "`b` stands twice; it is on line 2 too"),
        ("a: &x 1\nb: *x\n", None, "aliases (*name) are not allowed; write the value out"),
        ("a: &a [x]\nb: &b [*a, *a]\nc: &c [*b, *b]\nd: [*c, *c]\n", None, "aliases"),
        ("a: &a\n  b: *a\n", None, "aliases"),
        ("1: a\n", 1, "the key 1 is not a word; put it in quotes"),
        ("a: 1\nyes: a\n", 2, "the key True is not a word"),
        ("? [a]\n: 1\n", 1, "is not a word"),
        ("a: [1\nb: 2\n", 2, "not YAML"),
        ("a: 1\n b: 2\n", 2, "not YAML"),
        ("a: 1\n\tb: 2\n", 2, "not YAML"),
        ("a:\n\tb: 2\n", 2, "it is indented with a tab: write spaces"),
        ("a: 1\n---\nb: 2\n", 2, "not YAML"),
        ("a: !!python/object:os.system x\n", 1, "not YAML"),
        ("a: !!python/object/apply:os.system [x]\n", None, None),
        ("a: 2026-02-30\n", None, "not YAML: day is out of range for month"),
        ("a: !!int x\n", None, "not YAML"),
        ("<<: {a: 1}\n", 1, "not YAML"),
        (b"a: \xff\n", None, "not YAML"),
        (b"a: \x00\n", None, "not YAML"),
    ],
)
def test_what_is_no_mapping_of_words_is_refused(
    tmp_path: Path, text: str | bytes, line: int | None, problem: str | None
) -> None:
    """With the line where one is to blame; nothing in a file is ever run."""
    if problem is None:  # a tag on a list is passed over
        assert read(tmp_path, text) == {"a": ["x"]}
        return
    with pytest.raises(ExperimentError) as caught:
        read(tmp_path, text)
    assert problem in str(caught.value)
    assert caught.value.line == line


def test_a_file_nested_too_deeply_is_refused(tmp_path: Path) -> None:
    """However deep."""
    for depth in (600, 5_000):
        with pytest.raises(ExperimentError, match="nested too deeply"):
            read(tmp_path, "a: " + "[" * depth + "]" * depth + "\n")


def test_a_file_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    """Absent, or a folder."""
    with pytest.raises(ExperimentError, match=r"absent\.yaml: cannot be read: No such file"):
        read_yaml(tmp_path / "absent.yaml", ExperimentError)
    with pytest.raises(ExperimentError, match="cannot be read: Is a directory"):
        read_yaml(tmp_path, ExperimentError)


def test_values_are_asked_for_by_type(tmp_path: Path) -> None:
    """A wrong one is told with its line and with what it should be; a bool is no number."""
    block = read(tmp_path, "a: 1\nb: true\nc: x\n")
    assert block.need("a", int, "a number") == 1
    assert block.get_as("z", int, "a number", 7) == 7
    assert block.get_as("b", bool, "yes or no") is True
    for key, type_, message in (("b", int, "`b` is True; it is a number."), ("c", int, "`c` is 'x'; it is a number.")):
        with pytest.raises(ExperimentError) as caught:
            block.need(key, type_, "a number")
        assert caught.value.problem == message
        assert caught.value.line == block.lines[key]
    with pytest.raises(ExperimentError, match="`z` is missing; it is a number"):
        block.need("z", int, "a number")


def test_an_unknown_key_names_the_near_ones(tmp_path: Path) -> None:
    """The first that is not allowed."""
    with pytest.raises(ExperimentError, match=r":2: unknown key 'modle': did you mean model\?"):
        read(tmp_path, "arms: 1\nmodle: x\n").allow(("model", "arms"))
