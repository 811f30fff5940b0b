"""Jobs as they are shown: hostile files made harmless, what is asked for, what came of it, and what is new."""

from __future__ import annotations

import json
import os
import time
from pathlib import Path
from typing import Any

import pytest

from syftd.api.server import NotFound
from syftd.errors import UserError
from syftd.jobs import legible
from syftd.names import Digest, Email
from syftd.state import files, jobs
from syftd.state.jobs import JobRow, job_id
from tests.unit.api.test_queries import ME, NOON, PEER, World

SCRIPT = "#!/bin/bash\npython analysis.py\n"


class Desk(World):
    """The world with one job in it that PEER sent to me, or that I sent to PEER."""

    def __init__(self, place: Path, owner: Email = ME, submitter: Email = PEER) -> None:
        super().__init__(place)
        self.owner = owner
        self.id = job_id(owner, submitter, "survival")
        self.inbox = f"app_data/job/inbox/{submitter}/survival"
        self.review = f"app_data/job/review/{submitter}/survival"
        self.kept = self.state / "jobs" / self.id
        self.job = JobRow(self.id, owner, submitter, "survival", "pending", "d" * 64, NOON, None, "", {})
        self.put()
        self.file("run.sh", SCRIPT)

    def put(self, state: str = "pending", exit_code: int | None = None, **facts: Any) -> None:
        if "runs" in facts:
            facts.setdefault("started_at", NOON)
        self.job = self.job._replace(state=state, exit_code=exit_code, facts=facts)
        jobs.put(self.db, self.job)

    def file(self, path: str, content: bytes | str) -> files.FileRow:
        return self.accept(self.owner, f"{self.inbox}/{path}", content)

    def ran(self, run: int, result: Any = None, **logs: bytes) -> None:
        folder = self.kept / f"run-{run}"
        folder.mkdir(parents=True)
        for name, content in logs.items():
            (folder / f"{name}.txt").write_bytes(content)
        if result is not None:
            (folder / "result.json").write_text(json.dumps(result))

    def approve(self, **contents: bytes | str) -> None:
        for name, content in contents.items():
            place = self.kept / "approved" / name.replace("__", "/").replace("_", ".")
            place.parent.mkdir(parents=True, exist_ok=True)
            place.write_bytes(content.encode() if isinstance(content, str) else content)

    def show(self) -> dict[str, Any]:
        found: dict[str, Any] = self.get(f"/v1/jobs/{self.id}")
        return found

    def flags(self, path: str) -> list[str]:
        return next(one["flags"] for one in self.show()["files"] if one["path"] == path)

    def logs(self, **offsets: int) -> dict[str, Any]:
        found: dict[str, Any] = self.get(f"/v1/jobs/{self.id}/logs", **{key: str(at) for key, at in offsets.items()})
        return found

    def diff(self) -> dict[str, Any]:
        found = self.get(f"/v1/jobs/{self.id}/diff")
        return {one["path"]: (one["change"], one["diff"]) for one in found["files"]}


@pytest.fixture
def desk(tmp_path: Path) -> Desk:
    return Desk(tmp_path)


@pytest.fixture
def sent(tmp_path: Path) -> Desk:
    return Desk(tmp_path, owner=PEER, submitter=ME)


# -- the list, and finding one -----------------------------------------------------------------------------------------


def test_jobs_are_listed_newest_first_with_the_promised_keys(desk: Desk) -> None:
    newer = desk.job._replace(id="jnewer", submitted_at=NOON + 5, state="failed", exit_code=3, reason="it broke")
    jobs.put(desk.db, newer)
    newest, oldest = desk.get("/v1/jobs")
    assert (newest["id"], newest["exit_code"], newest["reason"]) == ("jnewer", 3, "it broke")
    assert {key: oldest[key] for key in ("id", "state", "from", "to", "name", "digest", "submitted_at")} == {
        "id": desk.id, "state": "pending", "from": PEER, "to": ME, "name": "survival", "digest": "d" * 64,
        "submitted_at": "2023-11-14T22:13:20.000000Z",
    }  # fmt: skip


