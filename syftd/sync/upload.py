"""Large content goes up as chunks, once per transport however many readers, and continues where it was interrupted.

A file is read once: each chunk is sent under its own digest, and the digest of the whole is taken meanwhile. Only when
that is the content's do its chunks stand for it; a file that is written to meanwhile never makes a content stand for
chunks of another, and what was sent of it in vain is collected like every chunk that no message refers to.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from syftd.errors import AuthNeeded, ContentMissing, Exists, InMotion, SyftdError
from syftd.names import Digest, Email, RelPath
from syftd.plan.own import Content
from syftd.state import files, outbox
from syftd.sync.parts import Parts, stat_of
from syftd.sync.whole import Whole
from syftd.sync.work import ChunkUp
from syftd.transport.mailbox import blobs
from syftd.tree.contract import OpenFile
from syftd.tree.stat import Stat
from syftd.wire.messages import CHUNK_BYTES

_PARALLEL = 2
_LONGEST_TICK = 2.0
"""Seconds within which the clocks of some file systems cannot tell two writes apart."""
_DOUBT_SECONDS = 600.0
"""A reader who asks again makes us send a content anew at most so often."""


@dataclass
class _Lift:
    """One content on its way up, from one file. `chunks` is None until it is proven which chunks it has."""

    key: str
    site: Email
    path: RelPath
    spelling: str
    content: Content
    peer: Email
    transports: tuple[str, ...]
    private: bool
    chunks: tuple[Digest, ...] | None
    found: dict[int, Digest] = field(default_factory=dict)
    whole: Whole = field(default_factory=Whole)
    began: float = 0.0
    """When reading began, in seconds since the epoch."""
    next: int = 0
    todo: list[int] = field(default_factory=list)
    flying: int = 0
    failed: bool = False
    changed: bool = False
    waiting: set[tuple[Email, RelPath]] = field(default_factory=set)


class Upload:
    """Cuts and uploads. `ready` answers at once; when an upload ends, `took` returns the paths to look at again."""

    def __init__(self, parts: Parts) -> None:
        self._parts = parts
        self._lifts: dict[str, _Lift] = {}
        self._paused = False
        self._doubted: dict[Digest, float] = {}
        self.quiet: Callable[[], None] = lambda: None
        """Called when, after `pause`, the last chunk on its way has arrived."""

    def ready(
        self, peer: Email, path: RelPath, content: Content, *, private: bool, site: Email | None = None,
        stat: Stat | None = None,
    ) -> tuple[Digest, ...] | None:  # fmt: skip
        """The chunks of this content when all of them lie where `peer` can fetch them; otherwise starts the upload.

        `stat` is the observation that `content` was taken with; a file that has another by now is looked at again.
        """
        parts = self._parts
        site = site or parts.me
        transports = parts.router.transports(peer)
        if not transports:
            return None
        chunks = self._cut_before(content)
        if chunks is not None and outbox.chunks_up(parts.db, transports, chunks).issuperset(chunks):
            return chunks
        key = f"{transports[0]}:{content.sha256}"
        lift = self._lifts.get(key)
        if lift is None:
            row = files.get(parts.db, site, path)
            spelling = row.spelling if row else path
            seen = stat_of(row) if row is not None and site == parts.me else stat
            found = parts.disk.stat(site, spelling)
            if found is None or found.size != content.size or (seen is not None and found != seen):
                parts.look_again(site, path)
                return None
            lift = _Lift(key, site, path, spelling, content, peer, transports, private, chunks, began=parts.clock.now())
            self._lifts[key] = lift
            if chunks is not None:
                self._plan(lift)
            self._advance(lift)
        lift.waiting.add((site, path))
        return None

    def doubt(self, path: RelPath) -> None:
        """A reader could not get the large content of an own path: its chunks are cut and sent anew when told again."""
        parts = self._parts
        row = files.get(parts.db, parts.me, path)
        if row is None or self._cut_before(Content(row.sha256, row.size, row.executable)) is None:
            return
        now = parts.clock.monotonic()
        self._doubted = {digest: at for digest, at in self._doubted.items() if now - at < _DOUBT_SECONDS}
        if row.sha256 not in self._doubted:
            self._doubted[row.sha256] = now
            with parts.db.commit():
                outbox.doubt_cut(parts.db, row.sha256)

    def _cut_before(self, content: Content) -> tuple[Digest, ...] | None:
        chunks = outbox.cut(self._parts.db, content.sha256)
        return chunks if chunks is not None and len(chunks) == _count(content) else None

    # -- pauses ----------------------------------------------------------------------------------------------------

    def pause(self) -> bool:
        """No further chunk is sent until `resume`, because chunks are to be removed; True when none is on its way."""
        self._paused = True
        return not any(lift.flying for lift in self._lifts.values())

    def resume(self) -> None:
        """Goes on. Chunks that were removed meanwhile are sent again."""
        if self._paused:
            self._paused = False
            for lift in list(self._lifts.values()):
                if lift.chunks is not None:
                    self._plan(lift)
                self._advance(lift)

    def keeps(self) -> set[Digest]:
        """The chunks of contents on their way up, which must not be removed though no message refers to them yet."""
        return {chunk for lift in self._lifts.values() for chunk in (*(lift.chunks or ()), *lift.found.values())}

    # -- cutting and sending ---------------------------------------------------------------------------------------

    def _plan(self, lift: _Lift) -> None:
        assert lift.chunks is not None
        up = outbox.chunks_up(self._parts.db, lift.transports, lift.chunks)
        first = {chunk: index for index, chunk in reversed(list(enumerate(lift.chunks))) if chunk not in up}
        lift.todo = sorted(first.values(), reverse=True)

    def _advance(self, lift: _Lift) -> None:
        while not self._paused and not lift.failed and lift.flying < _PARALLEL:
            if lift.chunks is None and lift.next < _count(lift.content):
                self._send(lift, lift.next, None)
                lift.next += 1
            elif lift.chunks is not None and lift.todo:
                index = lift.todo.pop()
                self._send(lift, index, lift.chunks[index])
            else:
                return

    def _send(self, lift: _Lift, index: int, expected: Digest | None) -> None:
        """Reads a chunk and sends it, unless it lies there already. Without an `expected` digest the file is being cut."""
        parts = self._parts
        whole = lift.whole
        known = outbox.all_up(parts.db, lift.transports) if expected is None else frozenset()
        lift.flying += 1

        def read(opened: OpenFile, number: int) -> bytes:
            start = number * CHUNK_BYTES
            return opened.pread(start, min(CHUNK_BYTES, lift.content.size - start))

        def send() -> tuple[Digest, str | None]:
            opened = parts.disk.open_at(lift.site, lift.spelling)
            try:
                piece = read(opened, index)
                digest = Digest.of(piece)
                if expected is not None and digest != expected:
                    raise InMotion(f"{lift.path} changed while it was sent", "It is looked at again by itself.")
                transport = None if digest in known else self._put(lift, digest, piece)
                if expected is None:
                    whole.arrived(index, piece, lambda number: read(opened, number))
            finally:
                opened.close()
            return digest, transport

        def done(result: tuple[Digest, str | None] | None, error: BaseException | None) -> None:
            digest, transport = result if result is not None else (expected, None)
            parts.post(ChunkUp(lift.key, index, digest, transport, error))

        parts.pool.submit(send, done)

    def _put(self, lift: _Lift, digest: Digest, piece: bytes) -> str:
        """Runs on the pool; returns the transport that took the chunk."""
        router = self._parts.router
        box = blobs(self._parts.me)
        try:
            transport, _ = router.put(lift.peer, box, digest, piece, private=lift.private)
        except Exists:
            # Under its own digest lies something else: it was damaged there.
            router.remove(router.refs(lift.peer, box, digest))
            transport, _ = router.put(lift.peer, box, digest, piece, private=lift.private)
        return transport

    def took(self, work: ChunkUp) -> set[tuple[Email, RelPath]]:
        """Notes a chunk; returns the (site, path) pairs that can be looked at again, because their upload ended."""
        lift = self._lifts.get(work.key)
        if lift is None:
            return set()
        self._was_sent(lift, work)
        ready: set[tuple[Email, RelPath]] = set()
        if lift.flying == 0 and (lift.failed or (lift.chunks is not None and not lift.todo)):
            ready = self._end(lift)
        else:
            self._advance(lift)
        if self._paused and not any(lift.flying for lift in self._lifts.values()):
            self.quiet()
        return ready

    def _was_sent(self, lift: _Lift, work: ChunkUp) -> None:
        parts = self._parts
        lift.flying -= 1
        if work.error is not None or work.digest is None:
            self._stumble(lift, work.error)
            return
        if work.transport is not None:
            with parts.db.commit():
                outbox.chunk_up(parts.db, work.transport, work.digest, parts.clock.now())
        if lift.chunks is None:
            lift.found[work.index] = work.digest
            self._prove(lift)

    def _prove(self, lift: _Lift) -> None:
        """With the last chunk it shows whether the file was the content from its first byte to its last."""
        parts = self._parts
        count = _count(lift.content)
        if len(lift.found) < count or lift.flying or lift.failed:
            return
        if lift.whole.digest(count) != lift.content.sha256:
            self._stumble(lift, InMotion(f"{lift.path} is not what it was when it was looked at"))
            return
        lift.chunks = tuple(lift.found[index] for index in range(count))
        row = files.get(parts.db, lift.site, lift.path)
        with parts.db.commit():
            outbox.put_cut(parts.db, lift.content.sha256, lift.chunks)
            written = max(row.mtime_ns, row.ctime_ns) / 1e9 if row is not None else 0.0
            if row is not None and row.sha256 == lift.content.sha256 and lift.began - written > _LONGEST_TICK:
                # It was accepted so soon after it was written that it had to be hashed once more: now it has been.
                files.put(parts.db, lift.site, [row._replace(settled=True)])
        self._plan(lift)

    def _stumble(self, lift: _Lift, error: BaseException | None) -> None:
        lift.failed = True
        if isinstance(error, (InMotion, ContentMissing)):
            lift.changed = True  # Saved anew, renamed or deleted meanwhile: the scanner brings what is there now.
            return
        if isinstance(error, AuthNeeded):
            return  # The transport itself says so with the next poll, once for everybody.
        remedy = error.remedy if isinstance(error, SyftdError) else ""
        self._parts.problem(
            "cannot-upload", lift.path, f"{lift.path} is not sent yet: {error}",
            remedy or "syftd continues by itself where it stopped.",
        )  # fmt: skip

    def _end(self, lift: _Lift) -> set[tuple[Email, RelPath]]:
        parts = self._parts
        del self._lifts[lift.key]
        if lift.changed:
            row = files.get(parts.db, lift.site, lift.path)
            if row is not None and lift.site == parts.me and row.sha256 == lift.content.sha256:
                # Its observation may still hold though its content does not: only reading it brings the truth.
                with parts.db.commit():
                    files.put(parts.db, lift.site, [row._replace(settled=False)])
            parts.look_again(lift.site, lift.path)
        if lift.failed:
            return set()
        parts.solved("cannot-upload", lift.path)
        return lift.waiting

    def proving(self, site: Email) -> frozenset[str]:
        """Paths of a datasite whose files are being read from end to end; see `_prove`."""
        return frozenset(lift.path for lift in self._lifts.values() if lift.site == site and lift.chunks is None)

    def progress(self) -> list[dict[str, object]]:
        """What is going up, for status: path, bytes done, bytes in all."""
        return [
            {
                "path": lift.path,
                "done": 0 if lift.chunks is None else max(
                    0, lift.content.size - (len(lift.todo) + lift.flying) * CHUNK_BYTES
                ),
                "size": lift.content.size,
            }
            for lift in self._lifts.values()
        ]  # fmt: skip


def _count(content: Content) -> int:
    """How many chunks a content has."""
    return -(-content.size // CHUNK_BYTES)
