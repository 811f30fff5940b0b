"""The folder transport in the conformance suite, and what other people may do to a folder that they share."""

from __future__ import annotations

import errno
import os
import shutil
import stat
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from syftd.errors import Gone, Permanent, Quota, Transient
from syftd.names import Email
from syftd.seams import sleep_until
from syftd.transport.folder import MAX_OBJECT_BYTES, FolderMailbox
from syftd.transport.layout import folder_name
from syftd.transport.mailbox import Mailbox, Ref, blobs, inbox, outbox, profile
from tests.mailbox.suite import (
    CIRCLE,
    EVENTS,
    MESSAGE,
    OWNER,
    PROPOSALS,
    SCIENTIST,
    STRANGER,
    MailboxSuite,
    births,
    refs,
)


class FolderStorage:
    def __init__(self, root: Path, patch: pytest.MonkeyPatch) -> None:
        self.root = root
        self.patch = patch

    def open(self, me: Email) -> FolderMailbox:
        return FolderMailbox(self.root, me, trusted=True)

    def open_untrusted(self, me: Email) -> FolderMailbox:
        return FolderMailbox(self.root, me, trusted=False)

    def break_off(self, mailbox: Mailbox, put: Callable[[], object]) -> None:
        with pytest.MonkeyPatch.context() as patch:

            def fail(descriptor: int) -> None:
                raise OSError(errno.EIO, "cable pulled")

            patch.setattr(os, "fsync", fail)
            with pytest.raises(Transient):
                put()

    def lose_reply(self, mailbox: Mailbox, put: Callable[[], object]) -> None:
        put()

    def lock(self, mailbox: Mailbox, party: Email) -> None:
        really, locked = os.scandir, (self.root / party).stat()

        def refuse(descriptor: int) -> object:
            if os.path.samestat(os.fstat(descriptor), locked):
                raise PermissionError(errno.EACCES, "Permission denied")
            return really(descriptor)

        self.patch.setattr(os, "scandir", refuse)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    shared = tmp_path / "shared"
    shared.mkdir(mode=0o750)
    return shared


class TestFolder(MailboxSuite):
    @pytest.fixture
    def storage(self, root: Path, monkeypatch: pytest.MonkeyPatch) -> FolderStorage:
        return FolderStorage(root, monkeypatch)


class TestFolderWithoutNamelessFiles(MailboxSuite):
    """As on a network share, or on macOS: temporary names and hard links."""

    @pytest.fixture
    def storage(self, root: Path, monkeypatch: pytest.MonkeyPatch) -> FolderStorage:
        monkeypatch.delattr(os, "O_TMPFILE", raising=False)
        return FolderStorage(root, monkeypatch)


@pytest.fixture
def owner(root: Path) -> Iterator[FolderMailbox]:
    mailbox = FolderMailbox(root, OWNER, trusted=True)
    mailbox.share(profile(OWNER))
    yield mailbox
    mailbox.close()


@pytest.fixture
def scientist(root: Path) -> FolderMailbox:
    mailbox = FolderMailbox(root, SCIENTIST, trusted=True)
    mailbox.share(PROPOSALS)
    mailbox.share(EVENTS)
    return mailbox


def test_the_layout_has_the_networks_names(root: Path, scientist: FolderMailbox) -> None:
    digest = "ab" * 32
    scientist.share(blobs(SCIENTIST))
    scientist.put(PROPOSALS, MESSAGE, b"m", private=True)
    scientist.put(blobs(SCIENTIST), digest, b"b", private=True)
    scientist.put(profile(SCIENTIST), "SYFT_version.json", b"{}", private=False, replace=True)
    mine = root / SCIENTIST
    assert (mine / f"syft_datasite#0.1.117#{OWNER}#inbox#{SCIENTIST}" / MESSAGE).read_bytes() == b"m"
    assert (mine / "syft_blobs" / "ab" / digest).read_bytes() == b"b"
    assert (mine / "SYFT_version.json").read_bytes() == b"{}"
    assert sorted(found.name for found in mine.iterdir()) == [
        "SYFT_version.json",
        "syft_blobs",
        folder_name(PROPOSALS),
        folder_name(EVENTS),
    ]


