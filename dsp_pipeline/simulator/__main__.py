"""`python -m dsp_pipeline.simulator`: write the logs of a simulated DSP to a folder."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from datetime import date
from pathlib import Path
from typing import NoReturn

from dsp_pipeline.errors import DspError
from dsp_pipeline.simulator.parameters import DEMO_FAULTS, EVENT_NAMES, Faults, Simulation
from dsp_pipeline.simulator.simulate import simulate

_FAULTS = {"demo": DEMO_FAULTS, "none": Faults()}


class _Parser(argparse.ArgumentParser):
    """Says what is wrong in one sentence; argparse would print the usage before it."""

    def error(self, message: str) -> NoReturn:
        self.exit(2, f"{self.prog}: {message}; see --help\n")


def _parser() -> argparse.ArgumentParser:
    parser = _Parser(
        prog="python -m dsp_pipeline.simulator",
        description="Write the raw hourly logs of a simulated DSP: bids, wins, impressions, clicks, conversions. The "
        "same options give the same bytes. A folder that is whole already is left alone; after an interruption, call "
        "again.",
        epilog="example: python -m dsp_pipeline.simulator --out raw --first 2026-11-17 --days 6 --faults demo",
    )
    parser.add_argument("--out", type=Path, required=True, metavar="DIR", help="folder to write to, made if missing")
    parser.add_argument(
        "--first", type=_day, required=True, metavar="YYYY-MM-DD", help="first day (UTC); hours begin at 00:00"
    )
    parser.add_argument("--days", type=int, default=1, metavar="N", help="how many days (default: %(default)s)")
    parser.add_argument(
        "--impressions", type=int, default=100_000, metavar="N", help="impressions a day, about (default: %(default)s)"
    )
    parser.add_argument(
        "--seed", type=int, default=7, metavar="N", help="another world for each (default: %(default)s)"
    )
    parser.add_argument(
        "--faults", choices=sorted(_FAULTS), default="none", help="demo: a few bad lines, duplicates and late files"
    )
    parser.add_argument(
        "--events",
        default=",".join(EVENT_NAMES),
        metavar="A,B",
        help="write only these logs, with commas between; without bid it is much faster (default: all: %(default)s)",
    )
    parser.add_argument("--workers", type=int, default=2, metavar="N", help="processes (default: %(default)s)")
    return parser


def _day(text: str) -> date:
    try:
        return date.fromisoformat(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} is not a date such as 2026-11-17") from None


def _show(done: int, total: int) -> None:
    sys.stderr.write(f"\r{done}/{total} hours" + ("\n" if done == total else ""))
    sys.stderr.flush()


def main(arguments: Sequence[str] | None = None) -> int:
    """The exit code: 0; after one sentence on stderr, 2, or 130 when interrupted."""
    options = _parser().parse_args(arguments)
    try:
        simulation = Simulation(
            first=options.first,
            days=options.days,
            impressions_per_day=options.impressions,
            seed=options.seed,
            events=tuple(name.strip() for name in options.events.split(",") if name.strip()),
            faults=_FAULTS[options.faults],
        )
        progress = _show if sys.stderr.isatty() else None
        manifest = simulate(simulation, options.out, progress, workers=options.workers)
    except DspError as error:
        print(error, file=sys.stderr)
        return 2
    except OSError as error:
        print(f"cannot write to {options.out}: {error.strerror}; choose another --out.", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print(f"\ninterrupted: the same command goes on with {options.out}.", file=sys.stderr)
        return 130
    rows = ", ".join(f"{count:,} {event}s" for event, count in manifest.rows.items())
    faulty = sum(count for reasons in manifest.faults.values() for count in reasons.values())
    print(f"{options.out}: {rows}; {faulty:,} faulty or duplicate lines; {sum(manifest.late.values()):,} lines late.")
    return 0


if __name__ == "__main__":
    sys.exit(main())
