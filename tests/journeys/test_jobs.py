"""A job from submission to result, and everything that must not happen on the way."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

from tests.journeys.boxes import carried, lies_in
from tests.journeys.conftest import OWNER, Three
from tests.journeys.daemons import CommandFailed, Daemon

SECONDS = 60.0


def folder(three: Three, name: str, **contents: str) -> Path:
    """A job folder outside of every datasite; the names of its files are written with `_` for `.`.

    Scripts put their canaries together when they run, so that a canary that is found is an output and not the script.
    """
    made = three.place / "work" / name
    made.mkdir(parents=True)
    for spelt, content in contents.items():
        (made / spelt.replace("_", ".")).write_text(content)
    return made


def submitted(three: Three, name: str, *words: str, **contents: str) -> str:
    """Submits a job of ann's; returns its id when the owner has it to review."""
    answer = three.ann.cli("jobs", "submit", "--to", OWNER, *words, str(folder(three, name, **contents)))
    assert answer[0]["state"] == "pending"
    assert answer[0]["to"] == OWNER
    return waiting(three, name)


def waiting(three: Three, name: str) -> str:
    """Waits until the owner has the job to review; returns its id."""
    job = three.owner.wait_for(lambda: three.owner.job(name), SECONDS, f"the job {name} to arrive", 0.1)
    assert job["from"] == three.ann.email
    return str(job["id"])


def becomes(one: Daemon, job: str, *states: str) -> dict[str, Any]:
    """Waits until `one` shows the job in one of the states."""

    def there() -> dict[str, Any] | None:
        found: dict[str, Any] = one.cli("jobs", "show", job)
        return found if found["state"] in states else None

    reached: dict[str, Any] = one.wait_for(there, SECONDS, f"{job} to be {' or '.join(states)}", 0.15)
    return reached


def box(three: Three, name: str) -> Path:
    """Where ann finds what became of her job."""
    return three.ann.data / "outbox" / OWNER / name


def test_submit_review_approve_release_and_read(three: Three) -> None:
    owner, ann = three.owner, three.ann
    owner.write("private/trial/rows.csv", "a,b\n1,2\n3,4\n")
    job = submitted(
        three, "count", "--data", "trial",
        run_sh="#!/bin/sh\nset -e\nwc -l < /data/trial/rows.csv > outputs/lines.txt\nprintf 'canary-%s\\n' stdout\n",
        analysis_py="print('not used')\n",
    )  # fmt: skip
    shown = owner.cli("jobs", "show", job)
    assert {file["path"]: file["size"] for file in shown["files"]}.keys() >= {"run.sh", "analysis.py"}
    assert shown["size"] == sum(file["size"] for file in shown["files"])
    assert "wc -l" in shown["script"]
    assert any("trial" in asked for asked in shown["requested"])
    assert shown["limits"]
    waiting_view = owner.data / "inbox" / ann.email / "count"
    assert (waiting_view / "analysis.py").read_text() == "print('not used')\n"
    assert owner.cli("status", ok=(0, 3))["jobs_waiting"] == 1
    owner.cli("jobs", "approve", job)
    done = becomes(owner, job, "done", "failed")
    assert (done["state"], done["exit_code"]) == ("done", 0)
    assert not waiting_view.exists()
    # Nothing has left: neither to ann's folders nor to the shared one.
    assert becomes(ann, job, "done")["released"] == []
    ann.caught_up_with(owner)
    for reader in (ann, three.ben):
        assert lies_in(reader.data, b"canary-stdout") == []
        assert lies_in(reader.home / "state", b"canary-stdout") == []
    assert carried(three.mailbox, b"canary-stdout") == []
    assert carried(three.mailbox, b"lines.txt") == []
    assert not (box(three, "count") / "outputs").exists()
    owner.cli("jobs", "release", job)
    result = box(three, "count") / "outputs" / "lines.txt"
    ann.wait_for(result.is_file, SECONDS, "the result")
    assert result.read_text().strip() == "3"
    ann.wait_for(lambda: (box(three, "count") / "stdout.txt").is_file(), SECONDS, "the log")
    assert (box(three, "count") / "stdout.txt").read_text() == "canary-stdout\n"
    assert (box(three, "count") / "returncode.txt").read_text().strip() == "0"
    assert "status: done" in (box(three, "count") / "state.yaml").read_text()
    assert lies_in(ann.home, b"1,2\n3,4") == []
    three.ben.caught_up_with(owner)
    assert lies_in(three.ben.data, b"canary-stdout") == []