@pytest.mark.parametrize("mode", [0o700, 0o750, 0o2770, 0o777])
def test_permissions_follow_the_root(root: Path, scientist: FolderMailbox, mode: int) -> None:
    root.chmod(mode)
    shutil.rmtree(root / SCIENTIST)
    before = os.umask(0o077)
    try:
        scientist.share(PROPOSALS)
        scientist.put(PROPOSALS, MESSAGE, b"m", private=True)
    finally:
        os.umask(before)
    box = root / SCIENTIST / folder_name(PROPOSALS)
    assert stat.S_IMODE((root / SCIENTIST).stat().st_mode) == mode
    assert stat.S_IMODE(box.stat().st_mode) == mode
    assert stat.S_IMODE((box / MESSAGE).stat().st_mode) == mode & 0o666


# -- other versions ---------------------------------------------------------------------------------------------------


def test_a_box_of_another_patch_version_is_used_and_not_made_again(
    root: Path, owner: FolderMailbox, scientist: FolderMailbox
) -> None:
    (root / SCIENTIST / folder_name(PROPOSALS)).rename(
        root / SCIENTIST / f"syft_datasite#0.1.93#{OWNER}#inbox#{SCIENTIST}"
    )
    scientist.share(PROPOSALS)
    assert not (root / SCIENTIST / folder_name(PROPOSALS)).exists()
    scientist.put(PROPOSALS, MESSAGE, b"m", private=True)
    assert owner.get(refs(owner)[0]) == b"m"
    scientist.unshare(PROPOSALS)
    assert set(births(owner)) == {EVENTS}


def test_what_lies_in_two_versions_of_a_box_is_all_found(
    root: Path, owner: FolderMailbox, scientist: FolderMailbox
) -> None:
    scientist.put(PROPOSALS, "in-ours", b"1", private=True)
    other = root / SCIENTIST / f"syft_datasite#0.1.90#{OWNER}#inbox#{SCIENTIST}"
    other.mkdir()
    (other / "in-theirs").write_bytes(b"2")
    assert [owner.get(ref) for ref in refs(owner)] == [b"1", b"2"]
    for ref in refs(owner):
        owner.remove(ref)
    assert refs(owner) == []


@pytest.mark.parametrize(
    "name",
    [
        "syft_datasite#0.2.0#{owner}#inbox#{scientist}",
        "syft_datasite#1.1.117#{owner}#inbox#{scientist}",
        "syft_datasite#0.1#{owner}#inbox#{scientist}",
        "syft_datasite#0.1.117#{owner}#inbox",
        "syft_datasite#0.1.117#{owner}#inbox#{scientist}#x",
        "syft_datasite#0.1.117#{owner}#archive#{scientist}",
        "syft_datasite#0.1.117#OWNER@EXAMPLE.ORG#inbox#{scientist}",
        "syft_datasite#0.1.117#nobody#inbox#{scientist}",
        "syft_datasite#0.1.117#{owner}#inbox#{stranger}",
        "syft_datasite#0.1.117#{owner}#inbox#{owner}",
        "syft_datasite#0.1.١١#{owner}#inbox#{scientist}",
    ],
)
def test_a_folder_that_is_not_exactly_a_box_is_none(root: Path, owner: FolderMailbox, name: str) -> None:
    folder = root / SCIENTIST / name.format(owner=OWNER, scientist=SCIENTIST, stranger=STRANGER)
    folder.mkdir(parents=True)
    (folder / MESSAGE).write_bytes(b"m")
    listing = owner.list("", frozenset({SCIENTIST, STRANGER}))
    assert listing.opened == () == listing.refs


# -- hostile neighbours -----------------------------------------------------------------------------------------------


def test_a_folder_that_names_another_owner_makes_no_request_and_no_message(root: Path, owner: FolderMailbox) -> None:
    forged = root / STRANGER / folder_name(PROPOSALS)
    forged.mkdir(parents=True)
    (forged / MESSAGE).write_bytes(b"in another's name")
    listing = owner.list("", CIRCLE)
    assert listing.opened == () == listing.refs
    assert listing.complete
    with pytest.raises(Gone):
        owner.get(Ref(PROPOSALS, MESSAGE, -1, "folder"))


