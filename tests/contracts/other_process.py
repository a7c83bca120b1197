"""What the contract tests let another process do: python -m tests.contracts.other_process <store> <root> <act> …"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from dsp_pipeline.errors import ConflictError
from tests.contracts.implementations import STORES

REPOSITORY = Path(__file__).parents[2]


def start(*words: str | Path) -> subprocess.Popen[str]:
    """The process, with pipes to its input and from its output."""
    command = [sys.executable, "-m", __name__, *map(str, words)]
    return subprocess.Popen(
        command, cwd=REPOSITORY, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )


def say(word: object) -> None:
    sys.stdout.write(f"{word}\n")
    sys.stdout.flush()


def main() -> None:
    store = STORES[sys.argv[1]](Path(sys.argv[2]))
    match sys.argv[3:]:
        case ["claim", name, count]:
            say("ready")
            sys.stdin.readline()
            for number in range(int(count)):
                try:
                    store.put(f"claims/{number:03}", f"{name}\n".encode() * 2_000, if_absent=True)
                    say(number)
                except ConflictError:
                    pass
        case ["count", key, times]:
            say("ready")
            sys.stdin.readline()
            for _ in range(int(times)):
                while True:
                    with store.get(key) as stream:
                        seen = int(stream.read())
                    etag = next(store.list(key)).etag
                    with store.get(key) as stream:
                        if int(stream.read()) != seen:
                            continue  # the number is older than the etag
                    try:
                        store.put(key, str(seen + 1).encode(), if_match=etag)
                        break
                    except ConflictError:
                        pass
        case ["put", key, path]:
            store.put(key, Path(path))


if __name__ == "__main__":
    main()
