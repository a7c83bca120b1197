"""What a step's function says of itself: its arguments, their types and what it returns.

It is read from the file's syntax, so an annotation may be text, or name what is imported for type checkers only, and
nothing is imported to understand it.
"""

from __future__ import annotations

import ast
import inspect
import linecache
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from dsp_pipeline.errors import StepError

DATE, TABLE, STREAM, ANY, CHOICE = "date", "pa.Table", "Iterator[pa.RecordBatch]", "Any", "Literal"
PLAIN = ("str", "int", "float", "bool")
JSON = ("dict", "list", *PLAIN)
READ = (TABLE, STREAM, "dict", "list", ANY)
_READ_CURE = "annotate it pa.Table, Iterator[pa.RecordBatch], dict, list or Any"
_PARAMETER_CURE = "annotate it str, int, float, bool or Literal of strings, or name it in `reads`"
_RETURN_CURE = "annotate pa.Table, Iterator[pa.RecordBatch], dict, list, str, int, float or bool"

_TYPES: dict[str, type | tuple[type, ...]] = {
    "dict": dict,
    "list": list,
    "str": str,
    "int": int,
    "float": (float, int),
    "bool": bool,
}

# What annotations mean, by the names under which Python knows it.
_MEANS = {
    "datetime.date": DATE,
    "pyarrow.Table": TABLE,
    "pyarrow.RecordBatch": "RecordBatch",
    "collections.abc.Iterator": "Iterator",
    "typing.Iterator": "Iterator",
    "typing.Any": ANY,
    "typing.Literal": CHOICE,
    **{name: name for name in JSON},
}


class Argument(NamedTuple):
    """One argument. `kind` is what its annotation means, `choices` the strings of a Literal."""

    name: str
    kind: str
    line: int
    default: Any = inspect.Parameter.empty
    choices: tuple[str, ...] = ()

    @property
    def has_default(self) -> bool:
        return self.default is not inspect.Parameter.empty


class Signature(NamedTuple):
    """`inputs` are the arguments that are named like a read, `parameters` all others, `date` among them."""

    file: Path
    line: int
    reads_line: int
    inputs: tuple[Argument, ...]
    parameters: tuple[Argument, ...]
    returns: str


class Definition(NamedTuple):
    """The function as its file has it. `names` are what the file's imports bind, by full name."""

    file: Path
    node: ast.FunctionDef
    names: Mapping[str, str]

    @property
    def reads_line(self) -> int:
        """The line of `reads=` in the decorator."""
        calls = [one for one in self.node.decorator_list if isinstance(one, ast.Call)]
        given = [keyword.value.lineno for call in calls for keyword in call.keywords if keyword.arg == "reads"]
        return given[0] if given else self.node.decorator_list[0].lineno


def definition_of(function: Callable[..., Any]) -> Definition:
    """StepError if it is not a plain function at the top of a file."""
    code = getattr(function, "__code__", None)
    if code is None:
        raise StepError(
            getattr(function, "__module__", "?"), None, f"{function!r} is not a function; decorate a `def`."
        )
    file, line = Path(code.co_filename), code.co_firstlineno
    linecache.checkcache(code.co_filename)
    tree = ast.parse("".join(linecache.getlines(code.co_filename)))
    functions = [one for one in _top(tree.body) if isinstance(one, ast.FunctionDef) and one.decorator_list]
    for node in functions:
        if node.decorator_list[0].lineno == line:
            for other in functions:
                if other is not node and other.name == node.name:
                    raise StepError(file, node.lineno, twice(node.name, f"line {other.lineno}"))
            return Definition(file, node, dict(_bound(tree.body)))
    raise StepError(
        file, line, f"{function.__name__} is not a plain function at the top of its file; a step is found there only."
    )


def twice(name: str, other: str) -> str:
    return f"{name} is the name of two steps, see {other}; rename one of them."