def test_a_folder_that_is_dropped_in_is_a_job(three: Three) -> None:
    owner, ann = three.owner, three.ann
    made = folder(three, "dropped", run_sh="echo dropped > outputs/said.txt\n", notes_md="look")
    inbox = ann.mirror(OWNER) / "app_data/job/inbox" / ann.email
    inbox.mkdir(parents=True, exist_ok=True)
    (inbox / "dropped").mkdir()
    for file in sorted(made.iterdir()):
        (inbox / "dropped" / file.name).write_bytes(file.read_bytes())
    job = waiting(three, "dropped")
    assert {file["path"] for file in owner.cli("jobs", "show", job)["files"]} == {"run.sh", "notes.md"}
    owner.cli("jobs", "approve", job, "--release")
    said = box(three, "dropped") / "outputs/said.txt"
    ann.wait_for(said.is_file, SECONDS, "the result")
    assert said.read_text() == "dropped\n"
    assert ann.cli("jobs", "wait", job, "--timeout", "30")["state"] == "done"


def test_files_changed_after_the_submission_go_back_to_review(three: Three) -> None:
    owner, ann = three.owner, three.ann
    job = submitted(three, "swapped", run_sh="echo harmless > outputs/a.txt\n")
    seen = owner.cli("jobs", "show", job)["digest"]
    script = ann.mirror(OWNER) / "app_data/job/inbox" / ann.email / "swapped" / "run.sh"
    script.write_text("echo canary-swapped > outputs/a.txt\n")
    changed = owner.wait_for(
        lambda: (found := owner.cli("jobs", "show", job))["digest"] != seen and found, SECONDS, "the new files", 0.1
    )
    assert changed["state"] == "pending"
    assert "canary-swapped" in changed["script"]
    with pytest.raises(CommandFailed, match="changed since you looked"):
        owner.cli("jobs", "approve", job, "--digest", seen)
    assert owner.cli("jobs", "show", job)["state"] == "pending"
    owner.cli("jobs", "deny", job, "--reason", "changed under my eyes")


def test_files_changed_after_the_approval_never_run(three: Three) -> None:
    owner, ann = three.owner, three.ann
    # The first job keeps the only place busy, so that the second one waits approved.
    busy = submitted(three, "busy", run_sh="while [ ! -e stop ]; do read -t 0.2 x < /dev/zero || :; done\n")
    owner.cli("jobs", "approve", busy)
    becomes(owner, busy, "running")
    job = submitted(three, "late-swap", run_sh="echo harmless > outputs/a.txt\n")
    owner.cli("jobs", "approve", job, "--release")
    assert owner.cli("jobs", "show", job)["state"] == "approved"
    script = ann.mirror(OWNER) / "app_data/job/inbox" / ann.email / "late-swap" / "run.sh"
    script.write_text("echo canary-late-swap > outputs/a.txt\n")
    back = becomes(owner, job, "pending")
    assert "changed after it was approved" in back["reason"]
    owner.cli("jobs", "cancel", busy)
    becomes(owner, busy, "failed")
    assert owner.cli("jobs", "show", job)["state"] == "pending"
    assert not (box(three, "late-swap") / "outputs").exists()
    diff = owner.cli("jobs", "diff", job)
    assert any("canary-late-swap" in str(file) for file in diff["files"])
    owner.cli("jobs", "deny", job, "--reason", "no")


def test_a_no_with_its_reason_reaches_the_author(three: Three) -> None:
    owner, ann = three.owner, three.ann
    job = submitted(three, "denied", run_sh="cat /data/everything\n")
    with pytest.raises(CommandFailed) as failed:
        owner.cli("jobs", "deny", job)
    assert failed.value.code == 2
    owner.cli("jobs", "deny", job, "--reason", "please ask for less")
    assert becomes(ann, job, "rejected")["reason"] == "please ask for less"
    with pytest.raises(CommandFailed) as failed:
        ann.cli("jobs", "wait", job)
    assert failed.value.code == 1
    assert not (owner.data / "inbox" / ann.email / "denied").exists()


def test_a_failed_job_shows_its_exit_code_and_only_later_its_log(three: Three) -> None:
    owner, ann = three.owner, three.ann
    job = submitted(three, "broken", run_sh="printf 'canary-%s\\n' failure >&2\nexit 7\n")
    with pytest.raises(CommandFailed) as failed:
        ann.cli("jobs", "wait", job, "--timeout", "0.2")
    assert failed.value.code == 75
    owner.cli("jobs", "approve", job)
    assert becomes(owner, job, "failed")["exit_code"] == 7
    assert "canary-failure" in owner.cli("jobs", "logs", job)["stderr"]
    assert becomes(ann, job, "failed")["exit_code"] == 7
    with pytest.raises(CommandFailed) as failed:
        ann.cli("jobs", "wait", job)
    assert failed.value.code == 1
    assert ann.cli("jobs", "logs", job)["stderr"] == ""
    assert lies_in(ann.data, b"canary-failure") == []
    owner.cli("jobs", "release", job)
    log = box(three, "broken") / "stderr.txt"
    ann.wait_for(lambda: log.is_file() and "canary-failure" in log.read_text(), SECONDS, "the log")
    assert "canary-failure" in ann.cli("jobs", "logs", job)["stderr"]


