"""What only a folder can get wrong."""

from __future__ import annotations

from pathlib import Path

import pytest

from dsp_pipeline.errors import ConflictError, StorageError
from dsp_pipeline.storage.local import LocalFolder


def test_a_folder_that_cannot_be_written_is_named_with_the_cure(tmp_path: Path) -> None:
    """A file stands in the place of the folder, which stops root too."""
    (tmp_path / "lake").write_text("")
    with pytest.raises(StorageError) as caught:
        LocalFolder(tmp_path / "lake").put("a/b", b"")
    assert str(caught.value) == (
        f"{tmp_path}/lake/a/b cannot be written: Not a directory; give [dsp] lake a folder that you may write."
    )


@pytest.mark.parametrize("conditions", [{}, {"if_absent": True}, {"if_match": "x"}], ids=str)
def test_nothing_stays_aside_after_a_failure(tmp_path: Path, conditions: dict[str, object]) -> None:
    """Whether the target, the source or the condition was wrong."""
    store = LocalFolder(tmp_path / "lake")
    store.put("file", b"")
    for key, data in (("file/below", b"x"), ("new", tmp_path / "absent")):
        with pytest.raises(StorageError):
            store.put(key, data, **conditions)  # type: ignore[arg-type]
    if conditions:
        with pytest.raises(ConflictError):
            store.put("file", b"x", **conditions)  # type: ignore[arg-type]
    assert {path.name for path in (tmp_path / "lake" / ".aside").iterdir()} <= {"lock"}


def test_files_that_begin_with_a_dot_are_not_objects(tmp_path: Path) -> None:
    """Leftovers of killed writers, .DS_Store and the like do not show."""
    store = LocalFolder(tmp_path)
    store.put("a/b", b"")
    (tmp_path / "a" / ".DS_Store").write_text("")
    (tmp_path / ".aside" / "leftover").write_text("")
    assert [stored.key for stored in store.list("")] == ["a/b"]


def test_an_object_may_be_read_by_other_users(tmp_path: Path) -> None:
    """Its mode is that of a new file: bidders do not run as the pipeline does."""
    store = LocalFolder(tmp_path)
    store.put("k", b"")
    (tmp_path / "plain").write_text("")
    assert (tmp_path / "k").stat().st_mode == (tmp_path / "plain").stat().st_mode


def test_its_repr_tells_the_folder(tmp_path: Path) -> None:
    """For logs."""
    assert repr(LocalFolder(tmp_path)) == f"LocalFolder({str(tmp_path)!r})"
