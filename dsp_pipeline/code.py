"""Which code makes an output: a file, and the project's definitions that it reaches, as one fingerprint.

Comments, layout, docstrings and the order of definitions do not count. A function that is called, however deep,
counts; one beside it in the same file does not. Files are parsed and never imported, so planning stays cheap.

In doubt more counts, never less. A local variable that is named like a function reaches that function. Of a module that
is passed on (`getattr(module, name)`), star-imported, or asked for a name that is not in it, all counts. What runs when
a module is imported counts as soon as that module is imported: top-level calls, and definitions below a decorator of
the project, which may register them. Not seen are imports by a name that is made at run time (`importlib`), and
annotations in quotes.

Text is compared as `ast.unparse` writes it: Python's versions agree on it but for rare constructs, unlike `ast.dump`.
"""

from __future__ import annotations

import os
import sys
from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from dsp_pipeline.errors import ModelError
from dsp_pipeline.fingerprint import fingerprint
from dsp_pipeline.syntax import File, Import, Piece, Use, load

Entry = tuple[Path, str | None]
"""A file, and the top-level name in it to start from; None: the whole file."""

_LIBRARIES = {"xgboost": ("xgboost", ("xgboost-cpu", "xgboost")), "sklearn": ("scikit-learn", ("scikit-learn",))}
_READS_ANY_NAME = ("eval", "exec", "globals")
_INSTALLED = ("site-packages", "dist-packages")
_OURS = ("console", "dsp_pipeline", "targets", "tasks")


@dataclass(frozen=True)
class Code:
    """What was reached. `packages` are import names outside of the project and of the standard library.

    `reached` tells people what counts: `a/b.py` is an entry taken whole, `a.b:name` a definition, `a.b:*` a module of
    which all counts, `a.b` what runs when that module is imported.
    """

    fingerprint: str
    packages: frozenset[str]
    reached: tuple[str, ...]


def reached(entries: Sequence[Entry], roots: Sequence[Path], apart: Collection[str] = ()) -> Code:
    """The code that the entries reach. `a.b` is `a/b/__init__.py` or `a/b.py` in the first of `roots` that has it.

    A root that is a `site-packages` holds other people's code too: there, only our packages and those of entries count.
    The modules in `apart` do not count, as if they were other people's.
    ModelError, with file and line, if a file cannot be read or is not Python.
    """
    return _Closure(entries, roots, apart).code()


def deciding_versions(packages: Iterable[str]) -> dict[str, str]:
    """Of the libraries that decide the numbers, the installed versions of those that `packages` (import names) names.

    By the names `xgboost` and `scikit-learn`; without importing them, which takes a second. Absent ones are left out.
    """
    found = {}
    for package in sorted(set(packages) & set(_LIBRARIES)):
        name, distributions = _LIBRARIES[package]
        for distribution in distributions:
            try:
                found[name] = version(distribution)
                break
            except PackageNotFoundError:
                continue
    return found


@dataclass(frozen=True, eq=False)
class _Module:
    """A file by the name under which the project knows it. Relative imports in it start from `package`."""

    name: str
    package: str
    path: str
    file: File


