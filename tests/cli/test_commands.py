"""What each command asks the daemon, what people read, and how it ends."""

import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from syftd.api.server import Request
from syftd.cli import render
from syftd.cli.care import seconds
from syftd.errors import Stale, StateCorrupt, UserError
from tests.cli.conftest import Call, Daemon

JOB = {
    "id": "3fa9c1", "state": "pending", "from": "ann@x.org", "to": "me@x.org", "name": "mean", "digest": "d" * 64,
    "submitted_at": 1_760_000_000.0, "exit_code": None, "reason": "",
}  # fmt: skip
DETAIL = {
    **JOB, "files": [{"path": "run.sh", "size": 20, "sha256": "e" * 64, "text": True, "flags": ["new"]}],
    "script": "#!/bin/bash\npython \x1b[31mmain.py\n", "requested": ["trial"], "size": 20,
    "limits": {"wall_seconds": 300}, "results": {"outputs": [{"path": "outputs/a.csv", "size": 2048}], "refused": []},
    "released": [],
}  # fmt: skip
STATUS = {
    "email": "me@x.org", "ready": True, "pid": 7, "since": 1_760_000_000.0, "safe_mode": False, "paused": False,
    "watcher": {"kind": "inotify", "problem": ""}, "transports": [{"name": "folder", "state": "ok"}],
    "peers": [{"email": "ann@x.org", "state": "accepted", "protection": "plain", "to_send": 1, "to_fetch": 0,
               "waiting_verdict": 0}],
    "files": 3, "jobs_waiting": 1, "problems": 0, "problems_list": [], "last_scan": 1_760_000_000.0, "last_poll": None,
}  # fmt: skip
PROBLEM = {
    "id": "p1", "kind": "halt", "subject": "public", "text": "800 files would be deleted", "remedy": "Look first.",
    "plan": "91ab",
}  # fmt: skip


@pytest.fixture
def offline(monkeypatch: pytest.MonkeyPatch) -> Callable[[dict[str, Any]], list[tuple[str, dict[str, str]]]]:
    """Stands in for reading the instance's own files; returns what was asked of them."""

    def install(answers: dict[str, Any]) -> list[tuple[str, dict[str, str]]]:
        import syftd.api

        asked: list[tuple[str, dict[str, str]]] = []

        class Reader:
            def get(self, path: str, query: dict[str, str]) -> Any:
                asked.append((path, query))
                if isinstance(answers[path], Exception):
                    raise answers[path]
                return answers[path]

        module = ModuleType("syftd.api.queries")
        module.open_readonly = lambda places, settings: Reader()  # type: ignore[attr-defined]
        monkeypatch.setitem(sys.modules, "syftd.api.queries", module)
        monkeypatch.setattr(syftd.api, "queries", module, raising=False)
        return asked

    return install


# Status.


def test_status_healthy(syftd: Call, daemon: Daemon) -> None:
    daemon.answers["GET /v1/status"] = STATUS
    shown = syftd("status")
    assert shown.code == 0
    for word in ("me@x.org", "healthy", "ann@x.org", "to send 1", "inotify", "1 waits for you"):
        assert word in shown.out
    assert "\x1b" not in shown.out
    assert syftd("status", json=True).json == STATUS


@pytest.mark.parametrize(
    "change", [{"problems": 1, "problems_list": [PROBLEM]}, {"safe_mode": True}, {"ready": False}]
)
def test_status_with_problems(change: dict[str, Any], syftd: Call, daemon: Daemon) -> None:
    daemon.answers["GET /v1/status"] = {**STATUS, **change}
    shown = syftd("status")
    assert shown.code == 3 and "needs you" in shown.out
    if "problems" in change:
        assert "800 files" in shown.out and "syftd confirm 91ab" in shown.out


def test_status_without_a_daemon_tells_what_is_known(
    syftd: Call, offline: Callable[[dict[str, Any]], list[Any]]
) -> None:
    syftd("init", "--email", "me@x.org")
    offline({"/v1/status": {**STATUS, "ready": True, "pid": 99}})
    shown = syftd("status")
    assert shown.code == 4 and "not running" in shown.out and "ann@x.org" in shown.out and "syftd run" in shown.out
    found = syftd("status", json=True)
    assert found.code == 4 and (found.json["ready"], found.json["pid"], found.json["files"]) == (False, None, 3)


