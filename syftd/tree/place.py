"""Putting content into place and taking files away: the base is checked last, the loser is never gone."""

from __future__ import annotations

import errno
import os
import stat as modes
import unicodedata
from dataclasses import dataclass
from typing import Final

from syftd.errors import Malformed, NameClash, Stale
from syftd.names import Digest, Email
from syftd.seams import Random
from syftd.tree import kernel
from syftd.tree import stat as facts
from syftd.tree.beneath import Beneath, parts_of
from syftd.tree.durability import Unsynced
from syftd.tree.stage import Stage, Staged, digest_of, write_all
from syftd.tree.stat import Stat
from syftd.tree.trash import Slot, Trash, copy

_NO_LINKS: Final = frozenset({errno.EPERM, errno.EOPNOTSUPP, errno.ENOSYS, errno.EMLINK, errno.EINVAL, errno.EXDEV})


@dataclass(slots=True)
class _Scratch:
    """New content under a name of its own, on the file system of its target. `fd` is open on it."""

    directory: int
    name: str
    fd: int


class Place:
    """Changes to files in datasites. One thread at a time. Methods raise OSError for the disk to explain."""

    def __init__(
        self, sites: Beneath, stage: Stage, trash: Trash, unsynced: Unsynced, random: Random, folds_case: bool
    ) -> None:
        self._sites = sites
        self._stage = stage
        self._trash = trash
        self._unsynced = unsynced
        self._random = random
        self._folds_case = folds_case
        self._device = os.fstat(stage.folder).st_dev
        # The umask can only be read by setting it: once, at the start, before there are other threads.
        mask = os.umask(0o077)
        os.umask(mask)
        self._modes = {False: 0o644 & ~mask, True: 0o755 & ~mask}

    def replace(
        self,
        site: Email,
        path: str,
        content: bytes | Staged,
        executable: bool,
        expected: Digest | None,
        known: Stat | None,
    ) -> tuple[Stat, str | None]:
        """See `Disk.replace`."""
        above, name = _split(site, path)
        parent = self.directory(above, 0o755, 1)
        try:
            self._refuse_other_spelling(parent, name)
            checked = _check(parent, name, f"{site}/{path}", expected, known)
            scratch = self._prepare(parent, content)
            lost = None
            try:
                os.fchmod(scratch.fd, self._modes[executable])
                if checked is None:
                    self._put_new(parent, name, scratch)
                else:
                    lost = self._put_over(parent, name, scratch, checked)
                made = facts.of(os.fstat(scratch.fd))
            except BaseException as error:
                self._withdraw(scratch, content)
                if isinstance(error, FileExistsError):
                    raise _stale(f"{site}/{path}") from None
                raise
            if isinstance(content, Staged) and scratch.directory == parent:
                self._stage.discard(content)  # It was copied, since the datasite lies on another file system.
            self._unsynced.wrote(scratch.fd)
            self._unsynced.changed(parent)
            return made, lost
        finally:
            os.close(parent)

    def remove(self, site: Email, path: str, expected: Digest | None, known: Stat | None) -> str | None:
        """See `Disk.remove`."""
        above, name = _split(site, path)
        try:
            parent = self._sites.directory(above)
        except OSError as error:
            if error.errno in (errno.ENOENT, errno.ENOTDIR) and facts.look(self._sites.root, site) is not None:
                return None
            raise
        try:
            if facts.look(parent, name) is None:
                return None
            self._refuse_other_spelling(parent, name)
            checked = _check(parent, name, f"{site}/{path}", expected, known)
            if checked is None:
                return None
            id = self._take_away(parent, name, f"{site}/{path}", checked)
            self._unsynced.changed(parent)
        finally:
            os.close(parent)
        self._prune(above)
        return id

    def directory(self, path: str, mode: int, keep: int) -> int:
        """Opens a directory below the datasites; what is missing after the first `keep` parts is made with `mode`."""
        if self._folds_case:
            # On such a disk opening says nothing about the spelling, so every part is compared with the listing.
            parts = path.split("/")
            for count in range(keep, len(parts)):
                try:
                    here = self._sites.directory("/".join(parts[:count]))
                except FileNotFoundError:
                    break
                try:
                    self._refuse_other_spelling(here, parts[count])
                finally:
                    os.close(here)
        try:
            return self._sites.directory(path)
        except FileNotFoundError:
            return self._sites.make(path, mode, keep, self._before_making)

    def _before_making(self, here: int, part: str) -> None:
        self._refuse_other_spelling(here, part)
        self._unsynced.changed(here)

    def _refuse_other_spelling(self, here: int, name: str) -> None:
        """Raises NameClash when the directory holds the name in another case or Unicode form."""
        other = None
        if self._folds_case:
            names = os.listdir(here)
            if name not in names:
                key = unicodedata.normalize("NFC", name).casefold()
                other = next((each for each in names if unicodedata.normalize("NFC", each).casefold() == key), None)
        elif not name.isascii():
            forms = {unicodedata.normalize(form, name) for form in ("NFC", "NFD")} - {name}
            other = next((form for form in forms if facts.look(here, form) is not None), None)
        if other is not None:
            raise NameClash(
                f"“{name}” differs from “{other}”, which is there, only by upper and lower case or its Unicode form",
                "Rename one of the two.",
            )

    # Scratch content.

    def _prepare(self, parent: int, content: bytes | Staged) -> _Scratch:
        if os.fstat(parent).st_dev == self._device:
            if isinstance(content, Staged):
                return _Scratch(self._stage.folder, content.name, self._stage.open(content))
            name, fd = self._stage.write(content)
            return _Scratch(self._stage.folder, name, fd)
        # The datasite is a mount of its own; only here does a temporary name appear inside the tree.
        name = f".syftd-{self._random.token(8)}.tmp"
        if isinstance(content, Staged):
            os.close(self._stage.open(content))
            copy(self._stage.folder, content.name, parent, name)
            return _Scratch(parent, name, os.open(name, os.O_RDWR | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=parent))
        fd = os.open(name, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600, dir_fd=parent)
        try:
            write_all(fd, content)
        except BaseException:
            os.close(fd)
            os.unlink(name, dir_fd=parent)
            raise
        return _Scratch(parent, name, fd)

    def _withdraw(self, scratch: _Scratch, content: bytes | Staged) -> None:
        """After a failure: staged content stays on the stage for another attempt, all else of ours goes."""
        mine = os.fstat(scratch.fd)
        os.close(scratch.fd)
        if isinstance(content, Staged) and scratch.directory == self._stage.folder:
            return
        found = facts.look(scratch.directory, scratch.name)
        if found is not None and os.path.samestat(found, mine):
            os.unlink(scratch.name, dir_fd=scratch.directory)

    # Into place.

    def _put_new(self, parent: int, name: str, scratch: _Scratch) -> None:
        """Gives the content a name that nobody has. Raises FileExistsError."""
        if kernel.rename(scratch.directory, scratch.name, parent, name, kernel.NO_REPLACE):
            return
        try:
            os.link(scratch.name, name, src_dir_fd=scratch.directory, dst_dir_fd=parent, follow_symlinks=False)
        except OSError as error:
            if error.errno not in _NO_LINKS:
                raise
            # A disk with neither: look, then rename; the gap between the two cannot be closed there.
            if facts.look(parent, name) is not None:
                raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), name) from None
            os.rename(scratch.name, name, src_dir_fd=scratch.directory, dst_dir_fd=parent)
            return
        os.unlink(scratch.name, dir_fd=scratch.directory)

    def _put_over(self, parent: int, name: str, scratch: _Scratch, checked: Stat) -> str:
        """Replaces the file that was `checked`; returns the loser's trash id. FileExistsError: it is another now."""
        slot = self._trash.slot()
        try:
            if not self._exchange(parent, name, scratch, checked, slot):
                self._second_name(parent, name, slot)
                if not _same(facts.look(parent, name), checked):
                    os.unlink(name, dir_fd=slot.directory)
                    raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), name)
                os.rename(scratch.name, name, src_dir_fd=scratch.directory, dst_dir_fd=parent)
            self._unsynced.changed(slot.directory)
            self._unsynced.changed(self._trash.today)
        except BaseException:
            self._trash.give_back(slot)
            raise
        os.close(slot.directory)
        return slot.id

    def _exchange(self, parent: int, name: str, scratch: _Scratch, checked: Stat, slot: Slot) -> bool:
        """Exchanges the two contents in one step and checks the loser; False when this disk cannot."""
        near = scratch.directory != parent
        if near:
            # The loser must land in the trash itself: a crash after the exchange may not leave it on the stage.
            directory, spare = slot.directory, name
            os.rename(scratch.name, spare, src_dir_fd=scratch.directory, dst_dir_fd=directory)
        else:
            directory, spare = parent, scratch.name
        try:
            if not kernel.rename(directory, spare, parent, name, kernel.EXCHANGE):
                if near:
                    os.rename(spare, scratch.name, src_dir_fd=directory, dst_dir_fd=scratch.directory)
                return False
            if not _same(facts.look(directory, spare), checked):
                # Somebody saved in the last gap: theirs goes back.
                kernel.rename(directory, spare, parent, name, kernel.EXCHANGE)
                raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), name)
        except BaseException:
            found = facts.look(directory, spare)
            if near and found is not None and os.path.samestat(found, os.fstat(scratch.fd)):
                os.rename(spare, scratch.name, src_dir_fd=directory, dst_dir_fd=scratch.directory)
            raise
        if not near:
            copy(parent, spare, slot.directory, name)
            os.unlink(spare, dir_fd=parent)
        return True

    @staticmethod
    def _second_name(parent: int, name: str, slot: Slot) -> None:
        """Puts the file into the slot without taking it from its place."""
        try:
            os.link(name, name, src_dir_fd=parent, dst_dir_fd=slot.directory, follow_symlinks=False)
        except OSError as error:
            if error.errno not in _NO_LINKS:
                raise
            copy(parent, name, slot.directory, name)

    # Away.

    def _take_away(self, parent: int, name: str, where: str, checked: Stat) -> str:
        slot = self._trash.slot()
        try:
            try:
                os.rename(name, name, src_dir_fd=parent, dst_dir_fd=slot.directory)
            except OSError as error:
                if error.errno != errno.EXDEV:
                    raise
                copy(parent, name, slot.directory, name)
                if not _same(facts.look(parent, name), checked):
                    os.unlink(name, dir_fd=slot.directory)
                    raise _stale(where) from None
                os.unlink(name, dir_fd=parent)
            else:
                # If somebody saved in the last gap, theirs goes back, unless they have saved once more since.
                if not _same(facts.look(slot.directory, name), checked) and kernel.rename(
                    slot.directory, name, parent, name, kernel.NO_REPLACE
                ):
                    raise _stale(where)
            self._unsynced.changed(slot.directory)
            self._unsynced.changed(self._trash.today)
        except BaseException:
            self._trash.give_back(slot)
            raise
        os.close(slot.directory)
        return slot.id

    def _prune(self, path: str) -> None:
        """Removes the directory `path` and those above while they are empty; the datasite's own folder stays."""
        while "/" in path:
            path, _, name = path.rpartition("/")
            try:
                above = self._sites.directory(path)
            except OSError:
                return  # Somebody else moved it: then it is theirs.
            try:
                os.rmdir(name, dir_fd=above)
                self._unsynced.changed(above)
            except OSError:
                return  # Not empty, or not ours to remove; an empty directory is no state.
            finally:
                os.close(above)


