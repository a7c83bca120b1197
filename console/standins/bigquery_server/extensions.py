"""DuckDB's extensions from the installed packages, instead of from the network and the home folder."""

import functools
import importlib.util
from pathlib import Path

import duckdb

_NEEDED = ("icu", "ducklake", "spatial", "httpfs")


def from_packages(folder: Path) -> None:
    """From now on each new DuckDB of this process finds them, by links in this folder, where it looks first."""
    with duckdb.connect() as connection:
        [(platform,)] = connection.execute("PRAGMA platform").fetchall()
    links = folder / f"v{duckdb.__version__}" / platform
    links.mkdir(parents=True, exist_ok=True)
    for name in _NEEDED:
        link = links / f"{name}.duckdb_extension"
        link.unlink(missing_ok=True)
        link.symlink_to(_file(name))
    duckdb.connect = functools.partial(_connect, duckdb.connect, str(folder))


def _connect(connect, folder: str, *args, config: dict[str, str] | None = None, **others):
    ours = {"extension_directory": folder, "memory_limit": "2GB"}
    return connect(*args, config={**ours, **(config or {})}, **others)


def _file(name: str) -> Path:
    package = importlib.util.find_spec(f"duckdb_extension_{name}")
    [folder] = package.submodule_search_locations
    return Path(folder, "extensions", f"v{duckdb.__version__}", f"{name}.duckdb_extension")
