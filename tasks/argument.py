"""An argument of a step's function as a parameter of its task, and as a part of its output's name."""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import date
from typing import Any

import luigi

from dsp_pipeline.errors import SettingsError
from dsp_pipeline.fingerprint import fingerprint
from tasks.signature import CHOICE, Argument, fits

_PLAIN = re.compile(r"[A-Za-z0-9_.+:~-]{1,40}")
_LONGEST = 150  # characters of an output's name; folders allow 255 bytes


class ArgumentParameter(luigi.Parameter[Any]):
    """A parameter of a function, of the type of its annotation."""

    def __init__(self, argument: Argument) -> None:
        given = {"default": self._exact(argument, argument.default)} if argument.has_default else {}
        super().__init__(positional=False, description=_described(argument), **given)
        self._argument = argument

    def parse(self, text: str) -> Any:
        kind, known = self._argument.kind, {"true": True, "false": False}
        try:
            if kind == "bool":
                return known.get(str(text).lower(), text)
            return int(text) if kind == "int" else float(text) if kind == "float" else text
        except ValueError:
            return self.normalize(text)

    def normalize(self, value: Any) -> Any:
        argument = self._argument
        if not fits(value, argument.kind, argument.choices):
            raise SettingsError(f"{argument.name} is {value!r}; it is {_described(argument)}.")
        return self._exact(argument, value)

    @staticmethod
    def _exact(argument: Argument, value: Any) -> Any:
        return float(value) if argument.kind == "float" else value

    def _warn_on_wrong_param_type(self, param_name: str, param_value: Any) -> None:
        """Not a text, and not wrong for that."""

    def _parser_kwargs(self, *args: Any, **kwargs: Any) -> dict[str, Any]:  # type: ignore[override]  # as BoolParameter
        given: dict[str, Any] = super()._parser_kwargs(*args, **kwargs)
        return {**given, "nargs": "?", "const": "true"} if self._argument.kind == "bool" else given


def _described(argument: Argument) -> str:
    words = {"str": "a text", "int": "a whole number", "float": "a number", "bool": "true or false"}
    return f"one of {', '.join(argument.choices)}" if argument.kind == CHOICE else words[argument.kind]


def output_name(day: date, given: Mapping[str, Any]) -> str:
    """The day, and the parameters; what would not fit into a key, or could be mistaken, stands as a fingerprint."""
    texts = {name: str(value) for name, value in given.items()}
    plain = {name: text if _PLAIN.fullmatch(text) else f"@{fingerprint(text)}" for name, text in texts.items()}
    whole = ",".join([day.isoformat(), *(f"{name}={text}" for name, text in plain.items())])
    if len(whole) > _LONGEST:
        return f"{day},@{fingerprint(*(word for pair in texts.items() for word in pair))}"
    return whole
