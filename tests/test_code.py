"""Which code counts for an output's address."""

from __future__ import annotations

import os
import shutil
import textwrap
from importlib.metadata import version
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dsp_pipeline.code import Code, deciding_versions, reached
from dsp_pipeline.errors import ModelError

PROJECT = Path(__file__).parents[1]

MODEL = '''
"""A model."""
from lib.rows import build, Base

class Mine(Base):
    """A kind of rows."""

    size = 3

class Odd(Exception):
    """What is odd."""

def prepare(rows):
    """What is done first."""
    rows = build(rows)

    return rows

model = prepare(Mine(4, compatible_with="a = b"))
'''

ROWS = '''
"""Rows."""
import math
from typing import TYPE_CHECKING
from lib.maths import scaled as by_scale

if TYPE_CHECKING:
    from lib.unrelated import Other

LIMIT = 10
UNUSED = 11

def logged(function):
    return function

class Base:
    def __init__(self, n, compatible_with=""):
        self.n = n

    def half(self):
        return self.n // 2

def build(rows, most=LIMIT):
    return [by_scale(row) for row in rows][:most]

def unrelated(rows: Other):
    return math.fsum(rows)

if __name__ == "__main__":
    print(unrelated([1]))
'''

MATHS = """
import math

FACTOR, SHIFT = 2, 0

def scaled(value):
    if value > 9:
        return scaled(value / 10)
    return math.floor(value * FACTOR)

def other(value):
    return value
"""

FILES = {
    "models/__init__.py": "",
    "models/m.py": MODEL,
    "lib/__init__.py": "",
    "lib/rows.py": ROWS,
    "lib/maths.py": MATHS,
    "lib/unrelated.py": "class Other: ...\n",
}


def write(folder: Path, files: dict[str, str]) -> Path:
    for name, text in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(textwrap.dedent(text), encoding="utf-8")
    return folder


def code(folder: Path, files: dict[str, str], name: str | None = None) -> Code:
    return reached([(write(folder, files) / "models" / "m.py", name)], [folder])


def changed(folder: Path, files: dict[str, str], file: str, old: str, new: str) -> bool:
    """Whether the fingerprint of models/m.py is another one after an edit."""
    before = code(folder, files).fingerprint
    assert old in files[file]
    return code(folder, {**files, file: files[file].replace(old, new, 1)}).fingerprint != before


@pytest.mark.parametrize(
    ("file", "old", "new"),
    [
        ("models/m.py", "size = 3", "size = 3  # three"),
        ("models/m.py", "rows = build(rows)\n\n", "\n\n    # first\n    rows = build(\n        rows,\n    )\n"),
        ("models/m.py", '"""A model."""', '"""Another sentence."""'),
        ("models/m.py", '"""A model."""\n', ""),
        ("models/m.py", '"""A kind of rows."""', '"""Rows of a kind."""'),
        ("models/m.py", '    """What is done first."""\n', ""),
        ("models/m.py", '"""What is odd."""', "pass"),
        ("models/m.py", "import build, Base", "import (\n    Base,\n    build,\n)"),
        ("models/m.py", '"a = b"', '"b = c"'),
        ("models/m.py", ', compatible_with="a = b"', ""),
        ("lib/rows.py", '"""Rows."""', '"""Columns."""'),
        ("lib/rows.py", "UNUSED = 11", "UNUSED = 12"),
        ("lib/rows.py", "math.fsum(rows)", "math.prod(rows)"),
        ("lib/rows.py", "import math", "import math as m"),
        ("lib/rows.py", "print(unrelated([1]))", "print(unrelated([2]))"),
        ("lib/rows.py", "import Other", "import Other, Another"),
        ("lib/rows.py", "def unrelated", "def rather_unrelated"),
        ("lib/maths.py", "def other(value):\n    return value", "def other(value):\n    return value + 1"),
        ("lib/maths.py", "def other", "def another(value): ...\n\ndef other"),
        ("lib/maths.py", "(value * FACTOR)", "((value) * (FACTOR))"),
        ("lib/unrelated.py", "...", "a = 1"),
    ],
)
def test_what_makes_no_difference_does_not_count(tmp_path: Path, file: str, old: str, new: str) -> None:
    """Comments, layout, docstrings, declarations; what is never run when imported; what stands beside what is used."""
    assert not changed(tmp_path, FILES, file, old, new)