def test_a_part_is_released_and_a_second_run_begins_anew(three: Three) -> None:
    owner, ann = three.owner, three.ann
    job = submitted(
        three,
        "parts",
        run_sh="echo yes > outputs/table.csv\nprintf 'canary-%s' raw > outputs/raw.txt\ndate +%N > outputs/n\n",
    )
    owner.cli("jobs", "approve", job)
    becomes(owner, job, "done")
    owner.cli("jobs", "release", job, "--only", "*.csv")
    table = box(three, "parts") / "outputs/table.csv"
    ann.wait_for(table.is_file, SECONDS, "the released part")
    ann.caught_up_with(owner)
    assert lies_in(ann.data, b"canary-raw") == []
    assert carried(three.mailbox, b"canary-raw") == []
    with pytest.raises(CommandFailed, match="nothing"):
        owner.cli("jobs", "release", job, "--only", "*.nothing")
    owner.cli("jobs", "rerun", job)
    again = becomes(owner, job, "done", "failed")
    owner.wait_for(lambda: owner.cli("jobs", "show", job)["runs"] == 2, SECONDS, "the second run", 0.1)
    assert again["released"] == []
    ann.wait_for(lambda: not table.exists(), SECONDS, "the first run's result to be taken back")
    becomes(owner, job, "done")
    owner.cli("jobs", "release", job)
    ann.wait_for(lambda: (box(three, "parts") / "outputs/n").is_file(), SECONDS, "the second run's results")


def test_a_folder_without_run_sh_is_told_to_whoever_wants_to_send_it(three: Three) -> None:
    ann = three.ann
    made = folder(three, "no-script", analysis_py="1\n")
    with pytest.raises(CommandFailed, match=r"no run\.sh") as failed:
        ann.cli("jobs", "submit", "--to", OWNER, str(made))
    assert failed.value.code == 2
    inbox = ann.mirror(OWNER) / "app_data/job/inbox" / ann.email / "no-script"
    inbox.mkdir(parents=True)
    (inbox / "analysis.py").write_text("1\n")
    ann.troubled_by("job-without-run.sh", "no-script")
    assert three.owner.job("no-script") is None
    (inbox / "run.sh").write_text("echo now\n")
    waiting(three, "no-script")
    ann.healed_of("job-without-run.sh")
    with pytest.raises(CommandFailed, match="not a peer"):
        ann.cli("jobs", "submit", "--to", three.ben.email, str(folder(three, "to-ben", run_sh="true\n")))


def test_a_job_reads_the_named_data_and_nothing_else(three: Three) -> None:
    owner = three.owner
    owner.write("private/named/a.csv", "named data")
    owner.write("private/unnamed/b.csv", "canary-unnamed")
    owner.write("private/loose.txt", "canary-unnamed")
    job = submitted(
        three, "peek", "--data", "named",
        run_sh="cat /data/named/a.csv > outputs/a\n"
        f"ls -R /data > outputs/list; for place in {owner.own} {owner.home} /data/unnamed /syftbox; do\n"
        "  find $place -type f 2>/dev/null | head -500 | xargs grep -l canary-unnamed 2>/dev/null >> outputs/leaks\n"
        "done\necho x > /data/named/a.csv && echo wrote >> outputs/leaks\nenv > outputs/env\n"
        "timeout 2 sh -c 'exec 3<>/dev/tcp/127.0.0.1/22' && echo net >> outputs/leaks\nexit 0\n",
    )  # fmt: skip
    owner.cli("jobs", "approve", job, "--release")
    assert becomes(owner, job, "done", "failed")["state"] == "done"
    outputs = box(three, "peek") / "outputs"
    three.ann.wait_for(lambda: (outputs / "list").is_file() and (outputs / "env").is_file(), SECONDS, "the outputs")
    assert (outputs / "a").read_text() == "named data"
    assert "unnamed" not in (outputs / "list").read_text()
    three.ann.caught_up_with(owner)
    assert not (outputs / "leaks").exists() or (outputs / "leaks").read_text() == ""
    assert (owner.own / "private/named/a.csv").read_text() == "named data"
    assert str(owner.home) not in (outputs / "env").read_text()
    missing = submitted(three, "wants-more", "--data", "never-made", run_sh="true\n")
    with pytest.raises(CommandFailed, match="never-made"):
        owner.cli("jobs", "approve", missing)
    owner.cli("jobs", "deny", missing, "--reason", "there is no such data")


