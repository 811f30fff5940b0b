"""An approval is of bytes: what runs is what was approved, and only what was let out can be read."""

from __future__ import annotations

from pathlib import Path

import hypothesis.strategies as st
import pytest
from hypothesis import given

from syftd.errors import UserError
from syftd.jobs.parts import INBOX, REVIEW, job_digest, job_of
from syftd.names import Digest
from syftd.rules.access import Access
from syftd.state import contacts
from tests.unit.jobs.desks import ME, PEER, Desk
from tests.unit.jobs.desks import desk as desk

A, B = Digest("a" * 64), Digest("b" * 64)
paths = st.sampled_from(["run.sh", "main.py", "lib/a.py", "lib/b.py", "data.csv"])
entries = st.lists(st.tuples(paths, st.sampled_from([A, B]), st.booleans()), unique_by=lambda entry: entry[0])
names = st.lists(st.sampled_from(["heart", "lungs", "brain"]))


@pytest.fixture(autouse=True)
def peer(desk: Desk) -> None:
    contacts.put(desk.db, contacts.Peer(PEER, "accepted", 1.0, "born", "0.1.117", frozenset({"blobs"}), ""))


# -- the digest --------------------------------------------------------------------------------------------------------


@given(entries, names, st.randoms())
def test_the_digest_is_of_a_set(files: list[tuple[str, Digest, bool]], data: list[str], chance: object) -> None:
    shuffled = list(files)
    chance.shuffle(shuffled)  # type: ignore[attr-defined]
    assert job_digest(files, data) == job_digest(shuffled, [*reversed(data), *data])


@given(entries, entries, names, names)
def test_different_jobs_have_different_digests(
    files: list[tuple[str, Digest, bool]], others: list[tuple[str, Digest, bool]], data: list[str], more: list[str]
) -> None:
    same = sorted(files) == sorted(others) and set(data) == set(more)
    assert (job_digest(files, data) == job_digest(others, more)) is same


def test_a_file_name_cannot_pass_for_a_dataset() -> None:
    assert job_digest([("x", A, False)], []) != job_digest([], [f"x\0{A}\0-"])


@pytest.mark.parametrize(
    ("path", "found"),
    [
        (f"{INBOX}/{PEER}/one/run.sh", (PEER, "one")),
        (f"{INBOX}/{PEER}/one/lib/a.py", (PEER, "one")),
        (f"{INBOX}/{PEER}/one", None),
        (f"{INBOX}/{PEER}/syft.pub.yaml", None),
        (f"{REVIEW}/{PEER}/one/run.sh", None),
        (f"{INBOX}elsewhere/{PEER}/one/run.sh", None),
        ("public/a.txt", None),
    ],
)
def test_the_place_of_a_file_says_whose_job_it_belongs_to(path: str, found: tuple[str, str] | None) -> None:
    assert job_of(path, INBOX) == found


# -- approved means these bytes ----------------------------------------------------------------------------------------


def place(desk: Desk, name: str) -> Path:
    return desk.data / "datasites" / ME / INBOX / PEER / "mean" / name


def test_what_runs_is_a_copy_of_what_was_approved(desk: Desk) -> None:
    desk.arrive(run_sh="echo good", main_py="print(1)")
    desk.approve()
    assert desk.ran().state == "done"
    [spec] = desk.specs
    assert {str(path.relative_to(spec.job)): path.read_text() for path in spec.job.rglob("*") if path.is_file()} == {
        "run.sh": "echo good",
        "main.py": "print(1)",
    }
    assert not spec.job.is_relative_to(desk.data), "a peer can write into the datasite, not to the copy"


@pytest.mark.parametrize("noticed", [False, True])
def test_a_script_swapped_after_the_approval_never_runs(desk: Desk, noticed: bool) -> None:
    desk.arrive(run_sh="echo good")
    desk.approve()
    if noticed:
        desk.accept(f"{INBOX}/{PEER}/mean/run.sh", b"echo evil")
    else:
        place(desk, "run.sh").write_text("echo evil")
    job = desk.ran()
    assert desk.specs == []
    assert job.state == "pending" and "changed" in job.reason
    assert job.facts.get("approved_digest") is None