@pytest.mark.parametrize(
    ("file", "old", "new"),
    [
        ("models/m.py", "size = 3", "size = 4"),
        ("models/m.py", "Mine(4", "Mine(5"),
        ("models/m.py", "build, Base", "unrelated as build, Base"),
        ("lib/rows.py", "LIMIT = 10", "LIMIT = 9"),
        ("lib/rows.py", "self.n // 2", "self.n / 2"),
        ("lib/rows.py", "[:most]", "[1:most]"),
        ("lib/rows.py", "scaled as by_scale", "other as by_scale"),
        ("lib/rows.py", "class Base:", "@logged\nclass Base:"),
        ("lib/maths.py", "value > 9", "value > 8"),
        ("lib/maths.py", "FACTOR, SHIFT = 2", "FACTOR, SHIFT = 3"),
        ("lib/maths.py", "import math", "import cmath as math"),
        ("lib/maths.py", "def other", "FACTOR += 1\n\ndef other"),
        ("lib/maths.py", "def other", "scaled = other\n\ndef other"),
        ("lib/maths.py", "def other", "scaled.by = 2\n\ndef other"),
        ("lib/maths.py", "def other", "print(scaled(1))\n\ndef other"),
        ("lib/maths.py", "def other", "if SHIFT:\n    def scaled(value): ...\n\ndef other"),
        ("lib/__init__.py", "", "print('imported')"),
        ("models/__init__.py", "", "print('imported')"),
    ],
)
def test_what_is_reached_counts(tmp_path: Path, file: str, old: str, new: str) -> None:
    """Helpers of helpers, constants, bases, what an import leads to, and what runs when a module is imported."""
    assert changed(tmp_path, FILES, file, old, new)


WAYS = {
    "alias": {"models/m.py": "from lib.x import used as u\nmodel = u(1)"},
    "module alias": {"models/m.py": "import lib.x as x\nmodel = x.used(1)"},
    "dotted module": {"models/m.py": "import lib.x\nmodel = lib.x.used(1)"},
    "module of a folder": {"models/m.py": "from lib import x\nmodel = x.used(1)"},
    "module of folders": {
        "models/m.py": "from lib import deep\nmodel = deep.y.used(1)",
        "lib/deep/y.py": "from ..x import used",
    },
    "module of a package": {"lib/__init__.py": "", "models/m.py": "from lib import x\nmodel = x.used(1)"},
    "name of a function and its module": {
        "lib/__init__.py": "",
        "lib/used/__init__.py": "from .used import used",
        "lib/used/used.py": "from lib import x\ndef used(n): return x.used(n)",
        "models/m.py": "from lib.used import used\nmodel = used(1)",
    },
    "re-export": {
        "lib/__init__.py": "from .x import used as shown, unused",
        "models/m.py": "from lib import shown\nmodel = shown(1)",
    },
    "re-export of a module": {"lib/__init__.py": "from . import x", "models/m.py": "import lib\nmodel = lib.x.used(1)"},
    "two re-exports": {
        "lib/__init__.py": "from .y import used",
        "lib/y.py": "from lib.x import used",
        "models/m.py": "from lib import used\nmodel = used(1)",
    },
    "relative": {"models/__init__.py": "", "models/m.py": "from ..lib.x import used\nmodel = used(1)"},
    "relative sibling": {
        "lib/y.py": "from . import x\ndef f(): return x.used(1)",
        "models/m.py": "from lib.y import f\nmodel = f()",
    },
    "in a function": {"models/m.py": "def f():\n    from lib.x import used\n    return used(1)\nmodel = f()"},
    "module in a function": {"models/m.py": "def f():\n    import lib.x as x\n    return x.used(1)\nmodel = f()"},
    "try": {"models/m.py": "try:\n    from lib.x import used\nexcept ImportError:\n    used = None\nmodel = used(1)"},
    "base class": {"models/m.py": "from lib import x\nclass M(x.used): ...\nmodel = M()"},
    "decorator": {"models/m.py": "from lib.x import used\n@used\ndef model(): ..."},
    "default": {"models/m.py": "from lib.x import used\ndef model(a, *, b=used(1)): ..."},
    "annotation": {"models/m.py": "from lib.x import used\ndef model(a: list[used]): ..."},
    "f-string": {"models/m.py": "from lib.x import used\nmodel = f'{used(1):>{3}}'"},
    "nested": {
        "models/m.py": "from lib.x import used\ndef model():\n    def g(): return lambda: used(1)\n    return g"
    },
    "attribute of a name": {"models/m.py": "from lib import x\nmodel = x.used.by(1)"},
    "import cycle": {
        "lib/y.py": "from lib.z import g\ndef f(n): return g(n - 1)",
        "lib/z.py": "from lib import y, x\ndef g(n): return n and y.f(n) or x.used(n)",
        "models/m.py": "from lib.y import f\nmodel = f(3)",
    },
    "re-exported as a model": {"models/m.py": "from lib.x import used as model"},
    "global": {"models/m.py": "from lib.x import used\nh = 0\ndef f():\n    global h\n    h = used(1)\nmodel = f()"},
}
X = {"lib/x.py": "def used(n): return n + 1\ndef unused(n): return n + 2\n"}