def test_links_are_neither_people_nor_boxes_nor_objects(
    root: Path, owner: FolderMailbox, scientist: FolderMailbox, tmp_path: Path
) -> None:
    secret = tmp_path / "secret"
    secret.write_text("mine alone")
    elsewhere = tmp_path / "elsewhere"
    (elsewhere / folder_name(inbox(OWNER, STRANGER))).mkdir(parents=True)
    (root / STRANGER).symlink_to(elsewhere)
    (root / SCIENTIST / folder_name(PROPOSALS) / MESSAGE).symlink_to(secret)
    shutil.rmtree(root / SCIENTIST / folder_name(EVENTS))
    (root / SCIENTIST / folder_name(EVENTS)).symlink_to(elsewhere)
    listing = owner.list("", frozenset({SCIENTIST, STRANGER}))
    assert listing.refs == ()
    assert [opened.box for opened in listing.opened] == [PROPOSALS]
    with pytest.raises(Permanent):
        owner.get(Ref(PROPOSALS, MESSAGE, -1, "folder"))
    with pytest.raises(Permanent):
        owner.put(PROPOSALS, MESSAGE, b"mine alone", private=True)
    with pytest.raises(Gone):
        owner.put(EVENTS, MESSAGE, b"m", private=True)
    assert secret.read_text() == "mine alone"
    assert [found.name for found in elsewhere.iterdir()] == [folder_name(inbox(OWNER, STRANGER))]


def test_a_path_through_a_linked_folder_leads_nowhere(
    root: Path, owner: FolderMailbox, scientist: FolderMailbox, tmp_path: Path
) -> None:
    digest = "ab" * 32
    elsewhere = tmp_path / "elsewhere"
    (elsewhere / folder_name(inbox(OWNER, STRANGER))).mkdir(parents=True)
    (elsewhere / folder_name(inbox(OWNER, STRANGER)) / MESSAGE).write_bytes(b"secret")
    (elsewhere / digest).write_bytes(b"secret")
    (root / STRANGER).symlink_to(elsewhere)
    scientist.share(blobs(SCIENTIST))
    (root / SCIENTIST / "syft_blobs" / "ab").symlink_to(elsewhere)
    for ref in (Ref(inbox(OWNER, STRANGER), MESSAGE, -1, "folder"), Ref(blobs(SCIENTIST), digest, -1, "folder")):
        with pytest.raises(Gone):
            owner.get(ref)
    with pytest.raises(Gone):
        owner.put(inbox(OWNER, STRANGER), "planted", b"", private=True)
    with pytest.raises(Permanent):
        scientist.put(blobs(SCIENTIST), "ab" * 31 + "cd", b"", private=True)
    assert len(list(elsewhere.rglob("*"))) == 3


def test_closing_a_box_follows_no_link(root: Path, scientist: FolderMailbox, tmp_path: Path) -> None:
    precious = tmp_path / "precious"
    precious.mkdir()
    (precious / "file").write_text("kept")
    box = root / SCIENTIST / folder_name(PROPOSALS)
    (box / "trap").symlink_to(precious)
    (box / "folder").mkdir()
    (box / "folder" / "deep").symlink_to(precious)
    scientist.unshare(PROPOSALS)
    assert not box.exists()
    assert (precious / "file").read_text() == "kept"
    assert [found.name for found in (root / SCIENTIST).iterdir()] == [folder_name(EVENTS)]


def test_pipes_and_folders_are_no_objects_and_hold_nobody_up(
    root: Path, owner: FolderMailbox, scientist: FolderMailbox
) -> None:
    box = root / SCIENTIST / folder_name(PROPOSALS)
    os.mkfifo(box / "pipe")
    (box / "folder").mkdir()
    os.mkfifo(root / SCIENTIST / folder_name(EVENTS) / ".born2")
    assert refs(owner) == []
    for name in ("pipe", "folder"):
        with pytest.raises(Permanent):
            owner.get(Ref(PROPOSALS, name, -1, "folder"))
        with pytest.raises(Permanent):
            owner.put(PROPOSALS, name, b"", private=True)


def test_a_birth_mark_of_another_kind_is_not_believed(
    root: Path, owner: FolderMailbox, scientist: FolderMailbox
) -> None:
    for nasty in (b"\x1b[2J" * 9, b"", b"f" * 4096, b"\xff\xfe"):
        mark = root / SCIENTIST / folder_name(PROPOSALS) / ".born"
        mark.unlink(missing_ok=True)
        mark.write_bytes(nasty)
        assert births(owner)[PROPOSALS].startswith("inode-")
    mark.unlink()
    os.mkfifo(mark)
    assert births(owner)[PROPOSALS].startswith("inode-")


