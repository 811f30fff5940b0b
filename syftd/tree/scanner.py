"""What is on the disk, compared with what was accepted last: stat first, hash when in doubt.

Three things are never mistaken for a deletion: a place that could not be read (*unknown*), two spellings of one name
(*clash*), and a path that is ignored. Their index rows are simply carried forward.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from typing import Final, NamedTuple, Protocol

from syftd.errors import ContentMissing, InMotion, ItemError, Malformed, TooLarge
from syftd.names import Digest, Email, RelPath
from syftd.seams import Clock
from syftd.tree.contract import Disk, Listing
from syftd.tree.ignore import IGNORE_FILE, Ignore
from syftd.tree.stat import Stat

SMALL_BYTES: Final = 64 * 1024
BATCH_SEEN: Final = 512
BATCH_BYTES: Final = 8 * 1024 * 1024


class Known(NamedTuple):
    """What the index has of a path. `settled`: an equal observation proves equal content."""

    stat: Stat
    digest: Digest
    settled: bool


class Index(Protocol):
    """The last accepted observations of one datasite."""

    def get(self, path: RelPath) -> Known | None: ...

    def below(self, prefix: str) -> Iterable[tuple[RelPath, Known]]:
        """All rows below the directory `prefix` ('' for all), in any order; its own row may be among them."""


class Seen(NamedTuple):
    """A path that differs from the index. `stat` and `digest` are None when there is no file.

    `content` is handed on when the file is small, was read, and is new; so nobody reads it twice. `settled` False:
    the file was written so recently that it must be hashed again at the next visit even if its observation is equal.
    """

    path: RelPath
    spelling: str
    stat: Stat | None
    digest: Digest | None
    content: bytes | None
    settled: bool


@dataclass(slots=True)
class Findings:
    """What a look at the disk found. `in_motion` should be looked at again after a quiet time."""

    seen: list[Seen] = field(default_factory=list)
    in_motion: list[RelPath] = field(default_factory=list)
    unknown: list[tuple[str, str]] = field(default_factory=list)
    """(path of a file or directory, why it could not be read)"""
    clashes: list[tuple[RelPath, list[str]]] = field(default_factory=list)
    """(key, the spellings on the disk that share it)"""
    invalid: list[tuple[str, str]] = field(default_factory=list)
    """(printable path, why it cannot be a key)"""
    symlinks: list[str] = field(default_factory=list)
    special: list[str] = field(default_factory=list)
    checked: int = 0
    """Files whose observation was compared."""


class Scanner:
    """Looks at datasites. One pass at a time in one thread; hashing is done in the calling thread."""

    def __init__(
        self,
        disk: Disk,
        ignore: Ignore | Callable[[Email], Ignore],
        clock: Clock,
        granularity_ns: int,
        *,
        quiet: float = 0.5,
    ) -> None:
        """`quiet`: a full walk leaves a changed file alone that was written less than so many seconds ago, since a
        walk, unlike a hint, cannot know that the writer is done."""
        self._disk = disk
        self._ignore = (lambda site: ignore) if isinstance(ignore, Ignore) else ignore
        self._clock = clock
        self._granularity_ns = granularity_ns
        self._quiet_ns = int(quiet * 1e9)

    def look(self, site: Email, paths: Iterable[str], index: Index) -> Findings:
        """Looks at some paths (keys or spellings; a directory stands for all below it). Raises RootMissing."""
        found = _Pass(self._disk, self._ignore(site), self._clock, site, self._granularity_ns, 0)
        for path in dict.fromkeys(paths):
            found.path(path, index)
        return found.findings

    def walk(self, site: Email, index: Index) -> Iterator[Findings]:
        """Looks at everything, in batches; deletions come last. The index is read once, first. Raises RootMissing."""
        found = _Pass(self._disk, self._ignore(site), self._clock, site, self._granularity_ns, self._quiet_ns)
        rows = {str(path): known for path, known in index.below("")}
        for _ in found.tree("", "", rows):
            if found.full:
                yield found.hand_over()
        found.absent(rows)
        yield found.hand_over()


class _Pass:
    """One look at one datasite, and what it has found so far."""

    def __init__(
        self, disk: Disk, ignore: Ignore, clock: Clock, site: Email, granularity_ns: int, quiet_ns: int
    ) -> None:
        self._disk = disk
        self._ignore = ignore
        self._clock = clock
        self._site = site
        self._granularity_ns = granularity_ns
        self._quiet_ns = quiet_ns
        self._carried: set[str] = set()
        self._content_bytes = 0
        self.findings = Findings()

    @property
    def full(self) -> bool:
        return len(self.findings.seen) >= BATCH_SEEN or self._content_bytes >= BATCH_BYTES

    def hand_over(self) -> Findings:
        """The findings so far; begins anew."""
        done, self.findings = self.findings, Findings()
        self._content_bytes = 0
        return done

    def path(self, path: str, index: Index) -> None:
        """Looks at one path and whatever the index has at and below it."""
        try:
            key = RelPath.from_disk(path) if path else RelPath("")
            level, spellings = self._spellings(key)
            spelling = spellings[0] if spellings else path
            kind = self._disk.kind(self._site, spelling)
            if key and self._ignore.reason(key, directory=kind == "directory") is not None:
                return
        except Malformed as error:
            if self._is_there(path):
                self.findings.invalid.append((_printable(path), str(error)))
            return
        except ItemError as error:
            self.findings.unknown.append((_printable(path), str(error)))
            return
        if len(spellings) > 1:
            self.findings.clashes.append((RelPath(level), spellings))
            return
        rows = {str(each): known for each, known in index.below(key)}
        if key and key not in rows and (own := index.get(key)) is not None:
            rows[str(key)] = own
        if kind == "directory":
            for _ in self.tree(key, spelling, rows):
                pass
        elif kind == "file":
            self._one_file(key, spelling, rows)
        elif kind == "symlink":
            self.findings.symlinks.append(spelling)
        elif kind == "special":
            self.findings.special.append(spelling)
        self.absent(rows)

    def _is_there(self, path: str) -> bool:
        """Whether something has this name, which need not be one that we could share."""
        try:
            return self._disk.kind(self._site, path) is not None
        except ItemError:
            return True

    def tree(self, key: str, spelling: str, rows: dict[str, Known]) -> Iterator[None]:
        """Compares everything below a directory and takes out of `rows` what it has dealt with; yields now and then."""
        waiting = [(key, spelling)]
        while waiting:
            key, spelling = waiting.pop()
            try:
                if key:
                    RelPath.parse(key)
                listing = self._disk.entries(self._site, spelling)
                if listing is None:
                    continue
                self._ignore.opened(key, any(name == IGNORE_FILE for name, _ in listing.files))
            except Malformed as error:
                self.findings.invalid.append((_printable(spelling), str(error)))
                continue
            except ItemError as error:
                self._carried.add(key)
                self.findings.unknown.append((key, str(error)))
                continue
            apart = self._keys(key, listing)
            inside, at = (key + "/" if key else ""), (spelling + "/" if spelling else "")
            entry = self._ignore.entry
            self.findings.checked += len(listing.files)
            for name, stat in listing.files:
                part = name if apart is None else apart.get(name)
                if part is None or entry(key, part, directory=False) is not None:
                    continue
                known = rows.pop(inside + part, None)
                if known is not None and known.settled and known.stat == stat:
                    continue
                self._compare(inside + part, at + name, stat, known)
                if self.full:
                    yield
            for name in sorted(listing.directories, reverse=True):
                part = name if apart is None else apart.get(name)
                if part is not None and entry(key, part, directory=True) is None:
                    waiting.append((inside + part, at + name))
            self.findings.symlinks += [at + name for name in listing.symlinks]
            self.findings.special += [at + name for name in listing.special]
            yield

    def absent(self, rows: dict[str, Known]) -> None:
        """Reports those of the remaining rows that are gone, after a second look at each."""
        for path in rows:
            if self._is_carried(path):
                continue
            key = RelPath(path)
            try:
                if self._ignore.reason(path) is not None:
                    continue
                level, spellings = self._spellings(key)
                if len(spellings) > 1:
                    self.findings.clashes.append((RelPath(level), spellings))
                    self._carried.add(level)
                elif spellings and self._disk.stat(self._site, spellings[0]) is not None:
                    self.findings.in_motion.append(key)  # It was away for a moment only, as when it is saved by rename.
                else:
                    self.findings.seen.append(Seen(key, path, None, None, None, True))
            except ItemError as error:
                self.findings.unknown.append((path, str(error)))

    def _one_file(self, key: RelPath, spelling: str, rows: dict[str, Known]) -> None:
        stat = self._disk.stat(self._site, spelling)
        if stat is None:
            return  # Gone this instant: it is reported as absent.
        self.findings.checked += 1
        known = rows.pop(str(key), None)
        if known is None or not known.settled or known.stat != stat:
            self._compare(key, spelling, stat, known)

    def _compare(self, path: str, spelling: str, stat: Stat, known: Known | None) -> None:
        findings = self.findings
        try:
            key = RelPath(path) if known is not None else RelPath.parse(path)
        except Malformed as error:
            findings.invalid.append((_printable(spelling), str(error)))
            return
        started = int(self._clock.now() * 1e9)
        if 0 <= started - stat.mtime_ns < self._quiet_ns and (known is None or known.stat != stat):
            findings.in_motion.append(key)
            return
        content: bytes | None = None
        try:
            if stat.size <= SMALL_BYTES:
                content, now = self._disk.read(self._site, spelling, SMALL_BYTES)
                digest = Digest.of(content)
            else:
                digest, now = self._disk.digest(self._site, spelling)
        except (InMotion, TooLarge):
            findings.in_motion.append(key)
            return
        except ContentMissing:
            # Gone, or saved anew by rename, since it was listed; the next look tells which.
            findings.in_motion.append(key)
            return
        except ItemError as error:
            findings.unknown.append((key, str(error)))
            return
        settled = now.settled(started, self._granularity_ns)
        if known is not None and known.digest == digest:
            if known.stat == now and known.settled == settled:
                return
            content = None
        if content is not None:
            if self._content_bytes >= BATCH_BYTES:
                content = None  # A look is one batch however much it finds; its memory has a limit all the same.
            else:
                self._content_bytes += len(content)
        findings.seen.append(Seen(key, spelling, now, digest, content, settled))

    # Names.

    def _keys(self, above: str, listing: Listing) -> dict[str, str] | None:
        """The key part of each name, without those that clash; None when every name is its own key."""
        names = [name for name, _ in listing.files] + listing.directories
        if all(map(str.isascii, names)):
            return None
        spellings: dict[str, list[str]] = {}
        for name in names:
            spellings.setdefault(unicodedata.normalize("NFC", name), []).append(name)
        keys: dict[str, str] = {}
        for part, sharing in spellings.items():
            if len(sharing) == 1:
                keys[sharing[0]] = part
                continue
            key = f"{above}/{part}" if above else part
            self._carried.add(key)
            self.findings.clashes.append((RelPath(key), [f"{above}/{name}" if above else name for name in sharing]))
        return keys

    def _spellings(self, key: str) -> tuple[str, list[str]]:
        """How a key is spelt on the disk: one spelling, or none, or several and the level at which they part."""
        if key.isascii():
            return key, [key]
        above, done = "", ""
        for part in key.split("/"):
            done = f"{done}/{part}" if done else part
            names = [part]
            if not part.isascii():
                listing = self._disk.entries(self._site, above)
                if listing is None:
                    return done, []
                everything = [name for name, _ in listing.files] + listing.directories + listing.symlinks
                names = [name for name in everything if unicodedata.normalize("NFC", name) == part]
            here = [f"{above}/{name}" if above else name for name in names]
            if len(here) != 1:
                return done, here
            above = here[0]
        return key, [above]

    def _is_carried(self, path: str) -> bool:
        """Whether it is, or lies below, a place that this pass could not judge."""
        if not self._carried:
            return False
        while path:
            if path in self._carried:
                return True
            path = path.rpartition("/")[0]
        return "" in self._carried


def _printable(path: str) -> str:
    """The path fit for a log line or a terminal, whatever bytes it is made of."""
    if path.isprintable():
        return path
    return path.encode("unicode_escape", "backslashreplace").decode("ascii")
