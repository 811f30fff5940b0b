"""The disk: whole or not at all, never through a link, the loser never gone."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from syftd.errors import (
    ContentMissing,
    Denied,
    DiskFull,
    DiskReadOnly,
    InMotion,
    Malformed,
    NameClash,
    RootMissing,
    Stale,
    SyftdError,
    TooLarge,
)
from syftd.names import Digest
from syftd.seams import SystemClock, SystemRandom
from syftd.tree import kernel
from syftd.tree.disk import RealDisk
from tests.unit.tree.conftest import ME, Counting, HandClock

NFC, NFD = "caf\u00e9", "cafe\u0301"


def put(disk: RealDisk, path: str, content: bytes, **more: bool) -> None:
    disk.write_own(ME, path, content, **more)


def everything(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.fixture(params=["as it is", "no openat2", "no exchange", "no renameat2"])
def plain(request: pytest.FixtureRequest, disk: RealDisk, monkeypatch: pytest.MonkeyPatch) -> RealDisk:
    """The disk as on this machine, and as on machines that lack one thing or another."""
    real = kernel.rename

    def without_exchange(source: int, old: str, target: int, new: str, flags: int) -> bool:
        return flags != kernel.EXCHANGE and real(source, old, target, new, flags)

    if request.param == "no openat2":
        disk._sites.one_call = False
    elif request.param == "no exchange":
        monkeypatch.setattr(kernel, "rename", without_exchange)
    elif request.param == "no renameat2":
        monkeypatch.setattr(kernel, "rename", lambda *_: False)
    return disk


def test_new_file(plain: RealDisk, site: Path) -> None:
    stat, lost = plain.replace(ME, "public/a/b.txt", b"one", executable=False, expected=None, known=None)
    assert lost is None
    assert (site / "public/a/b.txt").read_bytes() == b"one"
    assert stat == plain.stat(ME, "public/a/b.txt")
    assert (site / "public/a/b.txt").stat().st_mode & 0o7133 == 0
    assert os.listdir(plain.data / ".stage") == []
    plain.sync()


def test_replacing_keeps_the_loser(plain: RealDisk, site: Path) -> None:
    put(plain, "a", b"one")
    stat, lost = plain.replace(ME, "a", b"two", executable=True, expected=Digest.of(b"one"), known=None)
    assert (site / "a").read_bytes() == b"two"
    assert stat == plain.stat(ME, "a")
    assert stat.executable
    assert lost is not None
    assert plain.restore(lost) == b"one"
    assert os.listdir(plain.data / ".stage") == []


def test_replacing_needs_the_base(plain: RealDisk, site: Path) -> None:
    put(plain, "a", b"mine")
    before = everything(plain.data)
    for expected in (None, Digest.of(b"other")):
        with pytest.raises(Stale):
            plain.replace(ME, "a", b"theirs", executable=False, expected=expected, known=None)
    with pytest.raises(Stale):
        plain.replace(ME, "absent", b"theirs", executable=False, expected=Digest.of(b"x"), known=None)
    assert everything(plain.data) == before
    assert not [each for each in (plain.data / ".trash").rglob("*") if each.is_file()]


def test_known_observation_saves_the_reading(disk: RealDisk, monkeypatch: pytest.MonkeyPatch) -> None:
    put(disk, "a", b"one")
    known = disk.stat(ME, "a")

    def refuse(*_: object) -> Digest:
        raise AssertionError("it was read")

    monkeypatch.setattr("syftd.tree.place.digest_of", refuse)
    stat, _ = disk.replace(ME, "a", b"two", executable=False, expected=Digest.of(b"one"), known=known)
    with pytest.raises(AssertionError, match="it was read"):
        disk.replace(ME, "a", b"three", executable=False, expected=Digest.of(b"two"), known=known)
    assert stat != known


def interfering(monkeypatch: pytest.MonkeyPatch, flags: int, act: Callable[[], object]) -> None:
    """Lets somebody act in the last gap: after the check, right before the rename."""
    real = kernel.rename
    done: list[bool] = []

    def rename(source: int, old: str, target: int, new: str, how: int) -> bool:
        if how == flags and not done:
            done.append(True)
            act()
        return real(source, old, target, new, how)

    monkeypatch.setattr(kernel, "rename", rename)


def test_a_save_in_the_last_gap_is_put_back(disk: RealDisk, site: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    put(disk, "a", b"one")
    interfering(monkeypatch, kernel.EXCHANGE, lambda: (site / "a").write_bytes(b"the person's own"))
    staged = disk.stage(b"two")
    with pytest.raises(Stale):
        disk.replace(ME, "a", staged, executable=False, expected=Digest.of(b"one"), known=None)
    assert (site / "a").read_bytes() == b"the person's own"
    assert disk.staged(staged.name) == staged, "the staged content waits for another attempt"


def test_a_file_made_in_the_last_gap_stays(disk: RealDisk, site: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    interfering(monkeypatch, kernel.NO_REPLACE, lambda: (site / "a").write_bytes(b"the person's own"))
    with pytest.raises(Stale):
        disk.replace(ME, "a", b"two", executable=False, expected=None, known=None)
    assert (site / "a").read_bytes() == b"the person's own"
    assert os.listdir(disk.data / ".stage") == []


def test_remove_prunes_what_it_empties(plain: RealDisk, site: Path) -> None:
    put(plain, "x/y/a", b"one")
    put(plain, "x/.git/config", b"kept")
    lost = plain.remove(ME, "x/y/a", expected=Digest.of(b"one"), known=None)
    assert lost is not None and plain.restore(lost) == b"one"
    assert not (site / "x/y").exists()
    assert (site / "x/.git/config").exists()
    (site / "x/.git/config").unlink()
    put(plain, "only", b"1")
    plain.remove(ME, "only", expected=Digest.of(b"1"), known=None)
    assert site.is_dir()
    assert plain.remove(ME, "only", expected=Digest.of(b"1"), known=None) is None
    assert plain.remove(ME, "no/such/folder", expected=Digest.of(b"1"), known=None) is None


def test_remove_needs_the_base(disk: RealDisk, site: Path) -> None:
    put(disk, "a", b"mine")
    with pytest.raises(Stale):
        disk.remove(ME, "a", expected=Digest.of(b"other"), known=None)
    assert (site / "a").read_bytes() == b"mine"


# I12: nothing outside of the datasite, nothing through a symbolic link.


@pytest.fixture
def outside(tmp_path: Path, site: Path) -> Path:
    place = tmp_path / "outside"
    place.mkdir()
    (place / "secret").write_bytes(b"secret")
    (site / "link").symlink_to(place)
    (site / "to-secret").symlink_to(place / "secret")
    (site / "up").symlink_to("..")
    return place


def test_links_are_never_followed(plain: RealDisk, site: Path, outside: Path) -> None:
    before = everything(outside)
    digest = Digest.of(b"secret")
    for path in ("link/secret", "link/new", "link/deep/new", "up/x", f"up/{ME}/x"):
        with pytest.raises(Denied):
            plain.replace(ME, path, b"evil", executable=False, expected=None, known=None)
        with pytest.raises(Denied):
            plain.write_own(ME, path, b"evil")
        with pytest.raises(Denied):
            plain.read(ME, path, 100)
        with pytest.raises(Denied):
            plain.remove(ME, path, expected=digest, known=None)
        with pytest.raises(Denied):
            plain.make_private_dir(ME, path + "/d")
        assert plain.stat(ME, path) is None
        assert plain.kind(ME, path) is None
        assert plain.entries(ME, "link") is None
    assert plain.kind(ME, "to-secret") == "symlink"
    assert plain.stat(ME, "to-secret") is None
    for act in (
        lambda: plain.replace(ME, "to-secret", b"evil", executable=False, expected=digest, known=None),
        lambda: plain.remove(ME, "to-secret", expected=digest, known=None),
    ):
        with pytest.raises(NameClash):
            act()
    for call in (lambda: plain.read(ME, "to-secret", 100), lambda: plain.digest(ME, "to-secret")):
        with pytest.raises(Denied):
            call()
    assert everything(outside) == before
    assert (site / "to-secret").is_symlink()


@pytest.mark.parametrize("path", ["", "..", "../b@c.de/x", "a/../../x", "/etc/passwd", "a//b", "./a", "a\0b", "a/"])
def test_paths_that_lead_elsewhere(plain: RealDisk, path: str) -> None:
    before = everything(plain.data)
    with pytest.raises(SyftdError):
        plain.replace(ME, path, b"x", executable=False, expected=None, known=None)
    with pytest.raises(SyftdError):
        plain.read(ME, path, 100)
    if path:
        with pytest.raises(Malformed):
            plain.remove(ME, path, expected=Digest.of(b""), known=None)
    assert everything(plain.data) == before


def test_hard_links_are_broken_on_purpose(disk: RealDisk, site: Path, tmp_path: Path) -> None:
    elsewhere = tmp_path / "elsewhere"
    elsewhere.write_bytes(b"one")
    os.link(elsewhere, site / "a")
    disk.replace(ME, "a", b"two", executable=False, expected=Digest.of(b"one"), known=None)
    assert elsewhere.read_bytes() == b"one"


def test_a_folder_in_the_way(plain: RealDisk, site: Path) -> None:
    (site / "d").mkdir()
    put(plain, "f", b"1")
    for path in ("d", "f/below"):
        with pytest.raises(NameClash):
            plain.replace(ME, path, b"x", executable=False, expected=None, known=None)
    (site / "pipe").touch()
    (site / "pipe").unlink()
    os.mkfifo(site / "pipe")
    with pytest.raises(NameClash):
        plain.replace(ME, "pipe", b"x", executable=False, expected=None, known=None)
    with pytest.raises(ContentMissing):
        plain.read(ME, "pipe", 10)
    assert plain.kind(ME, "pipe") == "special"


def test_another_unicode_form_is_a_clash(disk: RealDisk, site: Path) -> None:
    (site / NFD).write_bytes(b"1")
    (site / (NFD + "dir")).mkdir()
    for path in (NFC, NFC + "dir/x"):
        with pytest.raises(NameClash):
            disk.replace(ME, path, b"2", executable=False, expected=None, known=None)
    disk.replace(ME, NFD, b"2", executable=False, expected=Digest.of(b"1"), known=None)
    assert sorted(os.listdir(site)) == sorted([NFD, NFD + "dir"])


def test_another_case_is_a_clash_where_case_does_not_count(disk: RealDisk, site: Path) -> None:
    assert not disk.case_insensitive()
    put(disk, "Dir/Name", b"1")
    disk._place._folds_case = True
    for path in ("Dir/name", "dir/other"):
        with pytest.raises(NameClash):
            disk.replace(ME, path, b"2", executable=False, expected=None, known=None)
    disk.replace(ME, "Dir/Name", b"2", executable=False, expected=Digest.of(b"1"), known=None)


def test_names_the_disk_cannot_hold(disk: RealDisk) -> None:
    with pytest.raises(NameClash):
        disk.replace(ME, "x" * 256, b"", executable=False, expected=None, known=None)


# Reading.


def test_reading(disk: RealDisk, site: Path) -> None:
    put(disk, "a", b"one")
    assert disk.read(ME, "a", 3) == (b"one", disk.stat(ME, "a"))
    with pytest.raises(TooLarge):
        disk.read(ME, "a", 2)
    with pytest.raises(ContentMissing):
        disk.read(ME, "b", 2)
    assert disk.digest(ME, "a")[0] == Digest.of(b"one")
    opened = disk.open_at(ME, "a")
    assert opened.pread(1, 5) == b"ne"
    before = opened.stat()
    (site / "a").write_bytes(b"longer")
    assert opened.stat() != before
    opened.close()


def test_a_file_written_while_it_is_read(disk: RealDisk, site: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    put(disk, "a", b"x" * 3_000_000)
    real = os.pread

    def pread(fd: int, length: int, offset: int) -> bytes:
        with (site / "a").open("ab") as file:
            file.write(b"more")
        return real(fd, length, offset)

    monkeypatch.setattr(os, "pread", pread)
    with pytest.raises(InMotion):
        disk.digest(ME, "a")
    with pytest.raises(InMotion):
        disk.read(ME, "a", 100_000_000)


# The stage and the trash.


def test_staged_content_survives_a_restart(disk: RealDisk, site: Path) -> None:
    staged = disk.stage(b"two")
    disk.sync()
    again = RealDisk(disk.data, HandClock(), Counting())
    found = again.staged(staged.name)
    assert found == staged
    again.replace(ME, "a", found, executable=False, expected=None, known=None)
    assert (site / "a").read_bytes() == b"two"
    assert again.staged(staged.name) is None
    with pytest.raises(ContentMissing):
        again.replace(ME, "b", found, executable=False, expected=None, known=None)
    for name in ("../datasites", "", "..", "absent"):
        assert again.staged(name) is None
    again.close()


def test_a_download_resumes(disk: RealDisk, site: Path) -> None:
    first = disk.stage_file("some key", 10)
    assert not first.resumed
    first.pwrite(5, b"world")
    first.close()
    second = disk.stage_file("some key", 10)
    assert second.resumed
    assert second.pread(5, 5) == b"world"
    second.pwrite(0, b"hello")
    with pytest.raises(ValueError):
        second.pwrite(8, b"abc")
    staged = second.finish()
    assert staged.digest == Digest.of(b"helloworld")
    disk.replace(ME, "a", staged, executable=False, expected=None, known=None)
    assert (site / "a").read_bytes() == b"helloworld"
    assert not disk.stage_file("some key", 10).resumed
    other = disk.stage_file("other key", 10)
    other.discard()
    other.discard()
    assert not disk.stage_file("other key", 10).resumed


def test_sweeping(disk: RealDisk, clock: HandClock) -> None:
    clock.at = 1_700_000_000.0
    ids = []
    for day in range(4):
        put(disk, "a", b"%d" % day * 100)
        lost = disk.remove(ME, "a", expected=Digest.of(b"%d" % day * 100), known=None)
        assert lost is not None
        ids.append(lost)
        clock.at += 86_400
    assert disk.sweep(keep=(), stage_age=1e9, trash_age=2.5 * 86_400, trash_bytes=10**9) == (0, 2)
    assert [disk.restore(id) for id in ids[2:]] == [b"2" * 100, b"3" * 100]
    for id in (*ids[:2], "../../x", "2020-01-01/0000000000000000"):
        with pytest.raises(ContentMissing):
            disk.restore(id)
    assert disk.sweep(keep=(), stage_age=1e9, trash_age=1e9, trash_bytes=150)[1] == 1
    assert disk.restore(ids[3]) == b"3" * 100
    staged, kept = disk.stage(b"old"), disk.stage(b"kept")
    clock.at = 3_000_000_000.0
    assert disk.sweep(keep={kept.name}, stage_age=86_400, trash_age=1e12, trash_bytes=10**9)[0] == 1
    assert disk.staged(staged.name) is None
    assert disk.staged(kept.name) == kept


# The folder as a whole.


def test_the_marker(disk: RealDisk, site: Path, tmp_path: Path) -> None:
    with pytest.raises(RootMissing):
        disk.check_marker(ME, "id-1")
    disk.ensure_marker(ME, "id-1")
    disk.ensure_marker(ME, "id-1")
    with pytest.raises(RootMissing):
        disk.ensure_marker(ME, "id-2")
    disk.data.rename(tmp_path / "moved")
    with pytest.raises(RootMissing):
        disk.check_marker(ME, "id-1")
    (disk.data / "datasites" / ME).mkdir(parents=True)
    with pytest.raises(RootMissing):
        disk.check_marker(ME, "id-1")


def test_a_vanished_datasite_is_not_made_anew(disk: RealDisk, site: Path) -> None:
    site.rmdir()
    with pytest.raises(RootMissing):
        disk.replace(ME, "a", b"1", executable=False, expected=None, known=None)
    with pytest.raises(RootMissing):
        disk.stat(ME, "a")
    with pytest.raises(RootMissing):
        disk.remove(ME, "a", expected=Digest.of(b"1"), known=None)
    assert not site.exists()


def test_many_writes_are_synced_at_once(disk: RealDisk, monkeypatch: pytest.MonkeyPatch) -> None:
    disk.sync()
    calls: list[str] = []
    real = kernel.sync_filesystem
    monkeypatch.setattr(kernel, "sync_filesystem", lambda fd: (calls.append("whole"), real(fd))[1])
    monkeypatch.setattr("syftd.tree.durability.fsync", lambda fd: calls.append("one"))
    fds = len(os.listdir("/proc/self/fd"))
    for number in range(3):
        put(disk, f"few/{number}", b"x")
    disk.sync()
    assert calls.count("one") >= 4 and "whole" not in calls
    calls.clear()
    for number in range(100):
        put(disk, f"many/{number}", b"x")
    disk.sync()
    assert calls == ["whole"]
    calls.clear()
    disk.sync()
    assert calls == []
    assert len(os.listdir("/proc/self/fd")) == fds


# Other file systems.


@pytest.fixture
def tiny(tmp_path: Path) -> Iterator[Path]:
    """A file system of 256 KiB of its own."""
    place = tmp_path / "tiny"
    place.mkdir()
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=256k", "tmpfs", place], capture_output=True)
    if mounted.returncode:
        pytest.skip("this machine lets us mount nothing")
    yield place
    subprocess.run(["umount", "-l", place], check=True)


def test_a_full_disk(tiny: Path) -> None:
    disk = RealDisk(tiny, SystemClock(), SystemRandom())
    disk.make_private_dir(ME, "")
    put(disk, "a", b"one")
    before = everything(tiny)
    with pytest.raises(DiskFull):
        disk.replace(ME, "b", b"x" * 400_000, executable=False, expected=None, known=None)
    with pytest.raises(DiskFull):
        disk.replace(ME, "a", b"x" * 400_000, executable=False, expected=Digest.of(b"one"), known=None)
    with pytest.raises(DiskFull):
        disk.stage(b"x" * 400_000)
    filling = disk.stage_file("big", 400_000)
    with pytest.raises(DiskFull):
        filling.pwrite(0, b"x" * 400_000)
    filling.discard()
    assert everything(tiny) == before
    assert disk.free_bytes() > 100_000
    disk.close()


def test_a_datasite_on_another_file_system(disk: RealDisk, site: Path, tiny: Path) -> None:
    subprocess.run(["mount", "--bind", tiny, site], check=True)
    try:
        disk.replace(ME, "d/new", b"1", executable=False, expected=None, known=None)
        staged = disk.stage(b"2")
        stat, lost = disk.replace(ME, "d/new", staged, executable=True, expected=Digest.of(b"1"), known=None)
        assert stat == disk.stat(ME, "d/new")
        assert lost is not None and disk.restore(lost) == b"1"
        assert disk.staged(staged.name) is None
        gone = disk.remove(ME, "d/new", expected=Digest.of(b"2"), known=None)
        assert gone is not None and disk.restore(gone) == b"2"
        assert everything(site) == {}
        disk.sync()
    finally:
        subprocess.run(["umount", "-l", site], check=True)


def test_a_read_only_disk(tiny: Path) -> None:
    disk = RealDisk(tiny, SystemClock(), SystemRandom())
    disk.make_private_dir(ME, "")
    subprocess.run(["mount", "-o", "remount,ro", tiny], check=True)
    with pytest.raises(DiskReadOnly, match="read-only"):
        disk.replace(ME, "a", b"1", executable=False, expected=None, known=None)
    disk.close()


# Whatever is done, the disk agrees with a dictionary, and every content that was there is there or in the trash.

PATHS = st.sampled_from(["a", "b", "d/a", "d/e/f", "g/h"])
CONTENT = st.binary(max_size=3)


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(steps=st.lists(st.tuples(PATHS, st.none() | CONTENT, st.booleans()), max_size=12))
def test_agrees_with_a_dictionary(
    tmp_path_factory: pytest.TempPathFactory, steps: list[tuple[str, bytes | None, bool]]
) -> None:
    disk = RealDisk(tmp_path_factory.mktemp("data"), HandClock(), Counting())
    disk.make_private_dir(ME, "")
    model: dict[str, bytes] = {}
    lost: list[tuple[bytes, str | None]] = []
    for path, content, right in steps:
        had = model.get(path)
        base = None if had is None else Digest.of(had)
        claimed = base if right else Digest.of(b"something else")
        try:
            if content is None:
                id = disk.remove(ME, path, expected=claimed, known=None)
                done = had is not None
            else:
                _, id = disk.replace(ME, path, content, executable=False, expected=claimed, known=None)
                done = True
        except Stale:
            assert claimed != base
            continue
        assert claimed == base or had is None
        if done and had is not None:
            lost.append((had, id))
        if content is None:
            model.pop(path, None)
        else:
            model[path] = content
    assert everything(disk.data / "datasites" / ME) == model
    for had, id in lost:
        assert id is not None and disk.restore(id) == had
    disk.close()
