"""What a Python file binds, reads, imports and runs, as far as its syntax tells; the file is never run itself."""

from __future__ import annotations

import ast
import os
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TypeGuard

from dsp_pipeline.errors import ModelError

Use = tuple[str, ...]
"""A name that code reads, and the attributes that it takes of it: `a.b.c` is (a, b, c)."""

_DEFINITIONS = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)
_SCOPES = (*_DEFINITIONS, ast.Lambda, ast.ListComp, ast.SetComp, ast.DictComp, ast.GeneratorExp)
_BLOCKS = (ast.If, ast.Try, ast.TryStar, ast.ExceptHandler, ast.With, ast.For, ast.While)


@dataclass(frozen=True)
class Import:
    """One name that an import statement binds: a module, or an attribute of it. `name` is "*" for a star import.

    `level` is the number of leading dots. `is_dotted` is `import a.b`, which loads `a.b` and binds `a`.
    """

    name: str
    module: str
    level: int = 0
    attribute: str | None = None
    is_dotted: bool = False

    def absolute(self, package: str) -> str:
        """The module, as seen from a file of that package."""
        if not self.level:
            return self.module
        parts = package.split(".")
        return ".".join(filter(None, [*parts[: len(parts) - self.level + 1], self.module]))

    def target(self, package: str) -> str:
        """What the name stands for, in whatever way it is imported."""
        return self.name if self.is_dotted else f"{self.absolute(package)}.{self.attribute or ''}".strip(".")


class Piece:
    """A top-level statement of a file, the `order`-th; what is in it is looked up when it is first asked for.

    `runs` says that it does more when the file is imported than to bind names. `decorators` are the names that its
    decorators start with.
    """

    def __init__(self, statement: ast.stmt, order: int) -> None:
        self._statement, self.order = statement, order
        self.is_definition = isinstance(statement, _DEFINITIONS)
        self.names = tuple(_bound(statement))
        self.runs = _runs(statement)
        self.decorators = [_root(decorator) for decorator in getattr(statement, "decorator_list", [])]

    @cached_property
    def text(self) -> str:
        """Without comments, layout, docstrings, declarations, and what is there for type checkers only."""
        assert self._found
        return ast.unparse(_FormattedStrings().visit(self._statement))

    @property
    def uses(self) -> frozenset[Use]:
        return self._found[0]

    @property
    def imports(self) -> tuple[Import, ...]:
        """Those inside it, as in the body of a function."""
        return self._found[1]

    @cached_property
    def _found(self) -> tuple[frozenset[Use], tuple[Import, ...]]:
        uses: set[Use] = set()
        imports: list[Import] = []
        for node in _strip(self._statement):
            if isinstance(node, (ast.Name, ast.Attribute)):
                uses |= _use(node)
            elif isinstance(node, ast.Global):
                uses |= {(name,) for name in node.names}
            else:
                imports += _imports(node)
        return frozenset(uses), tuple(imports)


class _FormattedStrings(ast.NodeTransformer):
    """Writes them as calls: Python 3.11 and 3.12 differ in their quotes, and in empty parts."""

    def visit_JoinedStr(self, node: ast.JoinedStr) -> ast.expr:
        self.generic_visit(node)
        parts = [part for part in node.values if not (_is_text(part) and not part.value)]
        return ast.Call(ast.Name("f-string", ast.Load()), parts, [])

    def visit_FormattedValue(self, node: ast.FormattedValue) -> ast.expr:
        self.generic_visit(node)
        parts = [node.value, ast.Constant(node.conversion), node.format_spec or ast.Constant(None)]
        return ast.Tuple(parts, ast.Load())


class File:
    """What a file's top level binds: by definitions and assignments (`names`), and by imports (`links`)."""

    def __init__(self, tree: ast.Module) -> None:
        self.pieces: list[Piece] = []
        self.names: defaultdict[str, list[Piece]] = defaultdict(list)
        self.links: defaultdict[str, list[Import]] = defaultdict(list)
        for order, statement in enumerate(_stripped(tree.body)):
            for node in _at_top(statement):
                for link in _imports(node):
                    self.links[link.name].append(link)
            if not isinstance(statement, (ast.Import, ast.ImportFrom)):
                piece = Piece(statement, order)
                self.pieces.append(piece)
                for name in piece.names:
                    self.names[name].append(piece)

    @cached_property
    def used(self) -> frozenset[str]:
        """The names that are read anywhere in it."""
        return frozenset(use[0] for piece in self.pieces for use in piece.uses)


_files: dict[str, tuple[tuple[int, int], File]] = {}