def _split(site: Email, path: str) -> tuple[str, str]:
    """The directory below the datasites and the name in it. Raises Malformed when the path could lead elsewhere."""
    if not parts_of(path):
        raise Malformed(f"the datasite {site} itself is not a file")
    above, _, name = f"{site}/{path}".rpartition("/")
    return above, name


def _check(parent: int, name: str, where: str, expected: Digest | None, known: Stat | None) -> Stat | None:
    """The observation of the target if it is what the change was made from. Raises Stale, NameClash."""
    found = facts.look(parent, name)
    if found is None:
        if expected is None:
            return None
        raise _stale(where)
    if not facts.is_file(found):
        what = "a folder" if modes.S_ISDIR(found.st_mode) else "something that is not an ordinary file"
        raise NameClash(f"{what} stands where {where} should be written", "Rename or remove it.")
    if expected is None:
        raise _stale(where)
    now = facts.of(found)
    if known is not None and known == now:
        return now
    fd = os.open(name, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC, dir_fd=parent)
    try:
        if digest_of(fd) != expected or facts.of(os.fstat(fd)) != now:
            raise _stale(where)
    finally:
        os.close(fd)
    return now


def _same(found: os.stat_result | None, checked: Stat) -> bool:
    """Whether it is the file that was checked, unwritten since. A rename moves ctime, so ctime says nothing here."""
    if found is None:
        return False
    return (found.st_ino, found.st_size, found.st_mtime_ns) == (checked.inode, checked.size, checked.mtime_ns)


def _stale(where: str) -> Stale:
    return Stale(f"{where} is no longer what this change was made from", "Look at the newer version, then change that.")
