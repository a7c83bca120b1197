"""A real luigid of ours in a folder of its own, with the production settings."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.parse
import urllib.request
from pathlib import Path
from typing import Any

PROJECT = Path(__file__).parents[2]
_PATIENCE = 60.0  # seconds


class Luigid:
    """`python -m scheduler` in `folder`, whose luigi.cfg is docker/luigid.cfg with /state in the folder."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.state = folder, folder / "state"
        self.state.mkdir(parents=True, exist_ok=True)
        config = (PROJECT / "docker" / "luigid.cfg").read_text()
        (folder / "luigi.cfg").write_text(config.replace("/state/", f"{self.state}/"))
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = probe.getsockname()[1]
        self.address = f"http://127.0.0.1:{self.port}"
        self.command = [sys.executable, "-m", "scheduler", "--port", str(self.port)]
        self.environment = {**os.environ, "PYTHONPATH": str(PROJECT)}

    def run(self) -> subprocess.CompletedProcess[str]:
        """One that ends by itself, because it cannot start."""
        return subprocess.run(
            self.command, cwd=self.folder, env=self.environment, capture_output=True, text=True, check=False
        )

    def start(self) -> Luigid:
        with (self.folder / "log").open("ab") as log:
            self.process = subprocess.Popen(self.command, cwd=self.folder, env=self.environment, stdout=log, stderr=log)
        deadline = time.monotonic() + _PATIENCE
        while self.health().returncode != 0:
            assert self.process.poll() is None, self.log
            assert time.monotonic() < deadline, self.log
        return self

    def health(self) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "scheduler", "health", "--port", str(self.port)]
        return subprocess.run(command, cwd=PROJECT, capture_output=True, text=True, check=False)

    def end(self, number: signal.Signals = signal.SIGTERM) -> int:
        self.process.send_signal(number)
        return self.process.wait(_PATIENCE)

    def ask(self, method: str, **given: Any) -> Any:
        data = urllib.parse.urlencode({"data": json.dumps(given)}).encode()
        with urllib.request.urlopen(f"{self.address}/api/{method}", data, timeout=30) as answer:  # noqa: S310
            return json.load(answer)["response"]

    def add(self, task: str, status: str = "PENDING", **given: Any) -> None:
        """As a worker tells of a task."""
        named = {"family": task.partition("_")[0], "params": {"n": task.partition("_")[2]}, "worker": "w"}
        self.ask("add_task", task_id=task, status=status, **{**named, **given})

    def page(self, path: str) -> str:
        with urllib.request.urlopen(f"{self.address}{path}", timeout=30) as page:  # noqa: S310
            return str(page.read().decode())

    @property
    def log(self) -> str:
        return (self.folder / "log").read_text()

    def told(self, word: str) -> list[str]:
        """Lines of the log that hold this word."""
        return [line for line in self.log.splitlines() if word in line]