def test_a_script_swapped_while_it_is_copied_never_runs(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    desk.arrive(run_sh="echo good", zz_py="print(1)")
    desk.approve()
    open_at = desk.disk.open_at

    def swapping(site: str, path: str) -> object:
        place(desk, "zz.py").write_text("print(2)")
        return open_at(site, path)  # type: ignore[arg-type]

    monkeypatch.setattr(desk.disk, "open_at", swapping)
    assert desk.ran().state == "pending"
    assert desk.specs == []


def test_a_script_replaced_by_a_link_never_runs(desk: Desk, tmp_path: Path) -> None:
    desk.arrive(run_sh="echo good")
    desk.approve()
    (tmp_path / "outside").write_text("echo good")
    place(desk, "run.sh").unlink()
    place(desk, "run.sh").symlink_to(tmp_path / "outside")
    assert desk.ran().state in ("pending", "failed")
    assert desk.specs == []


def test_a_file_that_is_added_after_the_approval_is_not_there_when_it_runs(desk: Desk) -> None:
    desk.arrive(run_sh="echo good")
    desk.approve()
    place(desk, "sitecustomize.py").write_text("evil")
    desk.ran()
    assert [path.name for spec in desk.specs for path in spec.job.iterdir()] in ([], ["run.sh"])


def test_another_dataset_in_the_settings_needs_another_approval(desk: Desk) -> None:
    for name in ("heart", "lungs"):
        desk.disk.write_own(ME, f"private/{name}/a.csv", b"1")
    desk.arrive(run_sh="true", config_yaml='datasets: ["heart"]\n')
    desk.approve()
    place(desk, "config.yaml").write_text('datasets: ["lungs"]\n')
    assert desk.ran().state == "pending"
    assert desk.specs == []


def test_changed_files_bring_a_job_that_waits_for_its_turn_back_to_review(desk: Desk) -> None:
    desk.arrive("first", run_sh="true")
    desk.approve("first")
    desk.arrive(run_sh="echo one")
    assert desk.approve().state == "approved"
    job = desk.arrive(run_sh="echo two")
    assert (job.state, job.reason) == ("pending", "its files changed after it was approved")
    assert desk.ran().state == "pending"
    assert len(desk.specs) == 1, "only the first job ran"


def test_files_that_change_while_it_runs_bring_it_back_to_review_after_the_run(desk: Desk) -> None:
    desk.arrive(run_sh="echo one")
    desk.approve()
    assert desk.arrive(run_sh="echo two").state == "running"
    assert desk.ran().state == "pending"


def test_a_rerun_is_of_the_approved_files_only(desk: Desk) -> None:
    desk.arrive(run_sh="echo one")
    desk.approve()
    desk.ran()
    place(desk, "run.sh").write_text("echo evil")
    desk.desk.rerun(desk.job(), release=False, unsafe=False)
    assert desk.ran().state == "pending"
    assert len(desk.specs) == 1


# -- release -----------------------------------------------------------------------------------------------------------


def finished(desk: Desk, **outputs: bytes) -> None:
    desk.outputs = {name.replace("__", "."): content for name, content in outputs.items()}
    desk.arrive(run_sh="true")
    desk.approve()
    desk.ran()


def test_nothing_leaves_by_itself(desk: Desk) -> None:
    finished(desk, table__csv=b"1")
    assert desk.review() == {}
    assert desk.job().state == "done"


@pytest.mark.parametrize(
    ("only", "names"),
    [
        (None, {"outputs/table.csv", "outputs/plot.png", "stdout.txt"}),
        ("*.csv", {"outputs/table.csv"}),
        ("outputs/*", {"outputs/table.csv", "outputs/plot.png"}),
        ("stdout.txt", {"stdout.txt"}),
        ("table.csv", {"outputs/table.csv"}),
    ],
)
def test_what_matches_leaves(desk: Desk, only: str | None, names: set[str]) -> None:
    finished(desk, table__csv=b"1", plot__png=b"2")
    desk.desk.release(desk.job(), only)
    desk.ran()
    assert names <= set(desk.review())
    assert set(desk.review()) <= names | ({"stderr.txt", "returncode.txt"} if only is None else set())


def test_what_matches_nothing_says_so_and_releases_nothing(desk: Desk) -> None:
    finished(desk, table__csv=b"1")
    with pytest.raises(UserError, match="nothing"):
        desk.desk.release(desk.job(), "*.parquet")
    assert desk.review() == {}


def test_a_released_result_whose_name_begins_with_a_dot_can_be_read_by_its_author_alone(desk: Desk) -> None:
    desk.outputs = {".hidden": b"h", "in/.deep/x": b"x", "[odd]*.txt": b"o"}
    desk.arrive(run_sh="true")
    desk.approve()
    desk.ran()
    desk.desk.release(desk.job(), None)
    desk.ran()
    access = Access(ME)
    folder = f"{REVIEW}/{PEER}"
    access.set(folder, f"rules:\n- pattern: '**'\n  access: {{read: ['{PEER}'], write: [], admin: []}}\n".encode())
    access.set(f"{folder}/mean", desk.disk.read(ME, f"{folder}/mean/syft.pub.yaml", 1 << 20)[0])
    for name in desk.outputs:
        assert access.may_read(PEER, f"{folder}/mean/outputs/{name}"), name
        assert not access.may_read("other@z.org", f"{folder}/mean/outputs/{name}")
        assert not access.may_write(PEER, f"{folder}/mean/outputs/{name}")