@pytest.mark.parametrize("way", WAYS)
def test_every_way_of_importing_leads_to_the_definition(tmp_path: Path, way: str) -> None:
    """To it alone: what stands beside it does not count."""
    files = {**X, **WAYS[way]}
    if way == "relative":  # the project's root must be a package for `..` to lead anywhere
        files = {f"app/{name}": text for name, text in files.items()}
        entry, module = tmp_path / "app" / "models" / "m.py", "app/lib/x.py"
    else:
        entry, module = tmp_path / "models" / "m.py", "lib/x.py"
    write(tmp_path, files)
    first = reached([(entry, None)], [tmp_path])
    write(tmp_path, {module: files[module].replace("n + 2", "n + 22")})
    assert reached([(entry, None)], [tmp_path]) == first
    write(tmp_path, {module: files[module].replace("n + 1", "n + 11")})
    assert reached([(entry, None)], [tmp_path]).fingerprint != first.fingerprint
    assert f"{module[:-3].replace('/', '.')}:used" in first.reached


@pytest.mark.parametrize(
    "model",
    [
        "from lib import x\nmodel = getattr(x, 'us' + 'ed')(1)",
        "import lib.x\nmodel = vars(lib.x)['used'](1)",
        "import lib.x\nmodel = vars(lib)['x'].used(1)",
        "from lib.x import *\nmodel = used(1)",
        "from lib.x import made_at_run_time\nmodel = made_at_run_time(1)",
        "from lib import x\nmodel = x.made_at_run_time(1)",
        "from lib.y import f\nmodel = f(1)",
        "from lib.y import g\nmodel = g(1)",
        "from lib.x import by_name\nmodel = by_name('used')",
        "def f():\n    from lib import x  # for what it does\nmodel = f()",
    ],
)
def test_of_a_module_that_is_used_in_an_unknown_way_all_counts(tmp_path: Path, model: str) -> None:
    """Passed on, star-imported, looked through by name, or asked for what is not in it."""
    files = {
        "models/m.py": model,
        "lib/x.py": X["lib/x.py"] + "def by_name(name): return globals()[name]\n",
        "lib/y.py": "from lib.x import *\ndef f(n): return used(n)",
    }
    assert changed(tmp_path, files, "lib/x.py", "n + 1", "n + 11")
    assert changed(tmp_path, files, "lib/x.py", "n + 2", "n + 22")
    assert "lib.x:*" in code(tmp_path, files).reached


