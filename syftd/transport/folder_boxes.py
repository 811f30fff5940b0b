"""Finding, making and listing boxes below the root of a shared folder that others write too.

Nothing found there is believed: names are parsed strictly, links and anything but plain folders and files do not
exist, and a folder that cannot be read makes the picture partial but never empty. OSErrors come through.
"""

from __future__ import annotations

import errno
import os
import re
import shutil
import stat
from collections.abc import Iterator
from contextlib import ExitStack
from typing import Final

from syftd.names import Email
from syftd.transport import folder_disk as disk
from syftd.transport import layout
from syftd.transport.mailbox import Box, Listing, Opened, Ref

MAX_BOX_OBJECTS: Final = 100_000
"""More than this in one box is not read in one poll; the listing then says that its party's mail is not all there."""

MAX_OPENED: Final = 10_000
ABANDONED_SECONDS: Final = 24 * 3600.0

_BORN: Final = ".born"
_BORN_TOKEN = re.compile(rb"[0-9a-f]{8,64}")
_UNMARKED: Final = (errno.ENOENT, errno.EACCES, errno.EPERM, errno.ELOOP, errno.EISDIR, errno.ENXIO)


def box_folders(root: int, box: Box, stack: ExitStack) -> Iterator[int]:
    """Descriptors, kept open by `stack`, of all folders that are `box`: the preferred one first."""
    owner = stack.enter_context(disk.opened_folder(root, box.owner))
    if owner is None:
        return
    if box.kind == "profile":
        yield owner
        return
    for name in [layout.BLOBS_FOLDER] if box.kind == "blobs" else box_names(owner, box):
        folder = stack.enter_context(disk.opened_folder(owner, name))
        if folder is not None:
            yield folder


def box_names(owner_folder: int, box: Box) -> Iterator[str]:
    """The names of the folders that are this inbox or outbox: ours first, then those of other patch versions."""
    ours = layout.folder_name(box)
    if _is_folder(owner_folder, ours):
        yield ours
    others = [
        entry.name
        for entry in entries(owner_folder)
        if entry.name != ours and layout.box_of(entry.name, box.owner) == box and entry.is_dir(follow_symlinks=False)
    ]
    yield from sorted(others, key=layout.preference)


def make_box(owner_folder: int, box: Box, mode: int, token: str) -> None:
    """Makes an inbox or outbox appear in one step with its birth mark `token` in it; one that is there stays."""
    if any(True for _ in box_names(owner_folder, box)):
        return
    temp = f"{disk.TEMP_PREFIX}{token}.tmp"
    os.mkdir(temp, 0o700, dir_fd=owner_folder)
    try:
        with disk.opened_folder(owner_folder, temp) as made:
            if made is None:
                raise OSError(errno.EAGAIN, "a box vanished while it was being made")
            disk.place(made, made, _BORN, token.encode(), mode & 0o666, lambda: token)
            disk.set_mode(made, mode)
        os.rename(temp, layout.folder_name(box), src_dir_fd=owner_folder, dst_dir_fd=owner_folder)
    except OSError:
        remove_tree(owner_folder, temp)
        if not _is_folder(owner_folder, layout.folder_name(box)):
            raise
        # Another process of ours made the same box first, which is as good.
    disk.sync_folder(owner_folder)


def entries(folder: int) -> Iterator[os.DirEntry[str]]:
    """What is in a folder, in no order."""
    with os.scandir(folder) as found:
        yield from found


def remove_tree(parent: int, name: str) -> None:
    """Removes a folder and all in it without following links; one that is gone already is success."""
    try:
        shutil.rmtree(name, dir_fd=parent)
    except FileNotFoundError:
        pass  # Two of us may be clearing the same leftovers.


