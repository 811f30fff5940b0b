"""When and how the disk is looked at: hints settle, small looks happen at once, large ones on the pool."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator

from syftd.errors import ItemError, RootMissing
from syftd.names import Email, RelPath
from syftd.seams import Clock
from syftd.state import contacts, files
from syftd.state.db import Db
from syftd.sync.mirror import has_root
from syftd.sync.parts import Index, Parts, stat_of
from syftd.sync.work import Found
from syftd.tree.ignore import IGNORE_FILE
from syftd.tree.scanner import Findings, Seen
from syftd.tree.settle import Settle

_HERE_PATHS = 64
_HERE_BYTES = 1024 * 1024
_MANY_IN_FOLDER = 8
_GROUP = 4
"""Paths of one look on the pool; each may be a folder, and what a look found is in memory until it is taken."""

_UNDECODED = re.compile("[\ud800-\udfff]").search
"""Finds what Python puts for the bytes of a file name that are no UTF-8."""


class _Scan:
    """One scan on the pool, batch by batch, through a reading connection of its own."""

    def __init__(
        self, parts: Parts, site: Email, scan: Callable[[Index], Iterable[Findings]], full: bool
    ) -> None:
        self.site = site
        self.full = full
        self._parts = parts
        self._begin = scan
        self._proving = parts.proving(site)
        self._batches: Iterator[Findings] | None = None
        self._db: Db | None = None

    def next(self) -> Found:
        """The next batch, or the end; called on the pool, never twice at the same time."""
        try:
            if self._batches is None:
                self._db = self._parts.reading()
                self._batches = iter(self._begin(Index(self._db, self.site, self._proving)))
            batch = next(self._batches, None)
        except BaseException:
            self._close()
            raise
        if batch is None:
            self._close()
        return Found(self.site, batch, final=batch is None, full=self.full)

    def _close(self) -> None:
        if self._db is not None and self._db is not self._parts.db:
            self._db.close()
        self._db = None


class Look:
    """Turns hints into findings. `taken(site, findings, final)` takes them on the control thread."""

    def __init__(self, parts: Parts, settle: Settle, taken: Callable[[Email, Findings, bool], None]) -> None:
        self._parts = parts
        self._settle = settle
        self._taken = taken
        self.mirror_gone: Callable[[Email], None] = lambda site: None
        """Told that the folder of a mirror is not there any more."""
        self.mirror_walked: Callable[[Email], None] = lambda site: None
        """Told that a mirror has been scanned from top to bottom and that everything found was taken in."""
        self.own_walk_begins: Callable[[], None] = lambda: None
        """Told that a scan of the own datasite from top to bottom begins."""
        self.own_walked: Callable[[], None] = lambda: None
        """Told that such a scan has ended and that everything found was taken in."""
        self.own_troubled: Callable[[], bool] = lambda: False
        """Asked whether something of the own datasite is shown as a problem that only such a scan can solve."""
        self._scanning = False
        self._scan: _Scan | None = None
        self._walks: dict[Email, None] = {}
        self._looks: dict[Email, dict[str, None]] = {}
        self._later: dict[Email, None] = {}
        self.last_scan = 0.0

    @property
    def clock(self) -> Clock:
        return self._parts.clock

    @property
    def busy(self) -> bool:
        """Whether a scan is going on or waiting."""
        return self._scanning or bool(self._walks) or bool(self._looks)

    def everything(self) -> None:
        """Scans the own datasite and every mirror from top to bottom; asking again while it waits changes nothing."""
        parts = self._parts
        self._walks[parts.me] = None
        for peer in contacts.in_state(parts.db, "accepted"):
            if has_root(parts, peer):
                self._walks[peer] = None
            else:
                self._mirror_gone(peer)
        self._next()

    def site(self, site: Email) -> None:
        self._walks[site] = None
        self._next()

    def due(self) -> None:
        """Looks at the paths that have settled."""
        by_site: dict[Email, list[str]] = {}
        for path in self._settle.release(self.clock.monotonic()):
            site, _, rest = path.partition("/")
            if "@" in site:
                by_site.setdefault(Email(site), []).append(rest)
        for site, paths in by_site.items():
            if "" in paths:
                self.site(site)
                continue
            self._look(site, paths)

    def _stirred(self, site: Email, paths: list[str]) -> list[str]:
        """The hinted paths that are not simply as they were accepted. Our own writes come back as hints, too."""
        parts = self._parts
        # A name that is no text was never accepted, and cannot even be asked for; the scanner is the one to say so.
        rows = files.get_many(parts.db, site, [path for path in paths if not _UNDECODED(path)])
        if not rows:
            return paths
        stirred = []
        for path in paths:
            row = rows.get(path)  # type: ignore[call-overload]
            try:
                same = row is not None and row.settled and parts.disk.stat(site, row.spelling) == stat_of(row)
            except (ItemError, RootMissing):
                same = False
            if not same:
                stirred.append(path)
        return stirred

    def _look(self, site: Email, paths: list[str]) -> None:
        paths = self._stirred(site, paths)
        if not paths:
            return
        if any(path == IGNORE_FILE or path.endswith("/" + IGNORE_FILE) for path in paths):
            self._parts.ignores(site).forget()
            self.site(site)
            return
        if site == self._parts.me and self.own_troubled() and any(self._is_gone(site, path) for path in paths):
            # What was in trouble was never accepted, so the index cannot tell that it is gone.
            self.site(site)
        if len(paths) <= _HERE_PATHS and all(self._is_small(site, path) for path in paths):
            findings = self._guarded(site, lambda: self._parts.scanner.look(site, paths, Index(self._parts.db, site)))
            if findings is not None:
                self._take(site, findings, True)
            return
        self._looks.setdefault(site, {}).update(dict.fromkeys(paths))
        self._next()

    def _leave_to_come(self, site: Email, findings: Findings) -> None:
        """A file found missing while other deletions are still settling waits for them: whoever judges whether too much
        vanishes must see all of it at once. A rename does not wait; its other half is among the findings."""
        if not self._settle.deleting or any(item.stat is not None for item in findings.seen):
            return
        for item in findings.seen:
            self._settle.touch(datasite_path(site, item.path), gone=True)
        findings.seen = []

    def _take(self, site: Email, findings: Findings, final: bool) -> None:
        """Hands findings over; what cannot be taken in now is scanned for again at the next poll."""
        self._leave_to_come(site, findings)
        taken = False
        try:
            self._taken(site, findings, final)
            taken = True
        finally:
            if not taken:
                self._later[site] = None

    def retry(self) -> None:
        """Scans again where findings could not be taken in."""
        if self._later:
            self._walks.update(self._later)
            self._later.clear()
            self._next()

    def _is_gone(self, site: Email, path: str) -> bool:
        try:
            return self._parts.disk.kind(site, path) is None
        except (ItemError, RootMissing):
            return False

    def _is_small(self, site: Email, path: str) -> bool:
        """Whether looking at a path takes no noticeable time on the control thread."""
        try:
            stat = self._parts.disk.stat(site, path)
            if stat is None and self._parts.disk.kind(site, path) == "directory":
                return False
        except (ItemError, RootMissing):
            return True
        return stat is None or stat.size <= _HERE_BYTES

    def _guarded(self, site: Email, look: Callable[[], Findings]) -> Findings | None:
        try:
            return look()
        except RootMissing as error:
            if site == self._parts.me:
                self.root_missing(error)
            else:
                self._mirror_gone(site)
            return None

    def root_missing(self, error: BaseException) -> None:
        """The data folder is gone: nothing is concluded from that."""
        parts = self._parts
        parts.problem(
            "root-missing", parts.me, str(error),
            getattr(error, "remedy", "") or "Bring the folder back (mount the disk); syftd continues by itself.",
        )  # fmt: skip

    def _mirror_gone(self, site: Email) -> None:
        peer = contacts.get(self._parts.db, site)
        if peer is not None and peer.state == "accepted":
            self.mirror_gone(site)

    # -- scans on the pool -----------------------------------------------------------------------------------------

    def _next(self) -> None:
        """Starts the next scan; one at a time, so that two never judge one path from different moments."""
        if self._scanning:
            return
        parts = self._parts
        if self._looks:
            site, paths = self._looks.popitem()
            names = list(paths)
            groups = [names[start : start + _GROUP] for start in range(0, len(names), _GROUP)]
            self._start(site, lambda index: (parts.scanner.look(site, group, index) for group in groups), full=False)
        elif self._walks:
            site = next(iter(self._walks))
            del self._walks[site]
            if site == parts.me:
                self.own_walk_begins()
            self._start(site, lambda index: parts.scanner.walk(site, index), full=True)

    def _start(self, site: Email, scan: Callable[[Index], Iterable[Findings]], *, full: bool) -> None:
        self._scanning = True
        self._scan = _Scan(self._parts, site, scan, full)
        self._step()

    def _step(self) -> None:
        """Fetches the next batch of the scan. Only one is ever on its way, so a scan that finds much fills no memory."""
        scan = self._scan
        assert scan is not None

        def done(found: Found | None, error: BaseException | None) -> None:
            self._parts.post(found or Found(scan.site, None, final=True, full=scan.full, error=error))

        self._parts.pool.submit(scan.next, done)

    def found(self, work: Found) -> None:
        """Takes what a pool scan saw, after a last look: what has changed since is looked at again instead."""
        parts = self._parts
        if work.error is not None:
            self._scanning = False
            if isinstance(work.error, RootMissing) and work.site != parts.me:
                self._mirror_gone(work.site)
                self._next()
                return
            if isinstance(work.error, (RootMissing, ItemError)):
                self.root_missing(work.error)
                self._next()
                return
            raise work.error
        findings = work.findings or Findings()
        try:
            # Whatever happens here, the scan goes on or ends: one that did neither would be the last one.
            findings.seen = self._unchanged(work.site, findings.seen)
            self._take(work.site, findings, work.final)
        finally:
            if work.final:
                self._ended(work)
            else:
                self._step()

    def _unchanged(self, site: Email, seen: list[Seen]) -> list[Seen]:
        """Those findings that still hold; the others are looked at again."""
        still = self._as_seen(site, seen)
        kept = []
        for item in seen:
            if item.stat is None or item.spelling in still:
                kept.append(item)
            else:
                self._parts.look_again(site, item.path)
        return kept

    def _as_seen(self, site: Email, seen: list[Seen]) -> set[str]:
        """The spellings of those files that are still as they were seen; a folder with many of them is listed once."""
        disk = self._parts.disk
        folders: dict[str, list[Seen]] = {}
        for item in seen:
            if item.stat is not None:
                folders.setdefault(item.spelling.rpartition("/")[0], []).append(item)
        still: set[str] = set()
        for folder, items in folders.items():
            try:
                listing = disk.entries(site, folder) if len(items) >= _MANY_IN_FOLDER else None
                now = dict(listing.files) if listing is not None else {}
                for item in items:
                    name = item.spelling.rpartition("/")[2]
                    found = now.get(name) if listing is not None else disk.stat(site, item.spelling)
                    if found == item.stat:
                        still.add(item.spelling)
            except ItemError:
                continue  # What cannot be looked at now is looked at again.
        return still

    def _ended(self, work: Found) -> None:
        parts = self._parts
        self._scanning = False
        if work.full and work.site == parts.me:
            self.last_scan = parts.clock.now()
            parts.solved("root-missing", parts.me)
            if work.site not in self._later:
                self.own_walked()
        elif work.full and work.site not in self._later:
            self.mirror_walked(work.site)
        self._next()


def datasite_path(site: Email, path: RelPath | str) -> str:
    """A path relative to the folder of all datasites, as hints name it."""
    return f"{site}/{path}" if path else str(site)