def test_names_that_break_the_rules_are_not_listed(root: Path, owner: FolderMailbox, scientist: FolderMailbox) -> None:
    box = os.fsencode(root / SCIENTIST / folder_name(PROPOSALS))
    for name in (b".hidden", b"two words", b"new\nline", b"\xff\xfe", "é".encode(), b"-rf", b"a" * 201, b"x.tar.gz~"):
        with open(os.path.join(box, name), "wb") as planted:
            planted.write(b"m")
    for person in (b"Owner@Example.org", b"no-address", b".x@y.org", b"\xff@x.org", b"a..b@x.org"):
        os.makedirs(os.path.join(os.fsencode(root), person))
    listing = owner.list("", CIRCLE)
    assert listing.refs == ()
    assert listing.complete


def test_an_object_over_the_limit_is_listed_with_its_size_and_not_read(
    root: Path, owner: FolderMailbox, scientist: FolderMailbox
) -> None:
    huge = root / SCIENTIST / folder_name(PROPOSALS) / "huge"
    with huge.open("wb") as file:
        file.truncate(MAX_OBJECT_BYTES + 1)
    (ref,) = refs(owner)
    assert ref.size == MAX_OBJECT_BYTES + 1
    for asked in ((0, None), (0, 10)):
        with pytest.raises(Permanent):
            owner.get(ref, *asked)