def test_status_of_nothing_and_of_broken_state_is_still_a_status(
    syftd: Call, offline: Callable[[dict[str, Any]], list[Any]]
) -> None:
    nothing = syftd("status", json=True)
    assert nothing.code == 4 and nothing.json["email"] is None and "syftd init" in nothing.json["remedy"]
    syftd("init", "--email", "me@x.org")
    offline({"/v1/status": StateCorrupt("the database is damaged", "Start the daemon.")})
    broken = syftd("status", json=True)
    assert broken.code == 4 and broken.json["email"] == "me@x.org" and "damaged" in broken.json["reason"]


def test_watching_and_json_do_not_mix(syftd: Call) -> None:
    assert syftd("status", "--watch", json=True).code == 2


# Peers and files.


@pytest.mark.parametrize("action", ["add", "accept", "reject", "remove"])
def test_peers_change(action: str, syftd: Call, daemon: Daemon) -> None:
    daemon.answers[f"POST /v1/peers/bob@x.org/{action}"] = {"email": "bob@x.org"}
    assert syftd("peers", action, "Bob@X.org").code == 0
    assert daemon.changes == [(f"/v1/peers/bob@x.org/{action}", {})]


def test_asking_somebody_who_is_a_contact_does_not_say_that_they_were_asked(syftd: Call, daemon: Daemon) -> None:
    daemon.answers["POST /v1/peers/bob@x.org/add"] = {"email": "bob@x.org", "state": "accepted"}
    assert syftd("peers", "add", "bob@x.org").out == "bob@x.org is a contact now.\n"


def test_who_ended_a_contact_is_told(syftd: Call, daemon: Daemon) -> None:
    daemon.answers["GET /v1/peers"] = [{"email": "bob@x.org", "state": "rejected", "note": "ended the contact"}]
    assert "ended the contact" in syftd("peers", "list").out


def test_sharing_with_somebody_who_is_no_peer_says_so(syftd: Call, daemon: Daemon) -> None:
    daemon.answers |= {"POST /v1/share": {"path": "a"}, "GET /v1/peers": [{"email": "bob@x.org", "state": "accepted"}]}
    assert syftd("share", "a", "--with", "bob@x.org").err == ""
    assert "syftd peers add bub@x.org" in syftd("share", "a", "--with", "bub@x.org").err
    assert syftd("share", "a", "--with", "*@x.org").err == ""


def test_what_the_daemon_refuses_is_shown_with_its_cure(syftd: Call, daemon: Daemon) -> None:
    daemon.answers["POST /v1/peers/bob@x.org/accept"] = UserError("no request yet", "Ask bob to add you.")
    found = syftd("peers", "accept", "bob@x.org")
    assert (found.code, found.out) == (2, "") and "no request yet" in found.err and "Ask bob" in found.err
    daemon.answers["POST /v1/peers/bob@x.org/accept"] = Stale("changed", "Look again.")
    assert syftd("peers", "accept", "bob@x.org").code == 1


def test_reading_goes_on_without_a_daemon(syftd: Call, offline: Callable[[dict[str, Any]], list[Any]]) -> None:
    syftd("init", "--email", "me@x.org")
    asked = offline({"/v1/why": {"path": "a.txt", "lines": ["ignored by *~"]}})
    shown = syftd("why", "a.txt")
    assert shown.code == 0 and "ignored by *~" in shown.out
    assert asked == [("/v1/why", {"path": "a.txt"})]
    assert syftd("share", "a.txt", "--with", "*").code == 4


def test_share_and_unshare(syftd: Call, daemon: Daemon) -> None:
    daemon.answers["POST /v1/share"] = {"path": "a"}
    daemon.answers["POST /v1/unshare"] = {"path": "a", "still": ["*@x.org"]}
    assert syftd("share", "public/a/", "--with", "*@X.org", "--write").code == 0
    told = syftd("unshare", "/abs/../a", "--with", "*").out
    assert "may still read" in told and "--with '*@x.org'" in told and "no longer" not in told
    assert daemon.changes == [
        ("/v1/share", {"path": "public/a", "with": "*@x.org", "write": True}),
        ("/v1/unshare", {"path": "/a", "with": "*"}),
    ]
    assert syftd("share", "a", "--with", "nonsense").code == 2
    assert syftd("share", "a", "--with", "*,x: [").code == 2