def test_a_job_is_found_by_the_beginning_of_its_id(desk: Desk) -> None:
    assert desk.get(f"/v1/jobs/{desk.id[:4]}")["id"] == desk.id
    jobs.put(desk.db, desk.job._replace(id=desk.id + "x"))
    assert desk.get(f"/v1/jobs/{desk.id}")["id"] == desk.id
    with pytest.raises(NotFound, match="could be"):
        desk.get(f"/v1/jobs/{desk.id[:4]}")
    with pytest.raises(NotFound) as caught:
        desk.get("/v1/jobs/survival")
    assert desk.id in caught.value.remedy


# -- what a reviewer sees ----------------------------------------------------------------------------------------------


def test_every_file_is_shown_with_its_digest(desk: Desk) -> None:
    desk.file("code/analysis.py", "print(1)\n")
    desk.file("syft.pub.yaml", "rules: []\n")
    found = desk.show()
    assert [(one["path"], one["size"], one["text"], one["flags"]) for one in found["files"]] == [
        ("run.sh", len(SCRIPT), True, []), ("code/analysis.py", 9, True, []),
    ]  # fmt: skip
    assert found["files"][1]["sha256"] == Digest.of(b"print(1)\n")
    assert found["size"] == len(SCRIPT) + 9
    assert found["script"] == SCRIPT


@pytest.mark.parametrize(
    ("content", "flags"),
    [
        (b"plain\r\ntext\twith \xc3\xa4\n", []),
        (b"\x7fELF\x00\x01", ["binary"]),
        (b"\xff\xfe not utf-8", ["binary"]),
        (b"echo \x1b[2K hidden", ["control-characters"]),
        (b"rm -rf x\rharmless", ["control-characters"]),
        ("if a\u202e then".encode(), ["hidden-unicode"]),
        ("pass\u200bword".encode(), ["hidden-unicode"]),
        ("a\u00a0b".encode(), ["hidden-unicode"]),
        ("a\u3164b".encode(), ["hidden-unicode"]),
        ("a\ufe0fb\U000e0101".encode(), ["hidden-unicode"]),
        ("a\U000e0041b".encode(), ["hidden-unicode"]),
        ("\x9b\u2066".encode(), ["control-characters", "hidden-unicode"]),
    ],
)
def test_a_file_that_deceives_is_flagged(desk: Desk, content: bytes, flags: list[str]) -> None:
    desk.file("a", content)
    assert desk.flags("a") == flags


def test_large_executable_and_oddly_named_files_are_flagged(desk: Desk) -> None:
    desk.file("large.txt", "ä" * 600_000)
    desk.file("odd\u200bname", "x")
    os.chmod(desk.data / "datasites" / ME / desk.inbox / "run.sh", 0o755)
    assert desk.flags("large.txt") == ["large"]
    assert desk.flags("odd\u200bname") == ["hidden-unicode"]
    assert "executable" in desk.flags("run.sh")


def test_what_is_not_what_was_accepted_is_flagged(desk: Desk) -> None:
    desk.write(ME, f"{desk.inbox}/run.sh", "rm -rf /\n")
    desk.write(ME, f"{desk.inbox}/new.py", "x")
    (desk.data / "datasites" / ME / desk.inbox / "link").symlink_to("/etc/passwd")
    (desk.data / "datasites" / ME / desk.inbox / "away").symlink_to("/etc")
    assert desk.flags("run.sh") == ["not-accepted-yet"]
    assert desk.flags("new.py") == ["not-accepted-yet"]
    assert desk.flags("link") == desk.flags("away") == ["symlink", "not-part-of-the-job"]
    assert len(desk.show()["files"]) == 4
    (desk.data / "datasites" / ME / desk.inbox / "run.sh").unlink()
    assert desk.flags("run.sh") == ["missing"]
    assert desk.show()["script"] is None


