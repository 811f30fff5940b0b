"""The frame: global options anywhere, suggestions, exit codes, one JSON document, and start-up cost."""

import json
import os
import re
import resource
import subprocess
import sys
from pathlib import Path

import pytest

from syftd.cli import commands
from syftd.cli.main import _shared, exit_code, main
from syftd.errors import Denied, LockHeld, NotRunning, Quota, SyftdError, UserError
from tests.cli.conftest import Call, Daemon

PEERS = [{"email": "bob@x.org", "state": "accepted", "since": 1.0, "protection": "sealed"}]


@pytest.mark.parametrize(
    "order",
    [
        ["--home", "H", "--json", "peers", "list"],
        ["peers", "--json", "list", "--home", "H"],
        ["peers", "list", "--home=H", "--json"],
    ],
)
def test_home_and_json_may_stand_anywhere(
    order: list[str], daemon: Daemon, home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    daemon.answers["GET /v1/peers"] = PEERS
    assert main([word.replace("H", str(home)) if "H" in word else word for word in order]) == 0
    assert json.loads(capsys.readouterr().out) == PEERS


def test_after_two_dashes_words_are_left_alone() -> None:
    assert _shared(["why", "--", "--json"]) == (None, False, ["why", "--", "--json"])


@pytest.mark.parametrize(
    ("words", "meant"),
    [
        (["stauts"], "syftd status"),
        (["peer"], "syftd peers"),
        (["jobs", "aprove"], "syftd jobs approve"),
        (["approve"], "syftd jobs approve"),
        (["list"], "syftd peers list"),
        (["peers", "ad"], "syftd peers add"),
        (["peers", "verfy"], "--help"),
    ],
)
def test_a_wrong_word_brings_the_right_one(words: list[str], meant: str, syftd: Call) -> None:
    found = syftd(*words)
    assert found.code == 2 and "is not a command" in found.err and meant in found.err and found.out == ""


@pytest.mark.parametrize("name", commands.PLANNED)
def test_what_is_not_there_yet_is_said_with_another_way(name: str, syftd: Call) -> None:
    found = syftd(*name.split(" "), "x", json=True)
    assert found.code == 2 and f"“{name}” is not in this version" in found.err
    assert found.json["error"]["remedy"] == commands.PLANNED[name]
    for meant in re.findall(r"`syftd ([a-z ]+)", commands.PLANNED[name]):
        assert meant.strip() in commands.TABLE


def test_with_json_even_help_and_half_a_command_are_one_document(syftd: Call) -> None:
    for words in ([], ["jobs"]):
        found = syftd(*words, json=True)
        assert found.code == 2 and found.json["error"]["exit_code"] == 2
    for words in (["--help"], ["jobs", "--help"]):
        assert "jobs submit" in syftd(*words, json=True).json["help"]


def test_a_group_alone_says_what_it_knows(syftd: Call) -> None:
    assert syftd("jobs").code == 2
    shown = syftd("jobs", "--help")
    assert shown.code == 0 and "jobs submit" in shown.out and "peers list" not in shown.out


def test_every_command_has_its_module_and_help(syftd: Call, capsys: pytest.CaptureFixture[str]) -> None:
    for name in commands.TABLE:
        with pytest.raises(SystemExit) as left:
            syftd(*name.split(" "), "--help")
        assert left.value.code == 0
        assert f"syftd {name}" in capsys.readouterr().out


def test_the_overview_lists_every_command(syftd: Call) -> None:
    shown = syftd("--help")
    assert shown.code == 0
    assert all(f"\n  {name} " in shown.out for name in commands.TABLE)


def test_wrong_arguments_are_a_usage_error(syftd: Call) -> None:
    for words in (["peers", "add"], ["jobs", "wait", "x", "--timeout", "soon"], ["status", "--wach"], ["--home"]):
        found = syftd(*words)
        assert (found.code, found.out) == (2, "") and found.err.startswith("syftd: ")


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (UserError("x"), 2), (NotRunning("x"), 4), (LockHeld("x"), 11), (Denied("x"), 1), (Quota("x"), 75),
        (SyftdError("x"), 1),
    ],
)  # fmt: skip
def test_exit_codes(error: SyftdError, code: int) -> None:
    assert exit_code(error) == code


def test_an_error_with_json_is_one_document_too(syftd: Call) -> None:
    found = syftd("pause", json=True)
    assert found.code == 4 and "syftd run" in found.err
    assert found.json["error"]["exit_code"] == 4 and found.json["error"]["kind"] == "NotRunning"


def test_a_bug_shows_its_trace_and_exits_70(syftd: Call, daemon: Daemon) -> None:
    daemon.answers["GET /v1/peers"] = [{"no": "email"}]
    found = syftd("peers", "list")
    assert found.code == 70 and "KeyError" in found.err and "this is a bug" in found.err
    daemon.answers["GET /v1/jobs"] = [{"no": "id"}]
    found = syftd("jobs", "show", "x", json=True)
    assert found.code == 70 and found.json["error"]["kind"] == "KeyError" and "this is a bug" in found.err


def test_a_reader_that_stops_is_no_error(daemon: Daemon, home: Path) -> None:
    daemon.answers["GET /v1/peers"] = PEERS * 20_000
    shell = f'"{sys.executable}" -m syftd --home "{home}" --json peers list | head -c 10; echo " ${{PIPESTATUS[0]}}"'
    done = subprocess.run(["bash", "-c", shell], capture_output=True, text=True, check=False)
    assert done.stdout == '[{"email": 0\n' and done.stderr == ""


def test_version(syftd: Call) -> None:
    from syftd import __version__

    assert syftd("version").out == f"syftd {__version__}\n" == syftd("--version").out
    assert syftd("version", json=True).json == {"version": __version__}


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completion_knows_every_word(shell: str, syftd: Call) -> None:
    found = syftd("completion", shell)
    assert found.code == 0
    for name in commands.TABLE:
        assert name.split(" ")[-1] in found.out
    if shell == "bash":
        script = found.out + '\nCOMP_WORDS=(syftd jobs ap); COMP_CWORD=2; _syftd; echo "${COMPREPLY[@]}"'
        done = subprocess.run(["bash", "-c", script], capture_output=True, text=True, check=True)
        assert done.stdout == "approve\n"


@pytest.mark.parametrize("words", [["--help"], ["status", "--json"]])
def test_starting_costs_little(words: list[str], daemon: Daemon, home: Path) -> None:
    """Below 0.15 s of processor time, and without the modules that would make it more."""
    daemon.answers["GET /v1/status"] = {"ready": True, "problems": 0}
    code = (
        "import sys, syftd.cli.main as m\ncode = m.main(sys.argv[1:])\n"
        "print(sorted(set(sys.modules) & {'pydantic', 'structlog', 'yaml', 'apscheduler', 'http.client', 'email', "
        "'asyncio', 'watchdog', 'cryptography'}), file=sys.stderr)\nsys.exit(code)"
    )
    used = []
    for _ in range(3):
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        done = subprocess.run(
            [sys.executable, "-c", code, "--home", str(home), *words],
            capture_output=True, text=True, check=False, env={**os.environ, "PYTHONDONTWRITEBYTECODE": ""},
        )  # fmt: skip
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        assert (done.returncode, done.stderr) == (0, "[]\n")
        used.append(after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime)
    assert min(used) < 0.15