def test_definitions_below_a_decorator_of_the_project_count_as_they_may_register_themselves(tmp_path: Path) -> None:
    """One below a decorator of a library does not."""
    files = {
        "models/m.py": "from lib.x import find\nmodel = find('a')",
        "lib/x.py": """
            from functools import cache
            KINDS = {}
            def kind(function):
                KINDS[function.__name__] = function
            def find(name): return KINDS[name]
            @kind
            def a(): return 1
            @cache
            def b(): return 2
            """,
    }
    assert changed(tmp_path, files, "lib/x.py", "return 1", "return 11")
    assert not changed(tmp_path, files, "lib/x.py", "return 2", "return 22")


def test_what_an_imported_module_runs_counts_however_deep_it_is_imported(tmp_path: Path) -> None:
    """Whatever name is taken of it; it is listed by the module's name."""
    files = {
        "models/m.py": "from lib.y import f\nmodel = f()",
        "lib/y.py": "import lib.z\ndef f(): return 1\ndef g(): return lib.z.h()",
        "lib/z.py": "import os\nos.umask(1)\ndef h(): return 2",
    }
    assert changed(tmp_path, files, "lib/z.py", "umask(1)", "umask(2)")
    assert not changed(tmp_path, files, "lib/z.py", "return 2", "return 3")
    assert code(tmp_path, files).reached == ("lib.y:f", "lib.z", "models/m.py")


def test_the_order_of_definitions_does_not_count_and_that_of_assignments_does(tmp_path: Path) -> None:
    """A function may move; of `A = 1` and `A = 2` the last decides, and where it stands."""
    first, second = "def a(): return 1\n", "def b(): return a()\n"
    files = {"models/m.py": f"{first}{second}A = 1\nA = 2\n"}
    assert not changed(tmp_path, files, "models/m.py", first + second, second + first)
    assert changed(tmp_path, files, "models/m.py", "A = 1\nA = 2\n", "A = 2\nA = 1\n")
    orders = ("A = 1\nA = 2\nB = A", "A = 1\nB = A\nA = 2")
    assert len({code(tmp_path, {"models/m.py": text}, "B").fingerprint for text in orders}) == 2


def test_an_entry_may_be_one_name_of_a_file(tmp_path: Path) -> None:
    """Then the rest of the file does not count; if the file has no such name, all of it does."""
    files = {**FILES, "models/m.py": MODEL + "\ndef alone():\n    return LEFT\nLEFT = 1\n"}
    assert code(tmp_path, files, "alone").reached == ("models.m:LEFT", "models.m:alone")
    assert code(tmp_path, files, "gone").reached == (*code(tmp_path, files).reached[:-1], "models.m:*")


def test_a_global_that_a_function_only_adds_to_counts(tmp_path: Path) -> None:
    """Though the function has no line that reads it."""
    files = {"models/m.py": "n = 0\ndef f():\n    global n\n    n += 1"}
    assert code(tmp_path, files, "f").reached == ("models.m:f", "models.m:n")


def test_what_is_reached_is_told_by_name(tmp_path: Path) -> None:
    """An entry by its file, a definition by module and name."""
    assert code(tmp_path, FILES).reached == (
        "lib.maths:FACTOR",
        "lib.maths:scaled",
        "lib.rows:Base",
        "lib.rows:LIMIT",
        "lib.rows:build",
        "models/m.py",
    )