def test_dotted_paths_mean_the_working_directory(
    syftd: Call, daemon: Daemon, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    daemon.answers["GET /v1/history"] = []
    monkeypatch.chdir(tmp_path)
    syftd("history", "./a b")
    syftd("history", "a b")
    assert [one.query["path"] for one in daemon.asked] == [str(tmp_path / "a b"), "a b"]


def test_access_asks_for_one_person(syftd: Call, daemon: Daemon) -> None:
    entry = {"who": "bob@x.org", "read": True, "write": False, "admin": False, "why": "rule 1: **"}
    daemon.answers["GET /v1/access"] = {"path": "a", "governing": "syft.pub.yaml", "entries": [entry]}
    shown = syftd("access", "a", "--for", "Bob@x.org")
    assert "rule 1: **" in shown.out and daemon.asked[0].query == {"path": "a", "for": "bob@x.org"}


@pytest.mark.parametrize(
    ("words", "body"),
    [
        (["a.txt"], {"path": "a.txt"}),
        (["a.txt@12"], {"path": "a.txt", "seq": 12}),
        (["inbox/bob@x.org/a"], {"path": "inbox/bob@x.org/a"}),
        (["a@1", "--seq", "3"], {"path": "a@1", "seq": 3}),
    ],
)
def test_restore_takes_the_sequence_apart(words: list[str], body: object, syftd: Call, daemon: Daemon) -> None:
    daemon.answers["POST /v1/restore"] = {"path": "a", "sha256": "f" * 64}
    assert syftd("restore", *words).code == 0
    assert daemon.changes == [("/v1/restore", body)]


# Jobs.


@pytest.fixture
def jobs(daemon: Daemon) -> Daemon:
    daemon.answers["GET /v1/jobs"] = [JOB, {**JOB, "id": "3fb000", "name": "sum"}, {**JOB, "id": "77aa00"}]
    daemon.answers["GET /v1/jobs/3fa9c1"] = dict(DETAIL)
    return daemon


def test_submit(syftd: Call, jobs: Daemon, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "work").mkdir()
    (tmp_path / "work/run.sh").write_text("true")
    monkeypatch.chdir(tmp_path)
    jobs.answers["POST /v1/jobs"] = [JOB]
    found = syftd("jobs", "submit", "--to", "A@x.org,b@x.org", "work", "--data", "trial", json=True)
    assert (found.code, found.json) == (0, [JOB])
    body = {"to": ["a@x.org", "b@x.org"], "dir": str(tmp_path / "work"), "name": "work", "datasets": ["trial"]}
    assert jobs.changes == [("/v1/jobs", body)]
    assert "no run.sh" in syftd("jobs", "submit", "--to", "a@x.org", str(tmp_path)).err


def test_show_is_safe_to_look_at(syftd: Call, jobs: Daemon) -> None:
    shown = syftd("jobs", "show", "3fa")
    assert shown.code == 0 and "\x1b" not in shown.out and "\\u001b[31mmain.py" in shown.out
    for word in ("mean", "run.sh", "trial", "d" * 64, "outputs/a.csv", "syftd jobs approve 3fa9c1"):
        assert word in shown.out
    assert syftd("jobs", "show", "3fa9c1", json=True).json == DETAIL


def test_ids(syftd: Call, jobs: Daemon) -> None:
    ambiguous = syftd("jobs", "show", "3f")
    assert ambiguous.code == 2 and "3fa9c1" in ambiguous.err and "3fb000" in ambiguous.err
    near = syftd("jobs", "show", "3fa9d1")
    assert near.code == 2 and "3fa9c1" in near.err and "Did you mean" in near.err
    by_name = syftd("jobs", "show", "sum")
    assert by_name.code == 2 and "3fb000" in by_name.err
    assert "77aa00" in syftd("jobs", "show", "zzz").err
    jobs.answers["GET /v1/jobs"] = []
    assert "no jobs at all" in syftd("jobs", "show", "3f").err


def test_approval_binds_the_digest_that_was_shown(syftd: Call, jobs: Daemon) -> None:
    jobs.answers["POST /v1/jobs/3fa9c1/approve"] = {**JOB, "state": "approved"}
    assert syftd("jobs", "approve", "3fa").code == 0
    assert syftd("jobs", "approve", "3fa", "--release", "--digest", "abc", "--unsafe-no-sandbox").code == 0
    assert [body for _, body in jobs.changes] == [
        {"release": False, "unsafe_no_sandbox": False, "digest": "d" * 64},
        {"release": True, "unsafe_no_sandbox": True, "digest": "abc"},
    ]
    jobs.answers["GET /v1/jobs"] = [{**JOB, "shown_digest": "a" * 64}]
    jobs.answers["GET /v1/jobs/3fa9c1"] = lambda _: pytest.fail("approving is not looking")
    assert "a" * 16 in syftd("jobs", "approve", "3fa").out
    assert jobs.changes[-1][1]["digest"] == "a" * 64


@pytest.mark.parametrize(
    ("words", "body"),
    [
        (["deny", "3fa", "--reason", "no"], {"reason": "no"}),
        (["cancel", "3fa"], {}),
        (["release", "3fa", "--only", "*.csv"], {"only": "*.csv"}),
        (["release", "3fa"], {"only": None}),
        (["rerun", "3fa"], {"release": False, "unsafe_no_sandbox": False}),
        (["rerun", "3fa", "--release", "--unsafe-no-sandbox"], {"release": True, "unsafe_no_sandbox": True}),
    ],
)
def test_changing_a_job(words: list[str], body: object, syftd: Call, jobs: Daemon) -> None:
    jobs.answers[f"POST /v1/jobs/3fa9c1/{words[0]}"] = {**JOB}
    assert syftd("jobs", *words).code == 0
    assert jobs.changes == [(f"/v1/jobs/3fa9c1/{words[0]}", body)]


@pytest.mark.parametrize(("state", "code"), [("done", 0), ("failed", 1), ("rejected", 1), ("cancelled", 1)])
def test_wait_ends_as_the_job_does(state: str, code: int, syftd: Call, jobs: Daemon) -> None:
    looks = iter(["pending", "running", state, state])
    jobs.answers["GET /v1/jobs/3fa9c1"] = lambda _: {**JOB, "state": next(looks), "reason": "because"}
    found = syftd("jobs", "wait", "3fa")
    assert found.code == code and f"is {state}: because" in found.out


def test_wait_gives_up_in_time(syftd: Call, jobs: Daemon) -> None:
    found = syftd("jobs", "wait", "3fa", "--timeout", "0.05", json=True)
    assert found.code == 75 and found.json["state"] == "pending"


def test_waiting_without_a_daemon_is_pointless_unless_it_is_done(
    syftd: Call, offline: Callable[[dict[str, Any]], list[Any]]
) -> None:
    syftd("init", "--email", "me@x.org")
    offline({"/v1/jobs": [JOB], "/v1/jobs/3fa9c1": dict(JOB)})
    assert syftd("jobs", "wait", "3fa").code == 4
    offline({"/v1/jobs": [JOB], "/v1/jobs/3fa9c1": {**JOB, "state": "done"}})
    assert syftd("jobs", "wait", "3fa").code == 0


def test_logs_follow_by_offset(syftd: Call, jobs: Daemon) -> None:
    whole = {"stdout": "one\ntwo\nthree\n", "stderr": "oops\n"}
    calls = 0

    def logs(request: Request) -> dict[str, Any]:
        nonlocal calls
        calls += 1
        at = {name: int(request.query[name]) for name in whole}
        given = {name: text[at[name] : at[name] + 5] for name, text in whole.items()}
        following = {name: at[name] + len(given[name]) for name in whole}
        return {**given, "next": following, "finished": calls > 2, "released": False}

    jobs.answers["GET /v1/jobs/3fa9c1/logs"] = logs
    found = syftd("jobs", "logs", "3fa", "-f")
    assert (found.code, found.out, found.err) == (0, whole["stdout"], whole["stderr"])
    document = syftd("jobs", "logs", "3fa", json=True).json
    assert (document["stdout"], document["stderr"], document["finished"]) == (*whole.values(), True)


def test_logs_that_were_not_released_are_not_simply_empty(syftd: Call, jobs: Daemon) -> None:
    nothing = {"stdout": "", "stderr": "", "next": {"stdout": 0, "stderr": 0}, "finished": True, "released": False}
    jobs.answers["GET /v1/jobs/3fa9c1/logs"] = nothing
    for mine, told in ((False, "released to you"), (True, "printed nothing")):
        jobs.answers["GET /v1/jobs/3fa9c1"] = {**DETAIL, "mine": mine}
        found = syftd("jobs", "logs", "3fa")
        assert (found.code, found.out) == (0, "") and told in found.err


@pytest.mark.parametrize("state", ["pending", "running", "done", "failed"])
def test_the_next_step_is_the_readers_own(state: str, syftd: Call, jobs: Daemon) -> None:
    for mine in (True, False):
        jobs.answers["GET /v1/jobs/3fa9c1"] = {**DETAIL, "state": state, "mine": mine}
        last = syftd("jobs", "show", "3fa").out.rstrip().splitlines()[-1]
        owners_word = any(word in last for word in ("approve", "deny", "jobs release", "jobs logs"))
        assert owners_word is mine


def test_a_reason_and_a_folder_are_needed(syftd: Call, jobs: Daemon, tmp_path: Path) -> None:
    assert "reason is empty" in syftd("jobs", "deny", "3fa", "--reason", " ").err
    found = syftd("jobs", "submit", "--to", "ann@x.org", str(tmp_path / "nowhere"))
    assert found.code == 2 and "there is no folder" in found.err
    assert jobs.changes == []


def test_diff(syftd: Call, jobs: Daemon) -> None:
    jobs.answers["GET /v1/jobs/3fa9c1/diff"] = {"files": [{"path": "a", "change": "changed", "diff": "-x\n+\x1by\n"}]}
    assert syftd("jobs", "diff", "3fa").out == "a: changed\n-x\n+\\u001by\n"


# Care.


def test_problems_and_plans(syftd: Call, daemon: Daemon) -> None:
    daemon.answers["GET /v1/problems"] = [PROBLEM, {**PROBLEM, "id": "p2", "plan": None}]
    daemon.answers["POST /v1/plans/91ab/confirm"] = {}
    daemon.answers["POST /v1/plans/91ab/reject"] = {}
    assert "public: 800 files would be deleted" in syftd("problems").out
    assert syftd("confirm", "91").code == 0 and syftd("reject", "91ab").code == 0
    assert [path for path, _ in daemon.changes] == ["/v1/plans/91ab/confirm", "/v1/plans/91ab/reject"]
    assert "there is no plan" in syftd("confirm", "5").err
    daemon.answers["POST /v1/plans/91ab/reject"] = {"restored": 3, "missing": ["public/a.csv"]}
    assert "1 file is not kept here" in syftd("reject", "91ab").err
    daemon.answers["GET /v1/problems"] = []
    assert syftd("problems").out == "No problems.\n" and syftd("problems", json=True).json == []


def test_pause_for_a_while(syftd: Call, daemon: Daemon) -> None:
    daemon.answers |= {"POST /v1/pause": {}, "POST /v1/resume": {}}
    for words in (["pause", "--for", "2h"], ["pause"], ["resume"]):
        assert syftd(*words).code == 0
    assert daemon.changes == [("/v1/pause", {"seconds": 7200}), ("/v1/pause", {}), ("/v1/resume", {})]


def test_lengths_of_time() -> None:
    assert [seconds(t) for t in ("90", "5s", "30m", "1.5h", "2 d")] == [90, 5, 1800, 5400, 172_800]
    for wrong in ("", "soon", "-1h", "0", "1w", "inf"):
        with pytest.raises(UserError):
            seconds(wrong)


def test_log(syftd: Call, daemon: Daemon) -> None:
    daemon.answers["GET /v1/log"] = [{"seq": 4, "at": 1_760_000_000, "kind": "run", "job": "3fa\x1b", "exit": 0}]
    shown = syftd("log", "--after", "3")
    assert "run" in shown.out and "\x1b" not in shown.out and daemon.asked[0].query == {"after": "3"}


def test_config_show_tells_origins(syftd: Call, home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    syftd("init", "--email", "me@x.org")
    monkeypatch.setenv("SYFTD_SYNC__WORKERS", "2")
    found = syftd("config", "show", "--origin", json=True).json
    assert found["sync.workers"] == {"value": 2, "origin": "SYFTD_SYNC__WORKERS"}
    assert found["email"] == {"value": "me@x.org", "origin": str(home / "config/syftd.toml")}
    assert syftd("config", "show", json=True).json["sync.poll_seconds"] == 5.0


def test_rendering() -> None:
    sizes = [render.size(n) for n in (0, 999, 1000, 123_456, 5_000_000_000)]
    assert sizes == ["0 B", "999 B", "1.0 kB", "123 kB", "5.0 GB"]
    assert [render.span(s) for s in (5, 119, 7200, 200_000)] == ["5 s", "119 s", "2 h", "2 d"]
    assert render.when(None) == "–" and render.when("2026-01-02T03:04:05Z") != "–" and render.when("x") == "–"
    assert render.visible("a\u202eb\nc") == "a\\u202eb\\u000ac"
    assert render.table([("a", 1), ("bbb", None)], ("X", "Y")) == "X    Y\na    1\nbbb"
