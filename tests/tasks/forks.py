"""A Python that has imported the libraries, and forks for each command: to import them anew costs a second each time.

What a command runs in is as fresh as a process of its own, but for these imports; `tasks` is not among them.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from importlib import import_module
from pathlib import Path
from typing import Any

from tests.e2e.folder import PROJECT, Done

_LIBRARIES = (
    *("duckdb", "luigi.cmdline", "pyarrow.compute", "pyarrow.parquet", "sqlglot"),
    *("dsp_pipeline.platform", "targets.receipt"),
)


class Forks:
    """`with Forks() as forks`: commands one after the other, until the block ends."""

    def __enter__(self) -> Forks:
        words = [sys.executable, "-m", "tests.tasks.forks"]
        pipe = subprocess.PIPE
        self._process = subprocess.Popen(words, cwd=PROJECT, stdin=pipe, stdout=pipe, text=True)
        return self

    def __exit__(self, *_: object) -> None:
        self._process.communicate()

    def run(self, *words: str, cwd: Path, environment: Mapping[str, str]) -> Done:
        """`luigi WORDS`, or `-c CODE WORDS` as python's, in a process of its own that finds modules in PYTHONPATH."""
        stdin, stdout = self._process.stdin, self._process.stdout
        assert stdin is not None and stdout is not None
        with tempfile.NamedTemporaryFile("r") as out:
            asked = {"words": words, "cwd": str(cwd), "environment": dict(environment), "out": out.name}
            stdin.write(json.dumps(asked) + "\n")
            stdin.flush()
            return Done(int(stdout.readline()), out.read())


def _serve() -> None:
    for name in _LIBRARIES:
        import_module(name)
    for line in sys.stdin:
        child = os.fork()
        if not child:
            _run(json.loads(line))
        sys.stdout.write(f"{os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])}\n")
        sys.stdout.flush()


def _run(asked: dict[str, Any]) -> None:
    """As a new interpreter would; it does not come back."""
    from luigi.cmdline import luigi_run
    from luigi.configuration import LuigiConfigParser

    code: Any = 0
    with open(os.devnull) as nothing, Path(asked["out"]).open("w") as out:
        for number, file in enumerate((nothing, out, out)):
            os.dup2(file.fileno(), number)
    os.chdir(asked["cwd"])
    os.environ.clear()
    os.environ.update(asked["environment"])
    sys.path[:0] = asked["environment"]["PYTHONPATH"].split(os.pathsep)
    tempfile.tempdir = LuigiConfigParser._instance = None
    first, *words = asked["words"]
    sys.argv = [first, *words]
    try:
        if first == "-c":
            sys.argv = ["-c", *words[1:]]
            exec(compile(words[0], "<string>", "exec"), {"__name__": "__main__"})  # noqa: S102
        else:
            luigi_run(words)
    except SystemExit as ended:
        code = ended.code
    except BaseException:
        sys.excepthook(*sys.exc_info())  # type: ignore[arg-type]
        code = 1
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code if isinstance(code, int) else int(code is not None))


if __name__ == "__main__":
    _serve()