def read_signature(function: Callable[..., Any], definition: Definition, reads: Iterable[str]) -> Signature:
    """StepError, with the line, if an argument or the return is not what a step may have."""
    file, node, reads = definition.file, definition.node, list(reads)
    defaults = inspect.signature(function).parameters
    odd = [*node.args.posonlyargs, *filter(None, (node.args.vararg, node.args.kwarg))]
    for one in odd:
        raise StepError(file, one.lineno, f"the argument {one.arg} cannot be given by its name; make it a plain one.")
    inputs, parameters = [], []
    for one in (*node.args.args, *node.args.kwonlyargs):
        kind, choices = _kind(one.annotation, definition.names)
        argument = Argument(one.arg, kind, one.lineno, defaults[one.arg].default, choices)
        said = f"the argument {one.arg} {_as_written(one.annotation)}"
        if one.arg in reads:
            if kind not in READ:
                raise StepError(file, one.lineno, f"{said} and is read; {_READ_CURE}.")
            inputs.append(argument)
        elif one.arg == "date":
            if kind != DATE or argument.has_default:
                raise StepError(file, one.lineno, "the argument date is the day of the output; write it `date: date`.")
            parameters.append(argument)
        elif kind not in (*PLAIN, CHOICE):
            raise StepError(file, one.lineno, f"{said}, which is no type of a parameter; {_PARAMETER_CURE}.")
        elif argument.has_default and not fits(argument.default, kind, choices):
            raise StepError(file, one.lineno, f"{said}, and its default is {argument.default!r}; make them fit.")
        else:
            parameters.append(argument)
    if not any(one.name == "date" for one in parameters):
        raise StepError(file, node.lineno, f"{node.name} has no argument `date: date`, the day of its output; add it.")
    for name in reads:
        if not any(one.name == name for one in inputs):
            raise StepError(
                file, definition.reads_line, f"`reads` names {name}, and no argument of {node.name} does; add {name}."
            )
    returns, _ = _kind(node.returns, definition.names)
    if node.returns is None:
        raise StepError(file, node.lineno, f"{node.name} does not say what it returns; {_RETURN_CURE}.")
    if returns not in (TABLE, STREAM, *JSON):
        written = ast.unparse(node.returns)
        raise StepError(file, node.returns.lineno, f"{node.name} returns {written}, which is not kept; {_RETURN_CURE}.")
    return Signature(file, node.lineno, definition.reads_line, tuple(inputs), tuple(parameters), returns)


def fits(value: Any, kind: str, choices: Iterable[str] = ()) -> bool:
    """Whether the value is of the kind; a whole number is a float too, and True is no number."""
    if kind == CHOICE:
        return value in choices
    if isinstance(value, bool):
        return kind == "bool"
    return isinstance(value, _TYPES[kind])


def _as_written(annotation: ast.expr | None) -> str:
    return "has no annotation" if annotation is None else f"is annotated {ast.unparse(annotation)}"


def _kind(annotation: ast.expr | None, names: Mapping[str, str]) -> tuple[str, tuple[str, ...]]:
    """What the annotation means, and a Literal's strings; "" if it means nothing to us."""
    if isinstance(annotation, ast.Constant) and isinstance(annotation.value, str):
        try:
            annotation = ast.parse(annotation.value, mode="eval").body
        except SyntaxError:
            return "", ()
    if not isinstance(annotation, ast.Subscript):
        kind = _meaning(annotation, names)
        return ("" if kind in ("Iterator", "RecordBatch", CHOICE) else kind), ()
    head = _meaning(annotation.value, names)
    if head == "Iterator":
        return (STREAM if _meaning(annotation.slice, names) == "RecordBatch" else ""), ()
    if head == CHOICE:
        inner = annotation.slice.elts if isinstance(annotation.slice, ast.Tuple) else [annotation.slice]
        values = [one.value for one in inner if isinstance(one, ast.Constant) and isinstance(one.value, str)]
        return (CHOICE, tuple(values)) if len(values) == len(inner) else ("", ())
    return (head if head in ("dict", "list") else ""), ()


def _meaning(node: ast.expr | None, names: Mapping[str, str]) -> str:
    attributes: list[str] = []
    while isinstance(node, ast.Attribute):
        attributes.insert(0, node.attr)
        node = node.value
    if not isinstance(node, ast.Name):
        return ""
    return _MEANS.get(".".join([names.get(node.id, node.id), *attributes]), "")


def _top(body: Iterable[ast.stmt]) -> Iterator[ast.stmt]:
    """The statements of the file's own scope, below `if` and `try` too."""
    for statement in body:
        yield statement
        for part in ("body", "orelse", "finalbody"):
            if isinstance(statement, (ast.If, ast.Try)):
                yield from _top(getattr(statement, part, []))


def _bound(body: Iterable[ast.stmt]) -> Iterator[tuple[str, str]]:
    for statement in _top(body):
        if isinstance(statement, ast.Import):
            for alias in statement.names:
                yield (alias.asname, alias.name) if alias.asname else (alias.name.split(".")[0],) * 2
        elif isinstance(statement, ast.ImportFrom):
            for alias in statement.names:
                yield alias.asname or alias.name, f"{statement.module}.{alias.name}"
