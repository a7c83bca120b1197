"""`python -m scheduler`: luigid, on loopback unless asked; `python -m scheduler health`: whether one answers."""

from __future__ import annotations

import argparse
import http.client
import logging
import sys
from collections.abc import Sequence

_PATIENCE = 5.0  # seconds


def main(words: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m scheduler", description="luigid: gives tasks to workers.")
    parser.add_argument("command", nargs="?", choices=("serve", "health"), default="serve")
    parser.add_argument(
        "--address", default="127.0.0.1", help="where to listen; it takes orders from whoever reaches it (%(default)s)"
    )
    parser.add_argument("--port", type=int, default=8082, help="(%(default)s)")
    parser.add_argument("--state-path", help="file that outlives it; [scheduler] state_path of luigi.cfg otherwise")
    asked = parser.parse_args(words)
    if asked.command == "health":
        return _health(asked.address, asked.port)
    return _serve(asked.address, asked.port, asked.state_path)


def _serve(address: str, port: int, state_path: str | None) -> int:
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)-7s %(message)s")
    logging.getLogger("tornado.access").setLevel(logging.WARNING)  # a line a call is most of the log otherwise
    # luigi: the health check does without, as it is asked all the time
    from scheduler.server import HistoryError, serve

    try:
        serve(address, port, state_path)
    except OSError as error:
        print(f"error: luigid cannot listen at {address}:{port} ({error}); give another --port.", file=sys.stderr)
        return 1
    except HistoryError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    return 0


def _health(address: str, port: int) -> int:
    connection = http.client.HTTPConnection(address, port, timeout=_PATIENCE)
    try:
        connection.request("HEAD", "/")
        status = connection.getresponse().status
    except (OSError, http.client.HTTPException) as error:
        print(f"luigid at {address}:{port} does not answer ({error}).", file=sys.stderr)
        return 1
    finally:
        connection.close()
    if status != 204:
        print(f"what answers at {address}:{port} is not luigid (HTTP {status}).", file=sys.stderr)
    return int(status != 204)


if __name__ == "__main__":
    sys.exit(main())