def test_what_is_no_plain_file_is_not_released(three: Three) -> None:
    owner, ann = three.owner, three.ann
    owner.write("private/unnamed/b.csv", "canary-linked-out")
    target = owner.own / "private/unnamed/b.csv"
    job = submitted(
        three, "links",
        run_sh=f"ln -s {target} outputs/link\nln -s /etc outputs/etc\nmkfifo outputs/pipe\necho ok > outputs/ok\n",
    )  # fmt: skip
    owner.cli("jobs", "approve", job, "--release")
    becomes(owner, job, "done", "failed")
    ann.wait_for(lambda: (box(three, "links") / "outputs/ok").is_file(), SECONDS, "the plain output")
    ann.caught_up_with(owner)
    assert {path.name for path in (box(three, "links") / "outputs").iterdir()} == {"ok"}
    assert lies_in(ann.data, b"canary-linked-out") == []


def test_an_interrupted_run_is_shown_as_such_and_not_repeated(three: Three) -> None:
    owner, ann = three.owner, three.ann
    owner.write("private/gate/open", "")
    job = submitted(
        three, "interrupted", run_sh="echo started >> outputs/log\nwhile :; do read -t 0.2 x < /dev/zero || :; done\n"
    )
    owner.cli("jobs", "approve", job, "--release")
    becomes(owner, job, "running")
    inside = owner.wait_for(lambda: processes_of(owner, job), SECONDS, "the job's processes", 0.05)
    owner.kill()
    owner.wait_for(lambda: not any(alive(pid) for pid in inside), SECONDS, "the job's processes to end with it", 0.05)
    owner.start()
    shown = becomes(owner, job, "failed")
    assert "interrupted" in shown["reason"]
    assert shown["exit_code"] is None
    assert becomes(ann, job, "failed")["released"] == []
    assert not (box(three, "interrupted") / "outputs").exists()
    ann.caught_up_with(owner)
    again = owner.cli("jobs", "show", job)
    assert (again["state"], again["runs"]) == ("failed", 1)
    owner.cli("jobs", "rerun", job)
    becomes(owner, job, "running")
    owner.cli("jobs", "cancel", job)
    becomes(owner, job, "failed")


def test_only_the_owner_decides(three: Three) -> None:
    job = submitted(three, "mine", run_sh="true\n")
    for words in (("approve", job), ("deny", job, "--reason", "x"), ("release", job), ("rerun", job)):
        with pytest.raises(CommandFailed) as failed:
            three.ann.cli("jobs", *words)
        assert failed.value.code == 2
    assert [each for each in three.ben.cli("jobs", "list") if each["name"] == "mine"] == []
    # Neither can the author grant it by writing the network's state file into the mirror.
    state = three.ann.mirror(OWNER) / "app_data/job/review" / three.ann.email / "mine" / "state.yaml"
    three.ann.wait_for(state.is_file, SECONDS, "the state file")
    state.write_text("status: approved\napproved_by: " + OWNER + "\n")
    three.ann.wait_for(lambda: state.is_file() and "pending" in state.read_text(), SECONDS, "the owner's state file")
    assert three.owner.cli("jobs", "show", job)["state"] == "pending"
    three.owner.cli("jobs", "deny", job, "--reason", "enough")


def processes_of(one: Daemon, job: str) -> list[int]:
    """The processes below the daemon's."""
    found: list[int] = []
    above = [one.pid]
    while above:
        pid = above.pop()
        for task in Path(f"/proc/{pid}/task").glob("*/children"):
            children = [int(child) for child in task.read_text().split()]
            found += children
            above += children
    return found if len(found) >= 2 else []


def alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except (FileNotFoundError, ProcessLookupError):
        return False


def test_the_views_are_links_into_the_datasites(three: Three) -> None:
    job = submitted(three, "viewed", run_sh="true\n")
    link = three.owner.data / "inbox" / three.ann.email / "viewed"
    assert link.is_symlink()
    assert not os.path.isabs(os.readlink(link))
    assert link.resolve() == (three.owner.own / "app_data/job/inbox" / three.ann.email / "viewed").resolve()
    sent = box(three, "viewed")
    three.ann.wait_for(lambda: (sent / "state.yaml").is_file(), SECONDS, "the state in the outbox")
    assert "status: pending" in (sent / "state.yaml").read_text()
    three.owner.cli("jobs", "deny", job, "--reason", "seen")
    three.owner.wait_for(lambda: not link.is_symlink(), SECONDS, "the view to go")
