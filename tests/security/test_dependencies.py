"""What we install is what was chosen, to the byte; and whether a hole of it is known, where that can be asked."""

from __future__ import annotations

import os
import re
import subprocess
from pathlib import Path

import pytest

PROJECT = Path(__file__).parents[2]
LOCKS = ("requirements.lock", "docker/pipeline.lock", "docker/luigid.lock", "console/standins/bigquery.lock")
AUDIT = PROJECT / ".cache" / "audit" / "bin" / "pip-audit"


@pytest.mark.parametrize("name", LOCKS)
def test_every_dependency_is_pinned_with_its_checksums(name: str) -> None:
    """An exact version, at least one SHA-256, and nothing from an address of its own."""
    text = (PROJECT / name).read_text().replace("\\\n", " ")
    lines = [line for line in text.splitlines() if line.strip() and not line.lstrip().startswith("#")]
    assert len(lines) > 5
    for line in lines:
        assert re.match(r"^[A-Za-z0-9._-]+(\[[a-z0-9,._-]+\])?==[^ ;]+", line), line
        assert "--hash=sha256:" in line, line
        assert "://" not in line, line


def test_installing_asks_for_the_checksums() -> None:
    """Everywhere that installs from a lock."""
    files = ("Makefile", "docker/pipeline.Dockerfile", "docker/luigid.Dockerfile", "console/standins/bigquery.py")
    for name in files:
        text = (PROJECT / name).read_text()
        assert "--require-hashes" in text, name


def test_no_dependency_has_a_known_hole(tmp_path: Path) -> None:
    """By pip-audit, which asks the advisory database of PyPI: `make audit` makes it ready, and needs a network."""
    if not AUDIT.exists() or "DSP_AUDIT" not in os.environ:
        pytest.skip("skipped: advisories cannot be had offline: make audit")
    old = tmp_path / "old.txt"
    old.write_text("pyyaml==5.3\n")  # CVE-2020-1747
    known = audited("--no-deps", "-r", str(old)).stdout
    if not re.search("PYSEC-|GHSA-|CVE-", known):  # nobody answers, or a mirror that has files and no advisories
        pytest.skip("skipped: the advisory database does not answer: it does not know the holes of PyYAML 5.3")
    for name in LOCKS:
        done = audited("--require-hashes", "--strict", "-r", name)
        assert done.returncode == 0, done.stdout + done.stderr


def audited(*words: str) -> subprocess.CompletedProcess[str]:
    command = [str(AUDIT), "--disable-pip", "--progress-spinner", "off", *words]
    return subprocess.run(command, cwd=PROJECT, capture_output=True, text=True, timeout=600, check=False)