class Survey:
    """One look at everything between `me` and `peers` below a root; `now` is seconds since the epoch."""

    def __init__(self, me: Email, peers: frozenset[Email], transport: str, now: float) -> None:
        self._me = me
        self._peers = peers
        self._transport = transport
        self._now = now
        self._refs: list[Ref] = []
        self._opened: list[Opened] = []
        self._incomplete: set[Email] = set()
        self.found_mine = False
        """Whether our own folder is below this root."""
        self.unreadable: tuple[str, ...] = ()
        """Folders that could not be read, and why."""

    def listing(self, root: int) -> Listing:
        """Looks at every owner's folder."""
        # An empty place where we never opened anything may be a mount point without its mount: it proves nothing.
        self.found_mine = self._owner(root, self._me)
        for owner in _addresses(root):
            if owner == self._me:
                continue
            try:
                found = self._owner(root, owner)
            except OSError as error:
                # Somebody else's folder must not keep us from everybody's mail.
                self.unreadable += (f"{owner}: {error.strerror or error}",)
                found = False
            if not found:
                self._incomplete.add(owner)
        return Listing(
            tuple(self._refs), tuple(self._opened), "", self.found_mine, frozenset(self._incomplete)
        )  # fmt: skip

    def _owner(self, root: int, owner: Email) -> bool:
        with disk.opened_folder(root, owner) as folder:
            if folder is None:
                return False
            for entry in entries(folder):
                if entry.name.startswith(disk.TEMP_PREFIX):
                    self._sweep(folder, entry)
                elif entry.name.startswith(layout.BOX_PREFIX):
                    self._box(folder, entry, owner)
        return True

    def _box(self, owner_folder: int, entry: os.DirEntry[str], owner: Email) -> None:
        box = layout.box_of(entry.name, owner)
        if box is None or self._me not in (box.datasite, box.peer):
            return
        other = box.other(self._me)
        try:
            if not entry.is_dir(follow_symlinks=False):
                return
            with disk.opened_folder(owner_folder, entry.name) as folder:
                if folder is None:
                    return
                if owner != self._me and len(self._opened) >= MAX_OPENED:
                    self._incomplete.add(other)
                elif owner != self._me:
                    self._opened.append(Opened(box, _born(folder)))
                if other in self._peers:
                    self._objects(folder, box)
        except OSError as error:
            # One box that cannot be read is the trouble of its two parties.
            self._incomplete.add(other)
            self.unreadable += (f"{owner}/{entry.name}: {error.strerror or error}",)

    def _objects(self, folder: int, box: Box) -> None:
        found: list[Ref] = []
        for entry in entries(folder):
            if entry.name.startswith(disk.TEMP_PREFIX):
                self._sweep(folder, entry)
            if not layout.is_object_name(entry.name) or not entry.is_file(follow_symlinks=False):
                continue
            if len(found) >= MAX_BOX_OBJECTS:
                self._incomplete.add(box.other(self._me))
                break
            try:
                size = entry.stat(follow_symlinks=False).st_size
            except FileNotFoundError:
                continue  # Removed between being listed and being looked at.
            found.append(Ref(box, entry.name, size, self._transport))
        found.sort(key=lambda ref: ref.name)
        self._refs.extend(found)

    def _sweep(self, folder: int, entry: os.DirEntry[str]) -> None:
        """Removes an unfinished file or folder that a crash left a day ago or earlier."""
        try:
            found = entry.stat(follow_symlinks=False)
            if self._now - found.st_mtime < ABANDONED_SECONDS:
                return
            if stat.S_ISDIR(found.st_mode):
                remove_tree(folder, entry.name)
            else:
                disk.remove_file(folder, entry.name)
        except OSError as error:
            # Another user's rubbish, or a disk that cannot be written just now: it can wait, the mail cannot.
            self.unreadable += (f"{entry.name}: {error.strerror or error}",)


def _addresses(root: int) -> list[Email]:
    """The people who have a folder here, sorted; links and anything that is not exactly an address are not people."""
    found = []
    for entry in entries(root):
        owner = layout.address(entry.name) if "@" in entry.name else None
        if owner is not None and entry.is_dir(follow_symlinks=False):
            found.append(owner)
    return sorted(found)


def _is_folder(parent: int, name: str) -> bool:
    try:
        return stat.S_ISDIR(os.stat(name, dir_fd=parent, follow_symlinks=False).st_mode)
    except FileNotFoundError:
        return False


def _born(box: int) -> str:
    """The birth mark of a box; one without a mark is known by its inode."""
    try:
        with disk.opened_file(box, _BORN) as (descriptor, _):
            token = disk.read_range(descriptor, 0, 65)
    except OSError as error:
        if error.errno not in _UNMARKED:
            raise  # A disk that fails for a moment must not make the box look like another one.
        # Missing or not ours to read: whoever made the box does not mark them. The inode serves as well as it can.
        token = b""
    return token.decode() if _BORN_TOKEN.fullmatch(token) else f"inode-{os.fstat(box).st_ino}"
