"""Read the YAML files that teams write, remembering on which line everything stands."""

from __future__ import annotations

from collections.abc import Collection
from math import isfinite
from pathlib import Path
from typing import Any

import yaml

from dsp_pipeline.errors import DefinitionError, UnknownNameError

_MOST_BYTES = 1 << 20
_DEEPEST = 32
_LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


class Block(dict[str, Any]):
    """A YAML mapping that knows its file and the line of each key; its errors are of the class it was read with."""

    def __init__(self, path: Path, line: int, error: type[DefinitionError]) -> None:
        super().__init__()
        self.path, self.line, self._error = path, line, error
        self.lines: dict[str, int] = {}

    def problem(self, text: str, key: str | None = None) -> DefinitionError:
        return self._error(self.path, self.lines.get(key, self.line) if key else self.line, text)

    def allow(self, keys: Collection[str]) -> None:
        """The first key that is not among `keys` is an error that names the near ones."""
        for key in self:
            if key not in keys:
                raise self.problem(str(UnknownNameError("key", key, keys)), key)

    def need(self, key: str, type_: type | tuple[type, ...], what: str) -> Any:
        """The value of a key that must be there."""
        if key not in self:
            raise self.problem(f"`{key}` is missing; it is {what}.")
        return self.get_as(key, type_, what)

    def get_as(self, key: str, type_: type | tuple[type, ...], what: str, default: Any = None) -> Any:
        """The value of a key that may be left out; an error if it has another type."""
        value = self.get(key, default)
        if value is default:
            return value
        if not isinstance(value, type_) or (isinstance(value, bool) and type_ is not bool):
            raise self.problem(f"`{key}` is {value!r}; it is {what}{_as_number(value, type_)}.", key)
        return value


def _as_number(value: Any, type_: type | tuple[type, ...]) -> str:
    """What to write for a number such as 1e-1, which YAML reads as a text."""
    if not isinstance(value, str) or float not in (type_ if isinstance(type_, tuple) else (type_,)):
        return ""
    try:
        number = float(value)
    except ValueError:
        return ""
    return f", and YAML takes {value} for a text: write {number}" if isfinite(number) else ""


def _indent(text: str, line: int) -> str:
    """What the line, counted from 1, begins with; empty at the end of the file."""
    of = text.splitlines()[line - 1 : line] or [""]
    return of[0][: len(of[0]) - len(of[0].lstrip())]


def read_yaml(path: Path, error: type[DefinitionError]) -> Block:
    """The mapping that the file holds; each mapping in it is a Block too. Aliases and doubled keys are refused."""
    try:
        if path.stat().st_size > _MOST_BYTES:
            raise error(path, None, f"it has more than {_MOST_BYTES:,} bytes, which nobody has written by hand.")
        text = path.read_text(encoding="utf-8")
        _refuse_bombs(text, path, error)
        loader = _LOADER(text)
        try:
            node = loader.get_single_node()
            value = _value(node, loader, path, error) if node else None
        finally:
            loader.dispose()
    except yaml.MarkedYAMLError as problem:
        line = problem.problem_mark.line + 1 if problem.problem_mark else None
        tab = line and "\t" in _indent(text, line)
        cure = "; it is indented with a tab: write spaces" if tab else ""
        raise error(path, line, f"not YAML: {problem.problem or problem.context}{cure}.") from None
    except (ValueError, yaml.YAMLError) as problem:  # bytes that are not UTF-8, a 30th of February
        raise error(path, None, f"not YAML: {' '.join(str(problem).split())}.") from None
    except OSError as problem:
        raise error(path, None, f"cannot be read: {problem.strerror}.") from None
    if not isinstance(value, Block):
        raise error(path, 1, "the file must hold `key: value` lines.")
    return value


def _refuse_bombs(text: str, path: Path, error: type[DefinitionError]) -> None:
    """What would grow or dig: the parser's time is the square of the depth, so it is stopped on the way down."""
    depth = 0
    for event in yaml.parse(text, Loader=_LOADER):
        if isinstance(event, yaml.AliasEvent):
            raise error(path, None, "YAML aliases (*name) are not allowed; write the value out.")
        depth += isinstance(event, yaml.CollectionStartEvent) - isinstance(event, yaml.CollectionEndEvent)
        if depth > _DEEPEST:
            raise error(path, None, "not YAML that we read: it is nested too deeply.")


def _value(node: yaml.Node, loader: Any, path: Path, error: type[DefinitionError]) -> Any:
    if isinstance(node, yaml.MappingNode):
        block = Block(path, node.start_mark.line + 1, error)
        for key_node, value_node in node.value:
            line = key_node.start_mark.line + 1
            key = loader.construct_object(key_node)
            if not isinstance(key, str):
                raise error(path, line, f"the key {key!r} is not a word; put it in quotes.")
            if key in block:
                raise error(path, line, f"`{key}` stands twice; it is on line {block.lines[key]} too.")
            block.lines[key] = line
            block[key] = _value(value_node, loader, path, error)
        return block
    if isinstance(node, yaml.SequenceNode):
        return [_value(one, loader, path, error) for one in node.value]
    return loader.construct_object(node)
