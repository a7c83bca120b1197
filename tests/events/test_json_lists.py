"""JSON lines: lists, and lists that go in pairs. None comes out with an absent item."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.events.factories import raw_line
from tests.events.test_json import decode, only

PAIRS = {"segments": "{from: pairs, each: 0}", "segment_weights": "{from: pairs, each: 1}"}


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (["a", "b"], ["a", "b"]),
        ([], []),
        (None, []),
        ([1, 2.5, True], ["1", "2.5", "true"]),
        (["a", None, "b"], ["a", "b"]),
        ([None], []),
        (["", "é🎉"], ["", "é🎉"]),
        ("a", "wrong_type:segments"),
        (3, "wrong_type:segments"),
        ({"a": 1}, "wrong_type:segments"),
    ],
)
def test_a_list_of_texts(tmp_path: Path, value: Any, expected: Any) -> None:
    """Absent is empty, and an absent item is left out; a scalar or an object is no list."""
    found = only(decode(tmp_path, raw_line(user={"tags": value})))
    assert (found if isinstance(found, str) else found["segments"]) == expected


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ([1, 2.5, "3"], [1.0, 2.5, 3.0]),
        ([1, None, 2], []),
        ([1, ""], []),
        ([], []),
        (None, []),
        ([1, "x"], "wrong_type:affinities"),
        (["nan"], "wrong_type:affinities"),
        ([True], "wrong_type:affinities"),
        ([[1]], "wrong_type:affinities"),
        ([{}], "wrong_type:affinities"),
        ("1", "wrong_type:affinities"),
        (1, "wrong_type:affinities"),
    ],
)
def test_a_list_of_floats(tmp_path: Path, value: Any, expected: Any) -> None:
    """Places count, so a list with an absent item is left empty; an item that is no number is a wrong type."""
    found = only(decode(tmp_path, raw_line(w=value), affinities="w"))
    assert (found if isinstance(found, str) else found["affinities"]) == expected


def test_pairs_are_taken_apart(tmp_path: Path) -> None:
    """`each` takes the members of all pairs."""
    found = only(decode(tmp_path, raw_line(pairs=[["a", 0.5], ["c", 2], [7, "1.5"]]), **PAIRS))
    assert (found["segments"], found["segment_weights"]) == (["a", "c", "7"], [0.5, 2.0, 1.5])
    assert only(decode(tmp_path, raw_line(pairs=[["a", "x"]]), **PAIRS)) == "wrong_type:segment_weights"
    assert only(decode(tmp_path, raw_line(pairs="a"), **PAIRS)) == "wrong_type:segments"


@pytest.mark.parametrize(
    ("pairs", "segments", "weights"),
    [
        ([["a", 0.5], [None, 2], ["c", 3]], ["a", "c"], [0.5, 3.0]),
        ([[None, None], ["c", 3], []], ["c"], [3.0]),
        ([["a", 0.5], "b"], ["a", "b"], []),
        ([["a", 0.5], ["b"]], ["a", "b"], []),
        ([["a", 0.5], ["b", None]], ["a", "b"], []),
        ([["a", 0.5], None], ["a"], [0.5]),
        ([[None, 1]], [], []),
        ([], [], []),
        (None, [], []),
    ],
)
def test_segments_and_weights_stay_in_step(tmp_path: Path, pairs: Any, segments: Any, weights: Any) -> None:
    """A segment without a name goes with its weight; when a weight is absent none is known."""
    found = only(decode(tmp_path, raw_line(pairs=pairs), **PAIRS))
    assert (found["segments"], found["segment_weights"]) == (segments, weights)


@pytest.mark.parametrize(
    ("tags", "weights", "expected"),
    [
        (["a", None, "c"], [1, 2, 3], (["a", "c"], [1.0, 3.0])),
        (["a", "b"], [1], (["a", "b"], [])),
        (["a"], [1, 2], (["a"], [])),
        (["a"], None, (["a"], [])),
        (None, [1], ([], [])),
    ],
)
def test_weights_of_another_field_are_in_step_too(tmp_path: Path, tags: Any, weights: Any, expected: Any) -> None:
    """Names and weights may be two lists; of two lengths nobody knows what belongs together."""
    found = only(decode(tmp_path, raw_line(user={"tags": tags}, w=weights), segment_weights="w"))
    assert (found["segments"], found["segment_weights"]) == expected


def test_a_list_where_text_is_split_is_wrong(tmp_path: Path) -> None:
    """`split` is for text; JSON's own signs are not taken for items."""
    rule = {"segments": '{from: tags, split: ","}'}
    assert only(decode(tmp_path, raw_line(tags="a,b"), **rule))["segments"] == ["a", "b"]
    assert only(decode(tmp_path, raw_line(tags=["a", "b"]), **rule)) == "wrong_type:segments"
