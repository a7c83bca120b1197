"""What features.json says of the columns that trees take, held against the trees that take them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from dsp_pipeline.errors import BundleError

if TYPE_CHECKING:
    from dsp_pipeline.registry.forest import Forest

NUMBER, CATEGORY = TYPES = ("number", "category")
MISSING_WORD = "\uffff"  # stands for a missing word where there is no null; it is no character, so no text holds it


@dataclass(frozen=True)
class Column:
    """A feature. A category is of `words` (text; a word's code is its place) or, where that is None, of whole codes."""

    name: str
    type: str
    words: tuple[str, ...] | None = None


def columns_of(contract: Mapping[str, Any], forest: Forest, where: str) -> tuple[Column, ...]:
    """The columns in their order. BundleError, naming `where`, if they are not those of the trees, or no contract."""
    try:
        columns = tuple(_column(raw) for raw in contract["features"])
    except (KeyError, TypeError, ValueError) as error:
        raise BundleError(f"{where} is no contract ({error!r}); export the model again.") from error
    if tuple(column.name for column in columns) != forest.features:
        raise BundleError(f"{where} and the model name other features; export the model again.")
    for column, category in zip(columns, forest.categories, strict=True):
        if column.type not in TYPES:
            raise BundleError(f"{where}: {column.name} is {column.type!r}; this version knows {' and '.join(TYPES)}.")
        if (column.type == CATEGORY) != category:
            raise BundleError(f"{where}: {column.name} is a {column.type}, and no such to the model; export it again.")
        if column.words is not None and len(set(column.words)) != len(column.words):
            raise BundleError(f"{where}: {column.name} lists a word twice; export the model again.")
        text = "".join((column.name, *(column.words or ())))
        if "\0" in text or MISSING_WORD in text:
            raise BundleError(f"{where}: a text of {column.name} holds U+0000 or U+FFFF; take it out in the SQL.")
    return columns


def _column(raw: Mapping[str, Any]) -> Column:
    words = raw.get("words")
    if words is not None and not all(isinstance(word, str) for word in words):
        raise ValueError(f"the words of {raw['name']} are {words!r}")
    return Column(str(raw["name"]), str(raw["type"]), None if words is None else tuple(words))
