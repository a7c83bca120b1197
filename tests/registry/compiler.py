"""The C compiler of this machine, where there is one."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

HEADER = Path(__file__).parents[2] / "dsp_pipeline" / "registry" / "dsp_forest.h"
STRICT = ("-std=c99", "-Wall", "-Wextra", "-Wpedantic", "-Wconversion", "-Werror", "-O2")
SANITIZED = ("-O1", "-fsanitize=address,undefined", "-fno-sanitize-recover=all")

_GCC = shutil.which("gcc") or shutil.which("cc")
_GXX = shutil.which("g++") or shutil.which("c++")
needs_cpp = pytest.mark.skipif(_GXX is None, reason="there is no C++ compiler (g++ or c++) on this machine")
needs_compiler = pytest.mark.skipif(_GCC is None, reason="there is no C compiler (gcc or cc) on this machine")


def compiled(source: Path, program: Path, *flags: str) -> Path:
    """The program, compiled strictly; a warning is an error."""
    assert _GCC is not None
    command = [_GCC, *STRICT, *flags, f"-I{HEADER.parent}", str(source), "-o", str(program), "-lm"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[:2000]
    return program


def compiles_as_cpp(source: Path) -> None:
    """AssertionError if a C++11 compiler has a word to say of it."""
    assert _GXX is not None
    command = [_GXX, "-std=c++11", "-Wall", "-Wextra", "-Wpedantic", "-Werror", "-fsyntax-only", f"-I{HEADER.parent}"]
    done = subprocess.run([*command, str(source)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[:2000]


def sanitizers_run(folder: Path) -> bool:
    """Whether programs can be compiled with the sanitizers here; not every machine has their libraries."""
    source = folder / "nothing.c"
    source.write_text("int main(void) { return 0; }\n")
    assert _GCC is not None
    done = subprocess.run([_GCC, *SANITIZED, str(source), "-o", str(folder / "nothing")], check=False)
    return done.returncode == 0 and subprocess.run([str(folder / "nothing")], check=False).returncode == 0