def test_a_box_with_too_many_objects_gives_what_it_may_and_says_that_there_is_more(
    root: Path, owner: FolderMailbox, scientist: FolderMailbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("syftd.transport.folder_boxes.MAX_BOX_OBJECTS", 10)
    for number in range(15):
        (root / SCIENTIST / folder_name(PROPOSALS) / f"m{number}").write_bytes(b"")
    owner.put(EVENTS, "event", b"", private=True)
    listing = owner.list("", CIRCLE)
    assert len(listing.refs) == 11
    assert not listing.whole(SCIENTIST)
    assert listing.whole(STRANGER)


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_a_strangers_locked_folder_does_not_hide_the_mail_as_a_user(
    root: Path, owner: FolderMailbox, scientist: FolderMailbox
) -> None:
    (root / STRANGER).mkdir(mode=0)
    scientist.put(PROPOSALS, MESSAGE, b"m", private=True)
    assert len(owner.list("", CIRCLE).refs) == 1


def test_a_folder_that_cannot_be_read_does_not_hide_the_mail(
    root: Path, owner: FolderMailbox, scientist: FolderMailbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    (root / STRANGER).mkdir()
    scientist.put(PROPOSALS, MESSAGE, b"m", private=True)
    really = os.open

    def refuse(path: str, flags: int, mode: int = 0o777, *, dir_fd: int | None = None) -> int:
        if path == STRANGER:
            raise PermissionError(errno.EACCES, "Permission denied")
        return really(path, flags, mode, dir_fd=dir_fd)

    monkeypatch.setattr(os, "open", refuse)
    listing = owner.list("", CIRCLE)
    assert [ref.name for ref in listing.refs] == [MESSAGE]
    assert listing.complete
    assert STRANGER in owner.unreadable[0]
    assert not listing.whole(STRANGER)
    assert listing.whole(SCIENTIST)


# -- disks ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("code", "kind"),
    [
        (errno.ENOSPC, Quota),
        (errno.EDQUOT, Quota),
        (errno.EACCES, Permanent),
        (errno.EROFS, Transient),
        (errno.EIO, Transient),
        (errno.ESTALE, Transient),
    ],
)
def test_a_disks_errors_say_what_to_do(
    scientist: FolderMailbox, monkeypatch: pytest.MonkeyPatch, code: int, kind: type[Exception]
) -> None:
    def fail(*_: object) -> int:
        raise OSError(code, os.strerror(code))

    monkeypatch.setattr(os, "write", fail)
    with pytest.raises(kind) as raised:
        scientist.put(PROPOSALS, MESSAGE, b"m", private=True)
    assert type(raised.value) is kind
    assert MESSAGE in str(raised.value)
    assert raised.value.remedy  # type: ignore[attr-defined]
    monkeypatch.undo()
    assert refs(scientist) == []
    assert [found.name for found in (scientist.root / SCIENTIST / folder_name(PROPOSALS)).iterdir()] == [".born"]


def test_a_missing_root_is_transient_and_says_to_mount_it(
    root: Path, owner: FolderMailbox, scientist: FolderMailbox
) -> None:
    ref = scientist.put(PROPOSALS, MESSAGE, b"m", private=True)
    away = root.rename(root.with_name("unplugged"))
    for verb in (
        lambda: owner.list("", CIRCLE),
        lambda: owner.get(ref),
        lambda: owner.remove(ref),
        lambda: scientist.put(PROPOSALS, "other", b"", private=True),
        lambda: scientist.share(PROPOSALS),
        lambda: scientist.unshare(PROPOSALS),
    ):
        with pytest.raises(Transient) as raised:
            verb()
        assert "Mount" in raised.value.remedy
    away.rename(root)
    assert owner.get(ref) == b"m"


def test_a_bare_mount_point_is_not_taken_for_an_empty_folder(
    root: Path, owner: FolderMailbox, scientist: FolderMailbox
) -> None:
    scientist.put(PROPOSALS, MESSAGE, b"m", private=True)
    assert owner.list("", CIRCLE).complete
    away = root.rename(root.with_name("unplugged"))
    root.mkdir()
    with pytest.raises(Transient):
        owner.list("", CIRCLE)
    with pytest.raises(Transient):
        scientist.share(PROPOSALS)
    assert list(root.iterdir()) == []
    # After a restart nothing is known of the mount; then an empty place proves nothing.
    assert not FolderMailbox(root, OWNER, trusted=True).list("", CIRCLE).complete
    root.rmdir()
    away.rename(root)
    assert [ref.name for ref in refs(owner)] == [MESSAGE]


def test_without_hard_links_a_claim_keeps_the_name_for_one(
    root: Path, owner: FolderMailbox, scientist: FolderMailbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    def no_links(*_: object, **__: object) -> None:
        raise PermissionError(errno.EPERM, "Operation not permitted")

    monkeypatch.setattr(os, "link", no_links)
    scientist.put(PROPOSALS, MESSAGE, b"m", private=True)
    scientist.put(PROPOSALS, MESSAGE, b"m", private=True)
    start = threading.Barrier(6)
    won: list[int] = []

    def race(number: int) -> None:
        start.wait(timeout=30)
        try:
            scientist.put(PROPOSALS, "race", b"%d" % number * 100, private=True)
        except Exception as error:
            assert type(error).__name__ in ("Exists", "Transient")
        else:
            won.append(number)

    threads = [threading.Thread(target=race, args=(number,)) for number in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    (winner,) = won
    assert owner.get(Ref(PROPOSALS, "race", -1, "folder")) == b"%d" % winner * 100
    box = root / SCIENTIST / folder_name(PROPOSALS)
    assert sorted(found.name for found in box.iterdir()) == [".born", MESSAGE, "race"]
    # A claim whose writer died is in the way until it is old by the disk's own clock, then never again.
    claim = box / ".syftd-later.claim"
    claim.write_bytes(b"")
    with pytest.raises(Transient):
        scientist.put(PROPOSALS, "later", b"m", private=True)
    assert claim.exists()
    os.utime(claim, (0, 0))
    with pytest.raises(Transient):
        scientist.put(PROPOSALS, "later", b"m", private=True)
    scientist.put(PROPOSALS, "later", b"m", private=True)
    assert not claim.exists()


def test_a_writer_that_is_killed_leaves_nothing_to_see(
    root: Path, owner: FolderMailbox, scientist: FolderMailbox
) -> None:
    script = (
        "import os, sys, signal\n"
        "from pathlib import Path\n"
        "from syftd.names import Email\n"
        "from syftd.transport import folder_disk\n"
        "from syftd.transport.folder import FolderMailbox\n"
        "from syftd.transport.mailbox import inbox\n"
        "if sys.argv[2] == 'named': del os.O_TMPFILE\n"
        "folder_disk.os.fsync = lambda descriptor: os.kill(os.getpid(), signal.SIGKILL)\n"
        f"me, to = Email('{SCIENTIST}'), Email('{OWNER}')\n"
        "FolderMailbox(Path(sys.argv[1]), me, trusted=True).put(inbox(to, me), 'killed', b'x' * 99999, private=True)\n"
    )
    for way in ("nameless", "named"):
        done = subprocess.run([sys.executable, "-c", script, str(root), way], check=False, timeout=60)
        assert done.returncode == -9
        assert refs(owner) == []
    left = [found for found in (root / SCIENTIST / folder_name(PROPOSALS)).iterdir() if found.name != ".born"]
    assert [found.name.startswith(".syftd-") for found in left] == [True]
    os.utime(left[0], (0, 0))
    owner.list("", CIRCLE)
    assert not left[0].exists()
    scientist.put(PROPOSALS, "killed", b"x", private=True)


def test_fresh_leftovers_are_left_alone(root: Path, owner: FolderMailbox, scientist: FolderMailbox) -> None:
    fresh = root / SCIENTIST / folder_name(PROPOSALS) / ".syftd-aa.tmp"
    fresh.write_bytes(b"being written")
    foreign = root / SCIENTIST / folder_name(PROPOSALS) / ".syncthing.x.tmp"
    foreign.write_bytes(b"not ours")
    os.utime(foreign, (0, 0))
    owner.list("", CIRCLE)
    assert fresh.exists()
    assert foreign.exists()


# -- watching ---------------------------------------------------------------------------------------------------------


def test_reading_and_foreign_temporaries_wake_nobody_and_a_rename_does(
    root: Path, owner: FolderMailbox, scientist: FolderMailbox
) -> None:
    scientist.put(PROPOSALS, MESSAGE, b"m", private=True)
    wakes: list[int] = []
    watch = owner.watch(lambda: wakes.append(1))
    assert watch is not None, owner.watch_problem
    box = root / SCIENTIST / folder_name(PROPOSALS)
    wakes.clear()
    for _ in range(20):
        assert owner.get(refs(owner)[0]) == b"m"
    (box / ".syncthing.part.tmp").write_bytes(b"arriving")
    # Events come in order: when the rename has rung, everything before it was seen and rang no bell.
    (box / ".syncthing.part.tmp").rename(box / "arrived")
    assert sleep_until(lambda: bool(wakes), timeout=10)
    assert len(wakes) == 1
    watch.close()


def test_a_storm_of_puts_is_few_wakes_and_none_is_the_last_too_early(
    root: Path, owner: FolderMailbox, scientist: FolderMailbox
) -> None:
    seen: set[str] = set()
    woken = threading.Event()
    watch = owner.watch(woken.set)
    assert watch is not None, owner.watch_problem

    def send() -> None:
        for number in range(300):
            (root / SCIENTIST / folder_name(PROPOSALS) / f"m{number}").write_bytes(b"")

    sender = threading.Thread(target=send)
    sender.start()
    while len(seen) < 300:
        assert woken.wait(timeout=10), "a wake was missed"
        woken.clear()
        seen.update(ref.name for ref in refs(owner))
    sender.join()
    watch.close()


def test_a_watch_outlives_a_remount(root: Path, owner: FolderMailbox, scientist: FolderMailbox) -> None:
    woken = threading.Event()
    watch = owner.watch(woken.set)
    assert watch is not None, owner.watch_problem
    owner.list("", CIRCLE)
    # A copy in place of the folder is what a remount looks like: another inode, the same contents.
    shutil.copytree(root, root.with_name("copy"), symlinks=True)
    root.rename(root.with_name("unplugged"))
    root.with_name("copy").rename(root)
    owner.list("", CIRCLE)
    woken.clear()
    scientist.put(PROPOSALS, MESSAGE, b"m", private=True)
    assert woken.wait(timeout=10)
    watch.close()


def test_polling_only_says_why(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    polled = FolderMailbox(root, OWNER, trusted=True, poll_only=True)
    assert polled.watch(lambda: None) is None
    assert not polled.capabilities.push
    assert "polled" in polled.watch_problem

    def no_watches(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("syftd.transport.folder.FolderWatch", no_watches)
    limited = FolderMailbox(root, OWNER, trusted=True, poll_only=False)
    assert limited.watch(lambda: None) is None
    assert "max_user_watches" in limited.watch_problem


def test_stranger_requests_come_from_the_channel(root: Path, owner: FolderMailbox) -> None:
    stranger = FolderMailbox(root, STRANGER, trusted=False)
    stranger.share(outbox(OWNER, STRANGER))
    assert [opened.box.owner for opened in owner.list("", frozenset()).opened] == [STRANGER]
