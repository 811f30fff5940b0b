"""A directory that both parties can reach as a transport: a mount, a synced folder, a memory stick.

Layout, one folder per person below the root, with the network's own names inside::

    <root>/<owner>/syft_datasite#<version>#<datasite>#inbox#<owner>/<object>
    <root>/<owner>/syft_datasite#<version>#<datasite>#outbox#<owner>/<object>
    <root>/<owner>/syft_blobs/<first two hex digits>/<digest>
    <root>/<owner>/SYFT_version.json

New folders and files take the root's permission bits, so a folder shared with a group works and a private one stays
private. Nobody vouches for who wrote a file here: this transport never authenticates the sender, and it carries
private content only when its owner has said that the folder is trusted.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from threading import Lock
from typing import Final

from syftd.errors import Exists, Gone, Permanent, Refused, Transient
from syftd.names import Email
from syftd.seams import Clock, Random, SystemClock, SystemRandom
from syftd.transport import folder_disk as disk
from syftd.transport import layout
from syftd.transport.folder_boxes import Survey, box_folders, box_names, entries, make_box, remove_tree
from syftd.transport.folder_watch import FolderWatch, filesystem_type, tells_changes, why_not_watched
from syftd.transport.mailbox import Box, Capabilities, Listing, Ref

MAX_OBJECT_BYTES: Final = 64 * 1024 * 1024


class FolderMailbox:
    """The mailbox of `me` in the directory `root`.

    `trusted`: everybody who can read the directory may read what is private. `poll_only`: True never watches, False
    watches whatever the file system, None lets the file system's type decide. After `watch`, `watch_problem` says why
    there is none ('' when there is); after `list`, `unreadable` names the folders that could not be read, and why.
    """

    def __init__(
        self,
        root: Path,
        me: Email,
        *,
        trusted: bool,
        name: str = "folder",
        poll_only: bool | None = None,
        clock: Clock | None = None,
        random: Random | None = None,
    ) -> None:
        self.root = root
        self.me = me
        self.name = name
        self.watch_problem = ""
        self.unreadable: tuple[str, ...] = ()
        self._clock = clock or SystemClock()
        self._random = random or SystemRandom()
        self._filesystem = filesystem_type(root)
        self._watchable = tells_changes(self._filesystem) if poll_only is None else not poll_only
        self._capabilities = Capabilities(
            conditional_put=True,
            cursor=False,
            push=self._watchable,
            max_object=MAX_OBJECT_BYTES,
            authenticates_sender=False,
            carries_private=trusted,
            creator_owns=False,
            min_poll=0.5 if self._watchable else 2.0,
        )
        self._lock = Lock()
        self._watch: FolderWatch | None = None
        self._known: tuple[int, int] | None = None
        """Device and inode of the root when our own folder was last seen in it."""

    @property
    def capabilities(self) -> Capabilities:
        """What this folder can do; `carries_private` is the owner's word."""
        return self._capabilities

    @property
    def notes(self) -> tuple[str, ...]:
        """Folders that could not be read, and why."""
        return self.unreadable

    def put(self, box: Box, name: str, content: bytes | memoryview, *, private: bool, replace: bool = False) -> Ref:
        """Stores an object whole or not at all, durably. See `Mailbox.put`."""
        layout.require_writer(box, self.me)
        layout.require_object_name(box, name)
        if private and not self._capabilities.carries_private:
            raise Refused(
                f"the folder {self.root} is not trusted with private content",
                f"If everybody who can read {self.root} may read private content, set `trusted = true` for the "
                f"transport “{self.name}” in syftd.toml; otherwise use another transport.",
            )
        if len(content) > MAX_OBJECT_BYTES:
            raise Permanent(f"{name} has {len(content)} bytes; a shared folder takes {MAX_OBJECT_BYTES} at most")
        if replace and box.kind != "profile":
            raise Permanent(f"{name} cannot be replaced: only the profile is ever overwritten")
        with self._opened_root() as root, disk.errors_for(self._path(box, name)), ExitStack() as stack:
            folder = self._first_folder(root, box, stack)
            mode = stat.S_IMODE(os.fstat(root).st_mode)
            if replace:
                disk.replace(folder, name, content, mode & 0o666, self._token)
                return Ref(box, name, len(content), self.name)
            if box.kind == "blobs":
                shard = stack.enter_context(self._shard(folder, name, mode))
                self._place(shard, folder, box, name, content, mode & 0o666)
            else:
                self._place(folder, folder, box, name, content, mode & 0o666)
        return Ref(box, name, len(content), self.name)

    def list(self, cursor: str, peers: frozenset[Email]) -> Listing:
        """Everything that is there now: a folder keeps no history, so each listing is a whole one (cursor '')."""
        with self._opened_root() as root, disk.errors_for(str(self.root)):
            self._follow_root(root)
            survey = Survey(self.me, peers, self.name, self._clock.now())
            listing = survey.listing(root)
            if survey.found_mine:
                self._remember(root)
        self.unreadable = survey.unreadable
        return listing

    def get(self, ref: Ref, offset: int = 0, length: int | None = None) -> bytes:
        """The object's bytes or a range. In a synced folder they may still be arriving: the codec notices."""
        layout.require_reader(ref.box, self.me)
        layout.require_object_name(ref.box, ref.name)
        if offset < 0 or (length is not None and length < 0):
            raise Permanent(f"no range begins at {offset} with {length} bytes")
        with self._opened_root() as root, disk.errors_for(self._path(ref.box, ref.name)), ExitStack() as stack:
            for folder in box_folders(root, ref.box, stack):
                try:
                    with self._opened_object(folder, ref) as (descriptor, size):
                        if size > MAX_OBJECT_BYTES:
                            raise Permanent(f"{ref.name} has {size} bytes; {MAX_OBJECT_BYTES} is the most we read")
                        rest = max(0, size - offset)
                        return disk.read_range(descriptor, offset, rest if length is None else min(length, rest))
                except FileNotFoundError:
                    continue
        raise Gone(f"{ref.name} is not in {self.name} ({self._path(ref.box, ref.name)})")

    def remove(self, ref: Ref) -> None:
        """Removes an object; one that is gone already is success."""
        layout.require_writer(ref.box, self.me)
        layout.require_object_name(ref.box, ref.name)
        with self._opened_root() as root, disk.errors_for(self._path(ref.box, ref.name)), ExitStack() as stack:
            for folder in box_folders(root, ref.box, stack):
                if ref.box.kind != "blobs":
                    disk.remove_file(folder, ref.name)
                    continue
                with disk.opened_folder(folder, ref.name[:2]) as shard:
                    if shard is not None:
                        disk.remove_file(shard, ref.name)

    def admit(self, box: Box, names: Sequence[str], reader: Email) -> None:
        """Nothing to do: whoever reaches the folder reads all chunks in it."""
        layout.require_owner(box, self.me)

    def dismiss(self, box: Box, names: Sequence[str], reader: Email) -> None:
        """Nothing to do, as above."""
        layout.require_owner(box, self.me)

    def share(self, box: Box) -> None:
        """Creates a box of mine; again is success. Who can reach it is what the directory's permissions say."""
        layout.require_owner(box, self.me)
        with self._opened_root() as root, disk.errors_for(self._path(box)), ExitStack() as stack:
            # Setgid travels down so that the group stays; sticky does not, since the other party removes what it took.
            mode = stat.S_IMODE(os.fstat(root).st_mode) & 0o2777
            disk.make_folder(root, self.me, mode)
            self._remember(root)
            own = stack.enter_context(disk.opened_folder(root, self.me))
            if own is None:
                raise Permanent(f"{self.root / self.me} is not a folder", "Move away what lies there.")
            if box.kind == "blobs":
                disk.make_folder(own, layout.BLOBS_FOLDER, mode)
            elif box.kind != "profile":
                make_box(own, box, mode, self._token())

    def unshare(self, box: Box) -> None:
        """Closes a box of mine with everything in it: it vanishes at once, then its contents are removed."""
        layout.require_owner(box, self.me)
        with self._opened_root() as root, disk.errors_for(self._path(box)), ExitStack() as stack:
            own = stack.enter_context(disk.opened_folder(root, self.me))
            if own is None:
                return
            if box.kind == "profile":
                for entry in entries(own):
                    if entry.is_file(follow_symlinks=False) and layout.is_object_name(entry.name):
                        disk.remove_file(own, entry.name)
                return
            names = [layout.BLOBS_FOLDER] if box.kind == "blobs" else list(box_names(own, box))
            for name in names:
                grave = f"{disk.TEMP_PREFIX}{self._token()}.tmp"
                try:
                    os.rename(name, grave, src_dir_fd=own, dst_dir_fd=own)
                except FileNotFoundError:
                    continue
                disk.sync_folder(own)
                remove_tree(own, grave)

    def watch(self, wake: Callable[[], None]) -> FolderWatch | None:
        """Wakes when something changes; None, with the reason in `watch_problem`, where only polling works."""
        if not self._watchable:
            kind = f"a {self._filesystem} file system" if self._filesystem else "this file system"
            self.watch_problem = f"{self.root} is polled, not watched: {kind} does not tell what other machines change"
            return None
        try:
            watch = FolderWatch(self.root, self.me, wake)
        except OSError as error:
            self.watch_problem = why_not_watched(error, self.root)
            return None
        self.watch_problem = ""
        with self._lock:
            self._watch, before = watch, self._watch
        if before is not None:
            before.close()
        return watch

    def close(self) -> None:
        """Ends the watch, if there is one."""
        with self._lock:
            watch, self._watch = self._watch, None
        if watch is not None:
            watch.close()

    # -- the root ---------------------------------------------------------------------------------------------------

    @contextmanager
    def _opened_root(self) -> Iterator[int]:
        remedy = f"Mount or connect it, or correct the path of the transport “{self.name}” in syftd.toml."
        try:
            root = os.open(self.root, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        except (FileNotFoundError, NotADirectoryError):
            raise Transient(f"the shared folder {self.root} is not there", remedy) from None
        except OSError as error:
            raise disk.transport_error(error, str(self.root)) from error
        try:
            found = os.fstat(root)
            if self._known is not None and self._known != (found.st_dev, found.st_ino):
                # Another directory stands here than before. With our folder in it, it is the same storage mounted
                # anew; without, it is most likely the bare mount point, and writing there would be writing nowhere.
                if not disk.exists(root, self.me):
                    raise Transient(f"the shared folder {self.root} is not mounted", remedy)
                self._remember(root)
            yield root
        finally:
            os.close(root)

    def _remember(self, root: int) -> None:
        found = os.fstat(root)
        self._known = (found.st_dev, found.st_ino)

    def _follow_root(self, root: int) -> None:
        with self._lock:
            watch = self._watch
        if watch is None:
            return
        found = os.fstat(root)
        try:
            watch.follow((found.st_dev, found.st_ino))
        except OSError as error:
            self.watch_problem = why_not_watched(error, self.root)

    # -- boxes ------------------------------------------------------------------------------------------------------

    def _first_folder(self, root: int, box: Box, stack: ExitStack) -> int:
        for folder in box_folders(root, box, stack):
            return folder
        raise Gone(f"{box.owner} has not opened the {box.kind} box with {box.other(self.me)} in {self.root}")

    @contextmanager
    def _shard(self, blobs: int, digest: str, mode: int) -> Iterator[int]:
        disk.make_folder(blobs, digest[:2], mode & 0o2777)
        with disk.opened_folder(blobs, digest[:2]) as shard:
            if shard is None:
                raise Permanent(f"{self.root / self.me / layout.BLOBS_FOLDER / digest[:2]} is not a folder")
            yield shard

    @contextmanager
    def _opened_object(self, folder: int, ref: Ref) -> Iterator[tuple[int, int]]:
        if ref.box.kind != "blobs":
            with disk.opened_file(folder, ref.name) as found:
                yield found
            return
        with disk.opened_folder(folder, ref.name[:2]) as shard:
            if shard is None:
                raise FileNotFoundError
            with disk.opened_file(shard, ref.name) as found:
                yield found

    def _place(self, folder: int, staging: int, box: Box, name: str, content: bytes | memoryview, mode: int) -> None:
        try:
            # A repeated put is the common case of a taken name; looking first spares writing the bytes again.
            if not disk.exists(folder, name):
                disk.place(folder, staging, name, content, mode, self._token)
                return
        except FileExistsError:
            pass  # Somebody was faster; what counts is whether the bytes are the same.
        try:
            same = disk.holds(folder, name, content)
        except FileNotFoundError:
            raise Transient(f"{name} was removed while it was being stored", "syftd tries again.") from None
        if not same:
            raise Exists(f"{self._path(box, name)} holds other bytes already")

    # -- words ------------------------------------------------------------------------------------------------------

    def _token(self) -> str:
        return self._random.token(16)

    def _path(self, box: Box, name: str = "") -> str:
        """Where to send a person who must look: near enough, since a box may carry another patch version."""
        if box.kind == "profile":
            return str(self.root / box.owner / name)
        if box.kind == "blobs":
            return str(self.root / box.owner / layout.BLOBS_FOLDER / name[:2] / name)
        return str(self.root / box.owner / layout.folder_name(box) / name)