def load(path: str) -> File | None:
    """None if there is no such file. ModelError, with file and line, if it cannot be read or is not Python.

    A process parses a file once, and again when its time or size has changed.
    """
    try:
        found = os.stat(path)
        stamp = (found.st_mtime_ns, found.st_size)
        if path not in _files or _files[path][0] != stamp:
            _files[path] = (stamp, File(ast.parse(Path(path).read_bytes())))
    except (FileNotFoundError, NotADirectoryError):
        return None
    except OSError as error:
        raise ModelError(Path(path), None, f"cannot be read: {error.strerror}.") from error
    except (SyntaxError, ValueError, RecursionError) as error:
        problem = getattr(error, "msg", str(error))
        raise ModelError(Path(path), getattr(error, "lineno", None), f"not Python: {problem}.") from error
    return _files[path][1]


def _imports(node: ast.AST) -> Iterator[Import]:
    if isinstance(node, ast.Import):
        for alias in node.names:
            dotted = alias.asname is None and "." in alias.name
            yield Import(alias.asname or alias.name.split(".")[0], alias.name, is_dotted=dotted)
    elif isinstance(node, ast.ImportFrom):
        for alias in node.names:
            yield Import(alias.asname or alias.name, node.module or "", node.level, alias.name)


def _use(node: ast.expr) -> set[Use]:
    attributes: list[str] = []
    while isinstance(node, ast.Attribute):
        attributes.append(node.attr)
        node = node.value
    if isinstance(node, ast.Name) and not isinstance(node.ctx, ast.Store):
        return {(node.id, *reversed(attributes))}
    return set()


def _at_top(statement: ast.stmt) -> Iterator[ast.AST]:
    """The nodes that belong to the module's own scope, not to that of a function, class or comprehension."""
    left: list[ast.AST] = [statement]
    while left:
        node = left.pop()
        yield node
        if not isinstance(node, _SCOPES):
            left += ast.iter_child_nodes(node)


def _bound(statement: ast.stmt) -> Iterator[str]:
    for node in _at_top(statement):
        if isinstance(node, _DEFINITIONS):
            yield node.name
        elif isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            yield node.id


def _runs(node: ast.AST) -> bool:
    if isinstance(node, _BLOCKS):
        blocks = (getattr(node, name, []) for name in ("body", "handlers", "orelse", "finalbody"))
        return any(_runs(statement) for block in blocks for statement in block)
    if isinstance(node, (ast.Assign, ast.AnnAssign, ast.AugAssign)):
        targets = node.targets if isinstance(node, ast.Assign) else [node.target]
        return any(isinstance(part, (ast.Attribute, ast.Subscript)) for target in targets for part in ast.walk(target))
    return not isinstance(node, (*_DEFINITIONS, ast.Import, ast.ImportFrom, ast.Pass))


def _root(node: ast.expr) -> str:
    while not isinstance(node, ast.Name):
        if isinstance(node, ast.Call):
            node = node.func
        elif isinstance(node, (ast.Attribute, ast.Subscript)):
            node = node.value
        else:
            return ""
    return node.id


def _strip(statement: ast.stmt) -> Iterator[ast.AST]:
    """Take out what is no code and yield the nodes that stay; of `a.b.c` the whole only, not `a.b` and `a`.

    What is no code: docstrings, what is never run when the file is imported, and `compatible_with=...`.
    """
    left: list[ast.AST] = [statement]
    while left:
        node = left.pop()
        yield node
        _strip_blocks(node)
        if isinstance(node, (ast.Call, ast.ClassDef)):
            node.keywords = [keyword for keyword in node.keywords if keyword.arg != "compatible_with"]
        while isinstance(node, ast.Attribute):
            node = node.value
        if not isinstance(node, (ast.Name, ast.Constant)):
            left += ast.iter_child_nodes(node)


def _strip_blocks(node: ast.AST) -> None:
    for name in ("body", "orelse", "finalbody"):
        block = getattr(node, name, None)
        if block and isinstance(block, list):
            setattr(node, name, _stripped(block) or ([ast.Pass()] if name == "body" else []))


def _stripped(block: list[ast.stmt]) -> list[ast.stmt]:
    found: list[ast.stmt] = []
    for statement in block:
        if isinstance(statement, ast.If) and _is_never_true(statement.test):
            found += _stripped(statement.orelse)
        elif not (isinstance(statement, ast.Expr) and _is_text(statement.value)):
            found.append(statement)
    return found


def _is_text(node: ast.expr) -> TypeGuard[ast.Constant]:
    return isinstance(node, ast.Constant) and isinstance(node.value, str)


def _is_never_true(test: ast.expr) -> bool:
    """`TYPE_CHECKING`, `typing.TYPE_CHECKING`, `__name__ == "__main__"`: an imported file skips what is below."""
    return ast.unparse(test) in ("TYPE_CHECKING", "typing.TYPE_CHECKING", "__name__ == '__main__'")