class _Closure:
    """What is reached, collected from the entries onwards; `_left` are the pieces and modules not yet looked into."""

    def __init__(self, entries: Sequence[Entry], roots: Sequence[Path], apart: Collection[str]) -> None:
        self._roots = [os.path.abspath(root) for root in roots]
        self._modules: dict[str, _Module | None] = dict.fromkeys(apart)
        self._packages: set[str] = set()
        self._texts: defaultdict[tuple[str, str], list[tuple[int, str]]] = defaultdict(list)
        self._listed: set[tuple[str, str]] = set()
        self._whole_as: dict[str, str] = {}
        self._seen: set[tuple[object, ...]] = set()
        self._left: list[tuple[_Module, Piece | None]] = []
        places = [self._place(os.path.abspath(path)) for path, _ in entries]
        self._own = {*_OURS, *(place.split("/")[0] for _, place in places)}
        for (path, name), (root, place) in zip(entries, places, strict=True):
            module = self._entry(os.path.abspath(path), root, place)
            if name is None:  # known by its folder and name, wherever the folder lies
                known_as = "/".join(place.split("/")[-2:])
                self._take_whole(replace(module, name=known_as.removesuffix(".py").replace("/", ".")), known_as)
            elif not self._reach(module, name, ()):
                self._take_whole(module)
        while self._left:
            module, piece = self._left.pop()
            if piece is None:
                self._run(module)
            else:
                self._look_into(module, piece)

    def code(self) -> Code:
        parts = sorted(
            (label, "\n".join(text for _, text in sorted(texts))) for (_, label), texts in self._texts.items()
        )
        listed = {label for path, label in self._listed if path not in self._whole_as}
        return Code(
            fingerprint(*(word for part in parts for word in part)),
            frozenset(self._packages),
            tuple(sorted(listed | set(self._whole_as.values()))),
        )

    def _entry(self, path: str, root: str, place: str) -> _Module:
        file = load(path)
        if file is None:
            raise ModelError(Path(path), None, "cannot be read: there is no such file.")
        if not root:
            return _Module(place, "", path, file)
        name = place.removesuffix(".py").replace("/", ".")
        return _Module(name.removesuffix(".__init__"), name.rpartition(".")[0], path, file)

    def _place(self, path: str) -> tuple[str, str]:
        """The innermost root that holds the file, "" if none does; and the file's name from there."""
        root = max((root for root in self._roots if path.startswith(os.path.join(root, ""))), key=len, default="")
        return root, os.path.relpath(path, root).replace(os.sep, "/") if root else os.path.basename(path)

    def _find(self, name: str) -> _Module | None:
        """The project's module of this name; None if it has none, or only a folder."""
        if name not in self._modules:
            self._modules[name] = self._read(name)
        return self._modules[name]

    def _read(self, name: str) -> _Module | None:
        for base in self._bases(name):
            for path, package in ((os.path.join(base, "__init__.py"), name), (f"{base}.py", name.rpartition(".")[0])):
                file = load(path)
                if file is not None:
                    return _Module(name, package, path, file)
        return None

    def _bases(self, name: str) -> Iterator[str]:
        parts = name.split(".")
        for root in self._roots:
            if all(parts) and (parts[0] in self._own or os.path.basename(root) not in _INSTALLED):
                yield os.path.join(root, *parts)

    def _take_whole(self, module: _Module, place: str = "") -> None:
        """All that it binds and runs; of its imports those that it does not use itself, as others may."""
        if place:
            self._whole_as[module.path] = place
        if self._is_first("whole", module.path):
            self._whole_as.setdefault(module.path, f"{module.name}:*")
            self._touch(module)
            for piece in module.file.pieces:
                self._take(module, piece)
            for name in module.file.links:
                self._take_links(module, name)
                for link in module.file.links[name] if name not in module.file.used else ():
                    self._follow(module, link, ())

    def _touch(self, module: _Module) -> None:
        if self._is_first("runs", module.path):
            self._left.append((module, None))

    def _run(self, module: _Module) -> None:
        """What happens when the module is imported."""
        is_package = module.name == module.package
        parent = self._find(module.package.rpartition(".")[0] if is_package else module.package)
        if parent:
            self._touch(parent)
        for piece in module.file.pieces:
            if piece.runs or any(self._is_ours(module, name) for name in piece.decorators):
                self._listed.add((module.path, module.name))
                self._take(module, piece)
        for links in module.file.links.values():
            for link in links:
                self._import(module, link)

    def _is_ours(self, module: _Module, name: str) -> bool:
        """Whether a name at the module's top level is of the project."""
        links = module.file.links.get(name, [])
        return name in module.file.names or any(self._imported(module, link) for link in links)

    def _imported(self, module: _Module, link: Import) -> list[_Module]:
        """The project's modules that the statement imports, packages first."""
        base = link.absolute(module.package)
        parts = base.split(".")
        names = [".".join(parts[: end + 1]) for end in range(len(parts))]
        if link.attribute:
            names.append(f"{base}.{link.attribute}".lstrip("."))
        return [found for found in map(self._find, names) if found]

    def _import(self, module: _Module, link: Import) -> None:
        for found in self._imported(module, link):
            self._touch(found)
        if link.name == "*":
            self._note_package(module, link)
            star = self._find(link.absolute(module.package))
            if star:
                self._take_whole(star)

    def _note_package(self, module: _Module, link: Import) -> None:
        package = link.module.split(".")[0]
        if not link.level and package not in sys.stdlib_module_names and not self._imported(module, link):
            self._packages.add(package)

    def _look_into(self, module: _Module, piece: Piece) -> None:
        inner: defaultdict[str, list[Import]] = defaultdict(list)
        for link in piece.imports:
            inner[link.name].append(link)
            self._import(module, link)
            self._note_package(module, link)
        used = set()
        for name, *attributes in piece.uses:
            used.add(name)
            for link in inner.get(name, ()):
                self._follow(module, link, tuple(attributes))
            self._reach(module, name, tuple(attributes))
            if name in _READS_ANY_NAME:
                self._take_whole(module)
        for name in inner.keys() - used if piece.is_definition else ():
            for link in inner[name]:
                self._follow(module, link, ())

    def _reach(self, module: _Module, name: str, attributes: Use) -> bool:
        """Take what the module binds to the name, and the attributes of it; False if it binds nothing to it."""
        if name not in module.file.names and name not in module.file.links:
            return False
        if self._is_first(module.path, name, attributes):
            self._touch(module)
            for piece in module.file.names.get(name, ()):
                self._listed.add((module.path, f"{module.name}:{name}"))
                self._take(module, piece)
            self._take_links(module, name)
            for link in module.file.links.get(name, ()):
                self._follow(module, link, attributes)
        return True

    def _take(self, module: _Module, piece: Piece) -> None:
        if self._is_first(module.path, piece):
            label = f"{module.name}:{piece.names[0]}" if piece.is_definition else module.name
            self._texts[module.path, label].append((piece.order, piece.text))
            self._left.append((module, piece))

    def _take_links(self, module: _Module, name: str) -> None:
        if name in module.file.links and self._is_first("links", module.path, name):
            links = module.file.links[name]
            for order, target in enumerate(dict.fromkeys(link.target(module.package) for link in links)):
                self._texts[module.path, f"{module.name}:{name}"].append((order, f"= {target}"))
            for link in links:
                self._note_package(module, link)

    def _follow(self, module: _Module, link: Import, attributes: Use) -> None:
        base = link.absolute(module.package)
        if link.attribute is not None:
            self._walk(base, (link.attribute, *attributes))
        elif not link.is_dotted:
            self._walk(base, attributes)
        else:
            deeper = tuple(base.split(".")[1:])
            self._walk(link.name, attributes)
            if deeper[: len(attributes)] == attributes:
                self._walk(base, ())

    def _walk(self, name: str, attributes: Use) -> None:
        """From a module along attributes to a definition; all of the last module on the way if there is none."""
        while True:
            module = self._find(name)
            deeper = f"{name}.{attributes[0]}".lstrip(".") if attributes else ""
            if module and attributes and self._reach(module, attributes[0], attributes[1:]):
                links = module.file.links.get(attributes[0], ())
                if deeper not in [link.target(module.package) for link in links]:  # as `from . import x` in `__init__`
                    return
            if self._find(deeper) or any(map(os.path.isdir, self._bases(deeper))):
                name, attributes = deeper, attributes[1:]
                continue
            if module:
                self._take_whole(module)
            return

    def _is_first(self, *key: object) -> bool:
        seen = key in self._seen
        self._seen.add(key)
        return not seen
