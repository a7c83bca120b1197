"""Programs that start at once: each runs in a fork of a process that has imported the libraries, and nothing of ours.

A `luigi` command that tells a mistake spends four fifths of its time on importing pyarrow, sqlglot, luigi's web server
and the like. Here that is done once for all commands of a test process. A fork has a folder, an environment, a session
and an output of its own, reads luigi.cfg and imports our code as any other process, and ends as one, but at once.
"""

from __future__ import annotations

import atexit
import gc
import importlib
import json
import os
import runpy
import signal
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable, Mapping
from functools import cache
from pathlib import Path
from typing import Any, NoReturn

_one_at_a_time = threading.Lock()


def run(
    program: Path, *words: str, folder: Path, environment: Mapping[str, str], seconds: float, outputs: tuple[str, str]
) -> int:
    """Exit code of a Python program that adds to these files what it prints and its errors; both may be one file.

    One that does not end in time is ended by SIGALRM: its code is -14.
    """
    asked = {"told": [str(program), *words], "folder": str(folder), "environment": {**environment}, "outputs": outputs}
    with _one_at_a_time:
        server = _server()
        assert server.stdin and server.stdout
        server.stdin.write(json.dumps({**asked, "seconds": int(seconds)}) + "\n")
        server.stdin.flush()
        return int(server.stdout.readline())


@cache
def _server() -> subprocess.Popen[str]:
    keep = {name: value for name, value in os.environ.items() if not name.startswith(("LUIGI", "DSP", "PYTEST"))}
    keep["MPLCONFIGDIR"] = str(Path(tempfile.gettempdir()) / "matplotlib")  # its list of fonts, and nobody's HOME
    server = subprocess.Popen(
        [sys.executable, __file__], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=keep
    )
    atexit.register(server.communicate)  # the end of its input is its end
    return server


def _serve() -> None:
    """Fork for each line of the input, and answer with the exit code."""
    for line in sys.stdin:
        if (child := os.fork()) == 0:
            _become(**json.loads(line))
            return
        sys.stdout.write(f"{os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])}\n")
        sys.stdout.flush()


def _become(told: list[str], folder: str, environment: dict[str, str], seconds: int, outputs: list[str]) -> None:
    """Be the program, to its end."""
    os.setsid()
    signal.alarm(seconds)
    os.chdir(folder)
    for number, path in enumerate((os.devnull, *outputs)):
        place = os.open(path, os.O_RDWR | os.O_APPEND)
        os.dup2(place, number)
        os.close(place)
    paths = environment.get("PYTHONPATH", "")
    if paths != os.environ.get("PYTHONPATH", ""):
        sys.path[1:1] = paths.split(os.pathsep)
    sys.path[0] = str(Path(told[0]).parent)
    os.environ.clear()
    os.environ.update(environment)
    sys.argv, sys.dont_write_bytecode, tempfile.tempdir = told, "PYTHONDONTWRITEBYTECODE" in environment, None
    end_after(lambda: runpy.run_path(told[0], run_name="__main__"))


def end_after(work: Callable[[], object]) -> NoReturn:
    """Do it, and what an interpreter does at its end, but for taking a thousand modules apart."""
    code: Any = 0
    try:
        try:
            work()
        except Exception:
            code = 1
            sys.excepthook(*sys.exc_info())  # type: ignore[arg-type]  # which is ours to tell mistakes
    except SystemExit as end:
        code = end.code or 0
        if not isinstance(code, int):
            sys.stderr.write(f"{code}\n")
            code = 1
    threading._shutdown()  # type: ignore[attr-defined]
    atexit._run_exitfuncs()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)


# Not luigi, which reads luigi.cfg when it is imported, nor grpc, which does not survive a fork.
_LIBRARIES = (
    *("dateutil.parser", "duckdb", "jinja2", "matplotlib.backends.backend_svg", "matplotlib.figure"),
    *("pyarrow.compute", "pyarrow.parquet", "requests", "rich.console", "scipy.optimize", "scipy.special"),
    *("sklearn.isotonic", "sklearn.linear_model", "sklearn.metrics", "sqlglot", "tenacity", "tornado.httpclient"),
    *("tornado.web", "xgboost", "yaml"),
)

if __name__ == "__main__":
    for library in _LIBRARIES:
        importlib.import_module(library)
    gc.freeze()  # a fork that collects would copy all of it
    _serve()
    os._exit(0)  # as its forks end