def test_the_script_is_shown_so_that_it_cannot_lie(desk: Desk) -> None:
    desk.file("run.sh", "ls\r\x1b[1A\x07\x7f\x9b\n\ttrue \u202e\u200b\xff".encode("utf-8", "surrogateescape"))
    assert desk.show()["script"] == "ls␍␛[1A␇␡\\u{9b}\n\ttrue \\u{202e}\\u{200b}ÿ"
    desk.file("run.sh", b"\xffbytes\xfe")
    assert desk.show()["script"] == "\\xffbytes\\xfe"
    desk.file("run.sh", "x" * 300_000)
    assert "longer than" in desk.show()["script"]


def test_a_huge_job_is_described_within_bounds(desk: Desk) -> None:
    for number in range(40):
        desk.file(f"f{number:02}", b"a" * 1024 * 1024)
    found = {one["path"]: one for one in desk.show()["files"]}
    assert found["f00"]["flags"] == []
    assert found["f39"]["flags"] == ["not-examined"]
    assert found["f39"]["sha256"] == Digest.of(b"a" * 1024 * 1024)


def test_datasets_are_named_with_whether_they_exist(desk: Desk) -> None:
    desk.write(ME, "private/heart/table.csv", "x")
    desk.write(ME, "private/lungs.csv", "x")
    desk.write(ME, "private/syft_datasets/kidney/data.csv", "x")
    desk.write(ME, "public/shown/x", "x")
    (desk.data / "datasites" / ME / "private" / "out").symlink_to("/etc")
    names = ["heart", "lungs", "kidney", "nothing", "out", "../public/shown", ".."]
    desk.file("config.yaml", "name: survival\ndatasets: " + json.dumps(names) + "\n")
    found = desk.show()
    there = ("heart", "lungs", "kidney")
    assert {one["name"]: one["exists"] for one in found["datasets"]} == {name: name in there for name in names}
    assert "heart" in found["requested"]
    assert "nothing (there is none of that name)" in found["requested"]


def test_a_config_that_cannot_be_read_is_told(desk: Desk) -> None:
    desk.file("config.yaml", "a: [")
    assert "config.yaml is not used" in desk.show()["notes"][0]


def test_the_limits_are_those_approved_else_those_of_today(desk: Desk) -> None:
    assert desk.show()["limits"]["wall_seconds"] == 300
    assert "concurrency" not in desk.show()["limits"]
    desk.put("approved", approved_limits={"wall_seconds": 5})
    assert desk.show()["limits"] == {"wall_seconds": 5}


# -- what came of it ---------------------------------------------------------------------------------------------------

RESULT = {
    "exit_code": 0, "reason": "exit 0", "wall_seconds": 1.5, "cpu_seconds": 1.0, "peak_memory_mb": 20.0,
    "outputs": [["table.csv", 10, "aa"]], "refused": [["link", "a symbolic link"]], "notes": [], "mode": "bubblewrap",
}  # fmt: skip


def test_results_are_those_of_the_run_that_would_be_released(desk: Desk) -> None:
    assert (desk.show()["results"], desk.show()["outputs"]) == ({}, [])
    desk.ran(9, {**RESULT, "exit_code": 1})
    desk.ran(10, RESULT)
    desk.ran(11, {**RESULT, "exit_code": 2}, stdout=b"of no run that is known")
    desk.put("done", 0, runs=10, released=["outputs/table.csv"])
    found = desk.show()
    assert found["results"]["outputs"] == found["outputs"] == [{"path": "table.csv", "size": 10, "sha256": "aa"}]
    assert found["results"]["refused"] == [{"name": "link", "reason": "a symbolic link"}]
    assert (found["results"]["exit_code"], found["results"]["wall_seconds"]) == (0, 1.5)
    assert found["released"] == ["outputs/table.csv"]
    assert desk.logs()["stdout"] == ""
    desk.put("approved", runs=10, started_at=None)
    assert desk.show()["results"] == {}


