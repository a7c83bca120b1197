"""Nothing of ours reads a file that could run code: by reading our code, as a tree and not as text."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

PROJECT = Path(__file__).parents[2]
OURS = ("dsp_pipeline", "tasks", "targets", "console", "scheduler", "docs/clients")
MODULES = {"pickle", "_pickle", "cPickle", "cloudpickle", "dill", "joblib", "shelve", "marshal", "jsonpickle", "imp"}
CALLS = {"eval", "exec", "compile", "__import__"}
ATTRIBUTES = {
    *("yaml.load", "yaml.load_all", "yaml.unsafe_load", "yaml.full_load", "yaml.Loader", "yaml.UnsafeLoader"),
    *("yaml.FullLoader", "os.system", "os.popen", "torch.load", "np.fromregex", "pd.read_pickle", "pa.deserialize"),
}
OPTIONS = {"allow_pickle", "shell", "trust_remote_code"}


def modules() -> list[Path]:
    return sorted(path for folder in OURS for path in (PROJECT / folder).rglob("*.py"))


def wrong(tree: ast.AST) -> Iterator[str]:
    """What a module does that it may not, with its line."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names = [name.name for name in node.names]
        elif isinstance(node, ast.ImportFrom):
            names = [node.module or ""]
        else:
            names = []
        for name in names:
            if name.partition(".")[0] in MODULES:
                yield f"line {node.lineno} imports {name}"  # type: ignore[attr-defined]
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in CALLS:
            yield f"line {node.lineno} calls {node.func.id}"
        if isinstance(node, ast.Attribute) and ast.unparse(node) in ATTRIBUTES:
            yield f"line {node.lineno} has {ast.unparse(node)}"
        if isinstance(node, ast.keyword) and node.arg in OPTIONS and ast.unparse(node.value) != "False":
            yield f"line {node.value.lineno} sets {node.arg}"


def test_no_module_of_ours_can_run_what_it_reads() -> None:
    """No pickle under any name, no loader of YAML that makes objects, no shell, no eval."""
    assert len(modules()) > 150
    found = [f"{path.relative_to(PROJECT)}: {one}" for path in modules() for one in wrong(ast.parse(path.read_text()))]
    assert found == []


@pytest.mark.parametrize(
    "text",
    [
        *("import pickle", "from pickle import loads", "import joblib as j", "import os\nos.system('ls')"),
        *("np.load(f, allow_pickle=True)", "yaml.load(f)", "eval('1')", "subprocess.run('ls', shell=True)"),
    ],
)
def test_the_search_finds_what_it_looks_for(text: str) -> None:
    """Each of the ways."""
    assert list(wrong(ast.parse(text)))


def test_a_numpy_array_of_objects_is_not_read(tmp_path: Path) -> None:
    """Which numpy keeps as a pickle: its default refuses, and we never ask for more."""
    import numpy as np

    np.save(tmp_path / "objects.npy", np.array([{}], dtype=object), allow_pickle=True)
    with pytest.raises(ValueError, match="allow_pickle=False"):
        np.load(tmp_path / "objects.npy")
