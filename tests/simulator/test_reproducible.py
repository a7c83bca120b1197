"""The same parameters give the same bytes, in whatever way they are reached."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from dsp_pipeline.errors import SettingsError, UnknownNameError
from dsp_pipeline.simulator import Faults, simulate
from dsp_pipeline.simulator.__main__ import main
from dsp_pipeline.simulator.files import aside
from tests.simulator.conftest import Folder, make_simulation
from tests.simulator.parsing import contents

Fresh = Callable[..., Folder]


def test_same_seed_gives_same_bytes_with_one_worker_and_with_two(small: Folder, tmp_path: Path) -> None:
    """Two processes write what one writes, manifest and truth included."""
    simulate(small.simulation, tmp_path / "two", workers=2)
    assert contents(tmp_path / "two") == contents(small.out)


def test_other_seed_gives_other_bytes(small: Folder, fresh: Fresh) -> None:
    """Another seed changes every log that has lines."""
    other, mine = contents(fresh(seed=8).out), contents(small.out)
    same = [path for path in mine if path.startswith(("bid/", "win/", "impression/")) and mine[path] == other[path]]
    assert same == []


def test_faults_are_reproducible_and_leave_the_other_draws_alone(small: Folder, fresh: Fresh) -> None:
    """Faults have random numbers of their own: truth stays, and twice is the same."""
    faults = Faults(malformed=0.02, duplicates=0.05, wrong_type=0.02, late_files=0.5)
    first, second = contents(fresh(faults=faults).out), contents(fresh(faults=faults).out)
    assert first == second
    truth = {path: data for path, data in contents(small.out).items() if path.startswith("truth")}
    assert truth and truth.items() <= first.items()


def test_fewer_events_are_the_same_files_less_some(small: Folder, fresh: Fresh) -> None:
    """Asking for fewer logs changes nothing in those that remain."""
    chosen, mine = contents(fresh(events=("click", "impression")).out), contents(small.out)
    assert {path.split("/")[0] for path in chosen} == {
        "impression",
        "click",
        "truth",
        "manifest.json",
        "parameters.json",
    }
    assert all(mine[path] == data for path, data in chosen.items() if "/" in path)


def test_an_hour_is_the_same_whatever_day_the_simulation_begins(fresh: Fresh) -> None:
    """Hours depend on seed and hour alone, so a longer simulation begins with the shorter one's impressions."""
    two = contents(fresh(days=2).out)
    second = contents(fresh(first=make_simulation().first.replace(day=18)).out)
    logs = [path for path in second if path.startswith(("bid/", "win/", "impression/", "truth"))]
    assert len(logs) == 5 * 24
    assert all(second[path] == two[path] for path in logs)


def test_gzip_headers_hold_no_time(small: Folder) -> None:
    """Bytes 4 to 8 of gzip, the time of writing, are zero, and no name follows."""
    heads = {path.read_bytes()[:8] for path in small.out.glob("*/*/*.gz")}
    assert heads == {b"\x1f\x8b\x08\x00\x00\x00\x00\x00"}


def test_a_whole_folder_is_left_alone(fresh: Fresh) -> None:
    """The second call returns the first one's manifest and writes nothing, not even what was removed since."""
    folder = fresh()
    shutil.rmtree(folder.out / "bid")
    calls: list[tuple[int, int]] = []
    again = simulate(folder.simulation, folder.out, lambda *done: calls.append(done), workers=1)
    assert (again, calls, (folder.out / "bid").exists()) == (folder.manifest, [], False)


def test_a_killed_call_is_repeated(small: Folder, tmp_path: Path) -> None:
    """After kill -9 in the fourth hour there is no manifest; calling again gives what an undisturbed call gives."""
    program = (
        "import os, sys; from pathlib import Path; from datetime import date\n"
        "from dsp_pipeline.simulator import Simulation, simulate\n"
        "def stop(done, total):\n    if done == 4: os.kill(os.getpid(), 9)\n"
        "if __name__ == '__main__':\n"
        "    simulate(Simulation(date(2026, 11, 17), impressions_per_day=1500), Path(sys.argv[1]), stop)"
    )
    out = tmp_path / "logs"
    killed = subprocess.run([sys.executable, "-c", program, out], stderr=subprocess.DEVNULL, check=False)
    assert killed.returncode == -9
    assert (out / "impression/2026-11-17/03-0.jsonl.gz").exists() and not (out / "manifest.json").exists()
    simulate(small.simulation, out, workers=1)
    assert contents(out) == contents(small.out)