def test_packages_are_those_that_the_reached_code_imports(tmp_path: Path) -> None:
    """At the top if it uses them, and anywhere inside it; not the standard library, nor what only type checkers see."""
    model = """
        from __future__ import annotations
        import os, numpy as np
        import xml.dom
        from typing import TYPE_CHECKING
        from lib.x import f
        if TYPE_CHECKING:
            import pandas
        def g():
            import sklearn.metrics
            try:
                from scipy import stats
            except ImportError:
                pass
        model = np.zeros(f(g))
        """
    helper = (
        "import xgboost, duckdb\nimport rich.table as t\ndef f(n): return xgboost, t.Table\ndef g(): import boto3\n"
    )
    found = code(tmp_path, {"models/m.py": model, "lib/x.py": helper})
    assert found.packages == {"numpy", "sklearn", "scipy", "xgboost", "rich"}


def test_versions_are_told_of_the_libraries_that_decide_the_numbers() -> None:
    """By the names of their projects, under which they are installed; others, and absent ones, are left out."""
    assert deciding_versions(["sklearn", "numpy", "xgboost"]) == {
        "scikit-learn": version("scikit-learn"),
        "xgboost": version("xgboost-cpu"),
    }
    assert list(deciding_versions({"sklearn"})) == ["scikit-learn"]
    assert deciding_versions([]) == {}


@pytest.mark.parametrize(("text", "problem"), [("a = 1\ndef f(:\n", r":2: not Python: "), ("a\0b", "not Python: ")])
def test_a_file_that_is_not_python_is_named_with_its_line(tmp_path: Path, text: str, problem: str) -> None:
    """Also one that is only imported."""
    with pytest.raises(ModelError, match=rf"lib/x\.py.*{problem}"):
        code(tmp_path, {"models/m.py": "import lib.x", "lib/x.py": text})


def test_an_entry_that_is_not_there_is_named(tmp_path: Path) -> None:
    """As is one that cannot be read."""
    with pytest.raises(ModelError, match=r"gone\.py: cannot be read: there is no such file\."):
        reached([(tmp_path / "gone.py", None)], [tmp_path])
    with pytest.raises(ModelError, match="cannot be read: Is a directory"):
        reached([(tmp_path, None)], [tmp_path])


def test_two_checkouts_have_one_fingerprint(tmp_path: Path) -> None:
    """Wherever they lie, and whatever else lies there."""
    here = code(tmp_path / "a", FILES)
    there = code(tmp_path / "b" / "c", {**FILES, "models/n.py": "model = 2", "math.txt": ""})
    assert here == there
    assert code(tmp_path / "d", {**FILES, "models/m.py": MODEL.replace("4", "5")}) != here


def test_a_module_is_taken_of_the_first_root_that_has_it(tmp_path: Path) -> None:
    """An entry outside of all roots is known by its file name."""
    files = {name: text for name, text in FILES.items() if name.startswith("lib/")}
    first, second = write(tmp_path / "first", files), write(tmp_path / "second", files)
    entry = write(tmp_path, {"m.py": MODEL}) / "m.py"
    before = reached([(entry, None)], [first, second])
    assert "m.py" in before.reached
    (second / "lib" / "maths.py").write_text("")
    assert reached([(entry, None)], [first, second]) == before
    assert reached([(entry, None)], [second, first]) != before
    shutil.rmtree(second / "lib")
    assert reached([(entry, None)], [second, first]) == before


def test_of_roots_within_each_other_the_inner_one_names_the_entry(tmp_path: Path) -> None:
    """In whatever order they are given."""
    inner = write(tmp_path / "in" / "side", FILES)
    entry = (inner / "models" / "m.py", None)
    assert reached([entry], [tmp_path, inner]) == reached([entry], [inner, tmp_path]) == reached([entry], [inner])


def test_modules_that_are_kept_apart_do_not_count(tmp_path: Path) -> None:
    """Neither they nor what only they reach; that they are imported still counts."""
    entry = (write(tmp_path, FILES) / "models" / "m.py", None)
    found = reached([entry], [tmp_path], ["lib.maths"])
    assert found.reached == ("lib.rows:Base", "lib.rows:LIMIT", "lib.rows:build", "models/m.py")
    write(tmp_path, {"lib/maths.py": "scaled = 3"})
    assert reached([entry], [tmp_path], ["lib.maths"]) == found
    write(tmp_path, {"lib/rows.py": ROWS.replace("scaled as", "other as")})
    assert reached([entry], [tmp_path], ["lib.maths"]).fingerprint != found.fingerprint


