"""python -m console …: what `make run`, `make run-obd`, `make ui` and `make stop` call."""

from __future__ import annotations

import argparse
import sys
import webbrowser

from console import assistant, cloud_local, demo, luigid, run_task
from dsp_pipeline.errors import DspError


def main(argv: list[str]) -> int:
    parser = argparse.ArgumentParser(prog="python -m console", description="Run the whole pipeline on this machine.")
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    commands.add_parser("demo", help="simulate a few days of logs and run the graph on them")
    commands.add_parser("open-bandit", help="run the graph on the Open Bandit Dataset")
    commands.add_parser("cloud-local", help="the same on an S3 and a BigQuery that run on this machine")
    commands.add_parser("ui", help="start luigid if it does not run, and open its page")
    commands.add_parser("stop", help="end luigid")
    helper = commands.add_parser("assist", help="work for a luigid that another worker has filled, until ended")
    helper.add_argument("address", help="of luigid, as http://127.0.0.1:8082")
    helper.add_argument("settings", nargs="*", metavar="SECTION.NAME=VALUE", help="settings of luigi.cfg")
    production = commands.add_parser("run-task", help="run a task in production, show its lines, end as it ends")
    production.add_argument("--size", default="medium", help="of the container: small, medium or large")
    production.add_argument("--role", default="export", help="by which it works: ingest, train, export or branch")
    production.add_argument("--tag", default="", help="of a branch's image; it then runs as `branch`")
    production.add_argument("task", nargs=argparse.REMAINDER, help="as DailyPipeline --date 2026-11-21")
    given = parser.parse_args(argv)
    command = given.command
    try:
        if command == "assist":
            assistant.assist(given.address, dict(setting.split("=", 1) for setting in given.settings))
            return 0
        if command == "run-task":
            return run_task.run_task(run_task.Run(given.task, given.size, given.role, given.tag))
        if command == "demo":
            return demo.run_simulated()
        if command == "open-bandit":
            return demo.run_open_bandit()
        if command == "cloud-local":
            return cloud_local.run_cloud_local()
        if command == "ui":
            address = luigid.start()
            print(f"luigid is at {address}")
            if not address.endswith(f":{luigid.luigis_port()}"):
                print(f"luigi looks elsewhere, so tell it: luigi --module tasks … --scheduler-url {address}")
            webbrowser.open(address)
            return 0
        print("luigid ended." if luigid.stop() else "luigid was not running.")
        return 0
    except DspError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    except OSError as error:
        where = f"{error.filename}: " if error.filename else ""
        print(f"error: {where}{error.strerror}; run this in a folder that you may write.", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("interrupted; what was done is kept: run the same again to go on.", file=sys.stderr)
        return 130


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