@pytest.mark.parametrize("damaged", ["[", "[1, 2]", '{"outputs": [["a"]]}', '{"outputs": 5}'])
def test_a_damaged_result_is_told_and_breaks_nothing(desk: Desk, damaged: str) -> None:
    desk.ran(1)
    (desk.kept / "run-1" / "result.json").write_text(damaged)
    desk.put("done", 0, runs=1)
    assert "cannot be read" in desk.show()["results"]["reason"]


def test_the_author_sees_what_was_released(sent: Desk) -> None:
    assert sent.show()["results"] == {}
    row = sent.accept(PEER, f"{sent.review}/outputs/table.csv", "1,2\n")
    sent.accept(PEER, f"{sent.review}/state.yaml", "status: done\n")
    sent.put("done", 0, released=["outputs/table.csv"])
    found = sent.show()
    assert found["results"]["outputs"] == [{"path": "table.csv", "size": 4, "sha256": row.sha256}]
    assert (found["results"]["exit_code"], found["released"]) == (0, ["outputs/table.csv"])
    assert found["limits"] == {}
    assert found["script"] == SCRIPT


# -- logs --------------------------------------------------------------------------------------------------------------


def test_logs_go_on_from_an_offset_while_the_job_runs(desk: Desk) -> None:
    desk.put("running", runs=1)
    assert desk.logs() == {
        "stdout": "", "stderr": "", "next": {"stdout": 0, "stderr": 0}, "finished": False, "released": False,
        "id": desk.id, "state": "running",
    }  # fmt: skip
    desk.ran(1, stdout="größer\n".encode()[:3], stderr=b"warning\n")
    first = desk.logs()
    assert (first["stdout"], first["stderr"]) == ("gr", "warning\n")
    assert first["next"] == {"stdout": 2, "stderr": 8}
    (desk.kept / "run-1" / "stdout.txt").write_bytes("größer\n".encode())
    second = desk.logs(**first["next"])
    assert (second["stdout"], second["stderr"]) == ("ößer\n", "")
    desk.put("done", 0, runs=1, released=["stdout.txt"])
    last = desk.logs(**second["next"])
    assert (last["stdout"], last["stderr"], last["finished"], last["released"]) == ("", "", True, True)


def test_a_cut_character_at_the_very_end_is_given_out(desk: Desk) -> None:
    desk.ran(1, stdout=b"ab\xc3", stderr=b"\xff")
    desk.put("running", runs=1)
    assert desk.logs()["stdout"] == "ab"
    desk.put("failed", 1, runs=1)
    found = desk.logs(stdout=2)
    assert (found["stdout"], found["next"]["stdout"], found["stderr"]) == ("\ufffd", 3, "\ufffd")


def test_a_long_log_comes_in_pieces_that_join(desk: Desk) -> None:
    whole = ("aé" * 400_000).encode()
    desk.ran(1, stdout=whole, stderr=b"")
    desk.put("done", 0, runs=1)
    at, text = 0, ""
    while (found := desk.logs(stdout=at))["stdout"]:
        assert len(found["stdout"]) <= 256 * 1024
        text, at = text + found["stdout"], found["next"]["stdout"]
    assert text.encode() == whole


def test_a_new_run_is_read_from_its_start(desk: Desk) -> None:
    desk.ran(1, stdout=b"x" * 100, stderr=b"")
    desk.ran(2, stdout=b"again", stderr=b"")
    desk.put("running", runs=2)
    found = desk.logs(stdout=100)
    assert (found["stdout"], found["next"]["stdout"]) == ("again", 5)


def test_the_author_reads_released_logs_only(sent: Desk) -> None:
    sent.ran(1, stdout=b"of another job", stderr=b"")
    sent.put("failed", 1)
    assert (sent.logs()["stdout"], sent.logs()["released"]) == ("", False)
    sent.accept(PEER, f"{sent.review}/stdout.txt", "told\n")
    assert (sent.logs()["stdout"], sent.logs()["released"]) == ("told\n", True)