def test_beside_installed_packages_only_those_of_the_entries_are_the_project(tmp_path: Path) -> None:
    """The same code has one fingerprint from a checkout and installed."""
    files = {"app/__init__.py": "", "app/m.py": "import app.x, lib\nmodel = app.x.f(lib)", "app/x.py": "def f(n): ..."}
    checkout = write(tmp_path / "checkout", files)
    installed = write(tmp_path / "site-packages", {**files, "lib/__init__.py": "print('not ours')"})
    found = [reached([(root / "app" / "m.py", None)], [root]) for root in (checkout, installed)]
    assert found[0] == found[1]
    assert found[0].packages == {"lib"}


def test_a_file_is_read_again_when_it_has_changed(tmp_path: Path) -> None:
    """Also within the same size, by its time."""
    path = write(tmp_path, {"m.py": "a = 1"}) / "m.py"
    before = reached([(path, None)], [tmp_path])
    path.write_text("a = 2")
    os.utime(path, ns=(1, 1))
    assert reached([(path, None)], [tmp_path]) != before


@settings(max_examples=25, deadline=None)
@given(lines=st.lists(st.sampled_from(["", "# a word", "    # further in", "\t", "\f"]), min_size=40, max_size=40))
def test_comments_and_blank_lines_never_count(lines: list[str], tmp_path_factory: pytest.TempPathFactory) -> None:
    """Wherever they are put between lines."""
    folder = tmp_path_factory.mktemp("project")
    before = code(folder, FILES)
    for name, text in (("models/m.py", MODEL), ("lib/rows.py", ROWS)):
        spaced = [line for pair in zip(text.splitlines(), lines, strict=False) for line in pair]
        write(folder, {name: "\n".join([*spaced, *text.splitlines()[len(lines) :]])})
    assert reached([(folder / "models" / "m.py", None)], [folder]) == before


def test_of_this_project_all_that_fits_and_measures_a_model_counts_and_no_more() -> None:
    """From the model file and `fit` to the trees, the encoding and the metrics; not logs, warehouse or registry."""
    package = PROJECT / "dsp_pipeline"
    found = reached([(package / "models" / "click_rate.py", None), (package / "training" / "fit.py", "fit")], [PROJECT])
    training = {name.removeprefix("dsp_pipeline.training.") for name in found.reached if ".training." in name}
    assert {"fit:fit", "judge:Judge", "boost:gain", "boost:grow", "boost:_PageReader", "boost:MAX_BIN"} <= training
    assert {"encode:Encoder", "encode:_floats", "metrics:measure", "pages:write_pages", "model:Model"} <= training
    assert {"parameters:canonical", "calibrate:calibrate", "golden:GoldenRows", "holdout:Holdout"} <= training
    assert not training & {"model:load_model", "model:find_models"}
    others = {name.split(":")[0] for name in found.reached if ".training." not in name}
    assert others == {"dsp_pipeline.errors", "dsp_pipeline.meter", "models/click_rate.py"}
    assert found.packages == {"numpy", "pyarrow", "scipy", "sklearn", "xgboost"}


def test_a_file_that_is_taken_whole_is_known_by_its_folder_and_name(tmp_path: Path) -> None:
    """A copy of the team's folders elsewhere is the same code, with the project's own modules from the other root."""
    files = {"app/models/m.py": "from lib.rows import build\nmodel = build(1)", **FILES}
    first = write(tmp_path / "first", files)
    other = write(tmp_path / "other", {"copy/models/m.py": files["app/models/m.py"]})
    here = reached([(first / "app" / "models" / "m.py", None)], [first])
    there = reached([(other / "copy" / "models" / "m.py", None)], [other, first])
    assert "models/m.py" in here.reached
    assert here == there
