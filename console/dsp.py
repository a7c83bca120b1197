"""dsp, the command of operators and data scientists: `dsp plan`, `dsp try`, …

A command is a file of console/commands/. What it is asked about is written as for luigi (console/asked.py).
"""

from __future__ import annotations

import logging
import signal
import sys
from collections.abc import Iterable
from importlib import import_module
from pathlib import Path

import click

from console import workers
from dsp_pipeline.errors import SettingsError, UnknownNameError

# What is done at night whatever is wrong in a file of the team's.
_EMERGENCY = ("doctor", "models", "promote", "rollback")
_COMMANDS = Path(__file__).with_name("commands")


class _Commands(click.Group):
    """The files of console/commands/, each imported when it is needed: `dsp --help` must not wait for all libraries."""

    def list_commands(self, _context: click.Context) -> list[str]:
        return sorted(path.stem.rstrip("_") for path in _COMMANDS.glob("[!_]*.py"))

    def get_command(self, context: click.Context, name: str) -> click.Command | None:
        if name not in self.list_commands(context):
            return None
        module = name if (_COMMANDS / f"{name}.py").exists() else f"{name}_"  # `try` is a word of Python
        found = import_module(f"console.commands.{module}").command
        assert isinstance(found, click.Command)
        return found


def _settings(_context: click.Context, _option: click.Parameter, given: tuple[str, ...]) -> dict[str, str]:
    found = {}
    for one in given:
        name, equals, value = one.partition("=")
        section, dot, key = name.partition(".")
        if not (equals and dot and section and key):
            raise SettingsError(f"--set {one!r}: write SECTION.NAME=VALUE, as dsp.lake=elsewhere.")
        found[name] = value
    return found


def _refuse_unknown(settings: Iterable[str], sections: Iterable[str]) -> None:
    """UnknownNameError if a setting is of a section that neither luigi.cfg nor luigi, nor a task, has.

    Names in ours are looked at with luigi.cfg's; luigi's own sections may hold what no class of luigi's declares.
    """
    from luigi.task_register import Register

    known = {*sections, *Register.task_names()}
    for name in settings:
        section = name.partition(".")[0]
        if section not in known:
            ours = [one for one in known if one in ("dsp", "bigquery") or one in sections]
            raise UnknownNameError("section of --set", section, ours)


@click.command(cls=_Commands, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110})
@click.option(
    "--set",
    "settings",
    multiple=True,
    metavar="SECTION.NAME=VALUE",
    callback=_settings,
    help="A setting in the place of luigi.cfg's, as dsp.environment=production. May be given several times.",
)
@click.pass_context
def dsp(context: click.Context, settings: dict[str, str]) -> None:
    """Look at the pipeline, try one task of it, run one anew, and say which model bidders load.

    TASK is written as for luigi (FeatureBuild --table click_rate --date 2026-11-21) or shorter: a table, an event with
    an hour, an experiment or EXPERIMENT/ARM, with a day; without a day the newest that can be made is meant, and of
    what is looked at (show, where, why) the newest that is there.

    Settings are those of the luigi.cfg of this folder.
    """
    from luigi.configuration import get_config

    sections = get_config().sections()
    workers.configure(settings)
    import tasks  # which sets logging up

    _refuse_unknown(settings, sections)

    if tasks.wrong is not None and context.invoked_subcommand not in _EMERGENCY:
        raise tasks.wrong
    logging.getLogger("dsp").setLevel(logging.WARNING)  # a command that runs tasks says so itself


def main() -> None:
    """Run the command; an error is one sentence, and an exit code that is not 0."""
    try:
        sys.exit(dsp.main(standalone_mode=False, prog_name="dsp") or 0)
    except click.Abort as error:
        if isinstance(error.__cause__, KeyboardInterrupt):  # which click puts it in the place of, unless it asks
            print("interrupted.", file=sys.stderr)
            sys.exit(128 + signal.SIGINT)
        print("nothing was changed.", file=sys.stderr)
        sys.exit(1)
    except click.ClickException as error:
        if isinstance(error, click.NoSuchOption) and error.option_name == "--set":
            error = click.UsageError(workers.SET_FIRST, error.ctx)
        error.show()
        sys.exit(error.exit_code)
    except BaseException as error:
        if isinstance(error, SystemExit):
            raise
        from tasks import stopped
        from tasks.logs import dsp_traceback, sentence, told_in_a_sentence

        if stopped.asked():  # whatever the interrupted library made of it
            print("stopped by SIGTERM.", file=sys.stderr)
            sys.exit(128 + signal.SIGTERM)
        if dsp_traceback() or not told_in_a_sentence(error):
            raise
        print(f"error: {sentence(error)}", file=sys.stderr)
        sys.exit(1)


if __name__ == "__main__":
    main()
