"""The watcher: a hint for every path that changed, quickly, and word when hints were lost."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from syftd.seams import SystemClock, SystemRandom
from syftd.tree import filesystem
from syftd.tree.disk import RealDisk
from syftd.tree.watcher import Watcher, never_travels
from tests.unit.tree.conftest import ME

pytestmark = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="what inotify does")


class Heard:
    def __init__(self) -> None:
        self.changed = threading.Condition()
        self.hints: list[tuple[str, bool, bool]] = []
        self.losses: list[str] = []

    def hint(self, path: str, quick: bool, gone: bool) -> None:
        with self.changed:
            self.hints.append((path, quick, gone))
            self.changed.notify_all()

    def lost(self, reason: str) -> None:
        with self.changed:
            self.losses.append(reason)
            self.changed.notify_all()

    def until(self, true: Callable[[], bool]) -> None:
        with self.changed:
            assert self.changed.wait_for(true, timeout=10), (self.hints[-10:], self.losses)

    def all_before(self, marker: Path, root: Path) -> list[tuple[str, bool, bool]]:
        """The last hint of each path until now: events keep their order, so a marker file ends the waiting."""
        marker.write_bytes(b"")
        name = str(marker.relative_to(root))
        self.until(lambda: (name, True, False) in self.hints)
        with self.changed:
            found = {hint[0]: hint for hint in self.hints if hint[0] != name}
            self.hints.clear()
        return list(found.values())


@pytest.fixture
def heard() -> Heard:
    return Heard()


@pytest.fixture
def root(tmp_path: Path) -> Path:
    (tmp_path / "sites/me/public").mkdir(parents=True)
    return tmp_path / "sites"


@pytest.fixture
def watcher(root: Path, heard: Heard) -> Iterator[Watcher]:
    made = Watcher(root, heard.hint, heard.lost)
    made.start()
    assert (made.mode, made.problem, made.alive) == ("inotify", None, True)
    yield made
    made.stop()
    assert not made.alive


def test_writes_reads_and_deletions(watcher: Watcher, root: Path, heard: Heard) -> None:
    file, end = root / "me/public/a", root / "end"
    file.write_bytes(b"1")
    assert heard.all_before(end, root)[-1] == ("me/public/a", True, False)
    file.read_bytes()
    os.listdir(file.parent)
    assert heard.all_before(end, root) == [], "reading must wake nobody"
    file.chmod(0o755)
    assert heard.all_before(end, root) == [("me/public/a", False, False)]
    file.unlink()
    assert heard.all_before(end, root) == [("me/public/a", False, True)]


def test_renames_are_told_at_once_on_both_sides(watcher: Watcher, root: Path, heard: Heard) -> None:
    (root / "me/public/a").write_bytes(b"1")
    (root / "me/d/e").mkdir(parents=True)
    heard.all_before(root / "end", root)
    (root / "me/public/a").rename(root / "me/b")
    assert set(heard.all_before(root / "end", root)) >= {("me/public/a", True, True), ("me/b", True, False)}
    (root / "me/d").rename(root / "me/f")
    assert set(heard.all_before(root / "end", root)) == {("me/d", True, True), ("me/f", True, False)}
    (root / "me/f/e/x").write_bytes(b"1")
    assert heard.all_before(root / "end", root) == [("me/f/e/x", True, False)]


def test_what_moves_away_is_not_watched_any_more(watcher: Watcher, root: Path, heard: Heard, tmp_path: Path) -> None:
    (root / "me/d/e").mkdir(parents=True)
    heard.all_before(root / "end", root)
    (root / "me/d").rename(tmp_path / "away")
    assert ("me/d", False, True) in heard.all_before(root / "end", root)
    (tmp_path / "away/e/x").write_bytes(b"1")
    assert heard.all_before(root / "end", root) == []
    (tmp_path / "away").rename(root / "me/back")
    assert ("me/back", True, False) in heard.all_before(root / "end", root)
    (root / "me/back/e/x").write_bytes(b"2")
    assert heard.all_before(root / "end", root) == [("me/back/e/x", True, False)]


def test_new_folders_hide_nothing(watcher: Watcher, root: Path, heard: Heard) -> None:
    """Whatever is created how fast in however deep a new folder, it or a folder above it is told."""
    files = []
    for number in range(30):
        folder = root / f"me/n{number}/a/b/c"
        folder.mkdir(parents=True)
        (folder / "f").write_bytes(b"1")
        files.append(str((folder / "f").relative_to(root)))
    told = {path for path, _, gone in heard.all_before(root / "end", root) if not gone}
    for file in files:
        above = file.split("/")
        assert any("/".join(above[:depth]) in told for depth in range(2, len(above) + 1)), file


def test_private_folders_and_litter_are_not_watched(watcher: Watcher, root: Path, heard: Heard) -> None:
    for path in ("me/private/x", "me/.syft/x", "me/d/.git/x", "me/d/private/ok"):
        (root / path).parent.mkdir(parents=True, exist_ok=True)
    heard.all_before(root / "end", root)
    for path in ("me/private/x", "me/.syft/x", "me/d/.git/x", "me/d/private/ok"):
        (root / path).write_bytes(b"1")
    assert {path for path, _, _ in heard.all_before(root / "end", root)} == {"me/d/private/ok"}
    assert never_travels("me/private") and not never_travels("me/d/private")


def test_our_own_write_is_seen_only_when_it_is_in_place(heard: Heard, tmp_path: Path) -> None:
    disk = RealDisk(tmp_path, SystemClock(), SystemRandom())
    disk.make_private_dir(ME, "")
    root = tmp_path / "datasites"
    watcher = Watcher(root, heard.hint, heard.lost)
    watcher.start()
    disk.write_own(ME, "a", b"1")
    assert heard.all_before(root / "end", root) == [(f"{ME}/a", True, False)]
    disk.write_own(ME, "a", b"2")
    assert [(path, gone) for path, _, gone in heard.all_before(root / "end", root)] == [(f"{ME}/a", False)]
    disk.stage_file("key", 10).close()
    assert heard.all_before(root / "end", root) == []
    watcher.stop()
    disk.close()


def test_a_storm_of_another_process(watcher: Watcher, root: Path, heard: Heard) -> None:
    code = "import sys\nfor i in range(3000): open(f'{sys.argv[1]}/{i}', 'w').close()"
    before = time.process_time()
    subprocess.run([sys.executable, "-c", code, str(root / "me/public")], check=True)
    hints = heard.all_before(root / "end", root)
    spent = time.process_time() - before
    assert heard.losses or {path for path, _, _ in hints} == {f"me/public/{i}" for i in range(3000)}
    assert spent < 1.0, "a file costs about 20 µs"


def test_an_overflow_is_told_and_survived(watcher: Watcher, root: Path, heard: Heard) -> None:
    with heard.changed:  # The reader cannot hand on its hints, so the kernel's queue fills.
        (root / "me/first").write_bytes(b"")
        deadline = time.monotonic() + 20
        number = 0
        while number < 40_000 and time.monotonic() < deadline:
            number += 1
            fd = os.open(root / "me/public" / str(number % 7), os.O_WRONLY | os.O_CREAT)
            os.close(fd)
        (root / "me/unseen").mkdir()
    heard.until(lambda: bool(heard.losses))
    heard.all_before(root / "end", root)
    (root / "me/unseen/x").write_bytes(b"1")
    assert heard.all_before(root / "end", root) == [("me/unseen/x", True, False)]


def test_the_watched_folder_goes_away(watcher: Watcher, root: Path, heard: Heard) -> None:
    for folder in ("me/public", "me", "."):
        os.rmdir(root / folder if folder != "." else root)
    heard.until(lambda: bool(heard.losses))
    assert not watcher.alive
    with pytest.raises(FileNotFoundError):
        watcher.start()
    (root / "me").mkdir(parents=True)
    watcher.start()
    assert watcher.alive
    (root / "me/a").write_bytes(b"1")
    heard.until(lambda: ("me/a", True, False) in heard.hints)


def test_the_limit_of_watches_means_polling(root: Path, heard: Heard, monkeypatch: pytest.MonkeyPatch) -> None:
    import errno

    from syftd.tree import inotify

    real = inotify.inotify_watch

    def limited(reader: inotify.Inotify, full: str, id: inotify.CallbackId) -> int | None:
        if full.endswith("public"):
            raise OSError(errno.ENOSPC, "inotify watch limit reached")
        return real(reader, full, id)

    monkeypatch.setattr(inotify, "inotify_watch", limited)
    watcher = Watcher(root, heard.hint, heard.lost, poll_seconds=0.02)
    watcher.start()
    assert watcher.problem is not None and "fs.inotify.max_user_watches" in watcher.problem
    heard.until(lambda: heard.losses[:2] == ["polling", "polling"])
    (root / "me/a").write_bytes(b"1")
    heard.until(lambda: ("me/a", True, False) in heard.hints)
    watcher.stop()


def test_a_remote_disk_means_polling(root: Path, heard: Heard, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(filesystem, "kind", lambda path: "nfs4")
    watcher = Watcher(root, heard.hint, heard.lost, poll_seconds=0.02)
    watcher.start()
    assert watcher.mode == "polling"
    assert watcher.problem is not None and "nfs4" in watcher.problem
    heard.until(lambda: bool(heard.losses))
    watcher.stop()
    assert not watcher.alive


def test_no_descriptors_are_left_behind(root: Path, heard: Heard) -> None:
    watcher = Watcher(root, heard.hint, heard.lost)
    watcher.start()
    watcher.stop()
    before = len(os.listdir("/proc/self/fd"))
    for _ in range(5):
        watcher.start()
        watcher.stop()
    assert len(os.listdir("/proc/self/fd")) <= before


def test_the_system_watcher_tells_the_same(root: Path, heard: Heard) -> None:
    """What other systems use, here on watchdog's own inotify observer."""
    from syftd.tree.observer import Observed

    observed = Observed(root, heard.hint, never_travels)
    assert observed.alive
    (root / "me/public/a").write_bytes(b"1")
    heard.until(lambda: ("me/public/a", True, False) in heard.hints)
    (root / "me/private").mkdir()
    (root / "me/private/x").write_bytes(b"1")
    (root / "me/public/a").rename(root / "me/b")
    heard.until(lambda: ("me/b", True, False) in heard.hints)
    assert ("me/public/a", True, True) in heard.hints
    (root / "me/b").unlink()
    heard.until(lambda: ("me/b", False, True) in heard.hints)
    assert not [path for path, _, _ in heard.hints if path.startswith("me/private")]
    observed.stop()