@pytest.mark.parametrize("offset", ["-1", "x", "1.5", "9" * 30, "²"])
def test_an_offset_is_a_whole_number(desk: Desk, offset: str) -> None:
    with pytest.raises(UserError, match="whole number"):
        desk.get(f"/v1/jobs/{desk.id}/logs", stdout=offset)


# -- what is new -------------------------------------------------------------------------------------------------------


def test_nothing_is_new_when_nothing_changed(desk: Desk) -> None:
    desk.file("deep/a.py", "x\n")
    desk.approve(run_sh=SCRIPT, deep__a_py="x\n")
    assert desk.diff() == {}


def test_each_kind_of_change_is_told(desk: Desk) -> None:
    desk.approve(run_sh=SCRIPT.replace("python", "sh"), gone_py="old\n", bin_dat=b"\0\1")
    desk.file("new.py", "fresh\x1b\n")
    desk.file("bin.dat", b"\0\2\3")
    found = desk.diff()
    assert found == {
        "run.sh": ("changed", "@@ -1,2 +1,2 @@\n #!/bin/bash\n-sh analysis.py\n+python analysis.py"),
        "gone.py": ("removed", "@@ -1,1 +0,0 @@\n-old"),
        "new.py": ("added", "@@ -0,0 +1,1 @@\n+fresh␛"),
        "bin.dat": ("changed", "(binary: 2 bytes before, 3 bytes now)"),
    }


def test_before_the_first_approval_everything_is_new(desk: Desk) -> None:
    found = desk.get(f"/v1/jobs/{desk.id}/diff")
    assert [one["change"] for one in found["files"]] == ["added"]
    assert found["since"] is None
    desk.approve(run_sh=SCRIPT)
    desk.put("done", 0, approved_digest="e" * 64)
    assert desk.get(f"/v1/jobs/{desk.id}/diff")["since"] == "e" * 64


def test_a_mode_and_a_large_file_are_told_in_words(desk: Desk) -> None:
    desk.approve(run_sh=SCRIPT, big_txt="a" * 400_000, same_txt="b" * 2_000_000)
    desk.file("big.txt", "a" * 399_999 + "b")
    desk.file("same.txt", "b" * 2_000_000)
    os.chmod(desk.data / "datasites" / ME / desk.inbox / "run.sh", 0o700)
    assert desk.diff() == {
        "run.sh": ("changed", "(it is now executable)"),
        "big.txt": ("changed", "(too large to show: 400,000 bytes before, 400,000 bytes now)"),
    }


def test_only_the_owner_compares(sent: Desk) -> None:
    with pytest.raises(UserError, match="reviewed by"):
        sent.diff()


def test_what_is_asked_of_a_job_must_exist(desk: Desk) -> None:
    with pytest.raises(NotFound, match="no “secrets”"):
        desk.get(f"/v1/jobs/{desk.id}/secrets")


def test_a_diff_made_to_be_slow_is_not() -> None:
    old = "\n".join(str(n % 100) for n in range(100_000))
    new = "\n".join(str(n * 7 % 100) for n in range(100_000))
    begin = time.process_time()
    assert legible.unified(old, new)
    assert time.process_time() - begin < 2


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        ("", "", ""),
        ("a\n", "a\n", ""),
        ("a\n", "a", "@@ -1,1 +1,1 @@\n-a\n+a  (no line end)"),
        ("".join(f"{n}\n" for n in range(20)), "".join(f"{n}\n" for n in range(20) if n not in (2, 15)),
         "@@ -1,6 +1,5 @@\n 0\n 1\n-2\n 3\n 4\n 5\n@@ -13,7 +12,6 @@\n 12\n 13\n 14\n-15\n 16\n 17\n 18"),
    ],
)  # fmt: skip
def test_lines_are_compared_as_people_know_it(old: str, new: str, expected: str) -> None:
    assert legible.unified(old, new) == expected