def test_files_are_renamed_into_place(fresh: Fresh) -> None:
    """Readers see the old file or the whole new one, and nothing is left aside in the end."""
    out = fresh().out
    assert not (out / ".aside").exists()
    target = out / "click/2026-11-17/00-0.jsonl.gz"
    before = target.read_bytes()
    with pytest.raises(KeyboardInterrupt), aside(out, target) as path:
        path.write_bytes(before[:5])
        raise KeyboardInterrupt
    assert target.read_bytes() == before
    with aside(out, target) as path:
        path.write_bytes(b"new")
        assert target.read_bytes() == before
    assert target.read_bytes() == b"new" and not path.exists()


def test_other_parameters_into_a_used_folder_are_refused(fresh: Fresh) -> None:
    """The message names what differs and the cure; the logs stay."""
    folder = fresh()
    before = contents(folder.out)
    with pytest.raises(SettingsError, match=r"another simulation \(seed 7, not 8\): choose an empty folder"):
        simulate(make_simulation(seed=8), folder.out, workers=1)
    (folder.out / "manifest.json").unlink()
    with pytest.raises(SettingsError, match="seed 7, not 8"):
        simulate(make_simulation(seed=8), folder.out, workers=1)
    assert contents(folder.out) == {path: data for path, data in before.items() if path != "manifest.json"}


def test_logs_of_unknown_origin_are_refused(tmp_path: Path) -> None:
    """A folder with logs but no parameters is not ours to write to."""
    (tmp_path / "click").mkdir()
    with pytest.raises(SettingsError, match=r"has click but no parameters\.json"):
        simulate(make_simulation(), tmp_path, workers=1)


@pytest.mark.parametrize(
    "changes",
    [{"days": 0}, {"seed": -1}, {"impressions_per_day": 10**12}, {"events": ()}, {"first": "2026-11-17"}],
    ids=lambda changes: next(iter(changes)),
)
def test_wrong_parameters_are_refused(changes: dict[str, object]) -> None:
    """A wrong value is a SettingsError that names the parameter."""
    with pytest.raises(SettingsError, match=next(iter(changes))):
        make_simulation(**changes)


def test_wrong_names_and_rates_are_refused() -> None:
    """Rates are shares; events are known names."""
    with pytest.raises(SettingsError, match=r"faults\.missing is 2"):
        Faults(missing=2)
    with pytest.raises(UnknownNameError, match="did you mean click"):
        make_simulation(events=("clik",))


def test_progress_counts_every_hour(tmp_path: Path) -> None:
    """The callback hears of each hour once, in order."""
    calls: list[tuple[int, int]] = []
    simulate(make_simulation(events=("click",)), tmp_path / "o", lambda *done: calls.append(done), workers=1)
    assert calls == [(done, 24) for done in range(1, 25)]


def test_the_command_line_writes_logs(tmp_path: Path, small: Folder) -> None:
    """The command does what the function does."""
    options = ["--first", "2026-11-17", "--impressions", "1500", "--seed", "7", "--faults", "none", "--workers", "1"]
    done = _command(*options, "--out", str(tmp_path / "o"))
    assert (done.returncode, done.stderr) == (0, "")
    assert f"{small.manifest.rows['bid']:,} bids" in done.stdout
    assert contents(tmp_path / "o") == contents(small.out)
    refused = _command(*options, "--seed", "8", "--out", str(tmp_path / "o"))
    assert refused.returncode == 2 and refused.stderr.count("\n") == 1 and "choose an empty folder" in refused.stderr


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        (("--first", "tomorrow"), "'tomorrow' is not a date"),
        (("--events", "clik"), "did you mean click?"),
        (("--days", "0"), "days is 0"),
        (("--out", "/dev/null/logs"), "choose another --out"),
    ],
    ids=lambda value: value[0] if isinstance(value, tuple) else "",
)
def test_the_command_line_says_in_one_sentence_what_is_wrong(
    wrong: tuple[str, str], said: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A wrong option is one line on stderr and exit code 2."""
    try:
        code: object = main(["--out", str(tmp_path / "o"), "--first", "2026-11-17", "--workers", "1", *wrong])
    except SystemExit as stop:
        code = stop.code
    told = capsys.readouterr()
    assert (code, told.out, told.err.count("\n")) == (2, "", 1)
    assert said in told.err


def test_the_manifest_totals_are_the_sums_of_its_hours(small: Folder) -> None:
    """What is written at the top of the manifest is what its hours add up to."""
    written = json.loads((small.out / "manifest.json").read_text())
    assert len(written["hours"]) == 24
    for event, total in written["rows"].items():
        assert total == sum(hour["rows"][event] for hour in written["hours"]) == small.manifest.rows[event]


def _command(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "dsp_pipeline.simulator", *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=False)
