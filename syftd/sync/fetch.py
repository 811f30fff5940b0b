"""Large content comes down chunk by chunk into a stage file, several at a time, and continues after an interruption.

A content is fetched once per *announcement* (its digest, size and chunks), whoever made it: equal announcements are one
download with several sources, different ones are different downloads, so that what one peer says wrongly, or cannot
deliver, never stands in the way of another's. Only the control thread touches what is known here; pools move bytes.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import islice

from syftd.errors import AuthNeeded, DiskFull, Gone, ItemError, Malformed, SyftdError
from syftd.names import Digest, Email
from syftd.state import files
from syftd.sync.parts import Parts
from syftd.sync.pull import LOOK_AHEAD, Pull, chosen, local_piece
from syftd.sync.room import Room
from syftd.sync.whole import Whole
from syftd.sync.work import ChunkDown, WholeDown
from syftd.transport.mailbox import blobs
from syftd.tree.stage import Staged
from syftd.wire.messages import CHUNK_BYTES

_PARALLEL_CHUNKS = 3
_LOST_TRIES = 3
"""After so many attempts at which a source did not have what it announced, it is asked to tell again."""


@dataclass
class _Here:
    """Verified content on the stage, and who proposed it."""

    staged: Staged
    proposers: set[Email]


class Fetch:
    """The downloader: bounded, fair between peers, resumable; what arrives is hashed from end to end before use."""

    def __init__(self, parts: Parts) -> None:
        self._parts = parts
        self._pulls: dict[Digest, Pull] = {}
        self._named: dict[Digest, list[Pull]] = {}
        """The downloads of each content."""
        self._here: dict[Digest, _Here] = {}
        self._room = Room(parts)
        self._size = 0
        """The bytes of all downloads together."""
        self.lost: Callable[[Email, Digest], None] = lambda owner, sha256: None
        """Told that an owner does not have (or has announced wrongly) what it told of; set by the wiring."""

    # -- wishes ----------------------------------------------------------------------------------------------------

    def want(
        self, owner: Email, sha256: Digest, size: int, chunks: Sequence[Digest], *, proposed: bool = False
    ) -> Staged | None:
        """The staged content if it is here; otherwise it is (or goes on being) fetched and None is returned.

        `proposed` content counts towards what its sender may have lying here undecided. Raises Malformed for an
        announcement that cannot be true.
        """
        here = self._here.get(sha256)
        if here is not None:
            if proposed:
                here.proposers.add(owner)
            return here.staged
        if size <= 0 or len(chunks) != -(-size // CHUNK_BYTES):
            raise Malformed(f"{len(chunks)} chunks cannot hold {size} bytes")
        key = Digest.of(f"{sha256} {size} {' '.join(chunks)}".encode())
        pull = self._pulls.get(key)
        if pull is None:
            held = self._proposed_by(owner) if proposed else None
            if not self._room.admits(owner, sha256, size, ahead=self._ahead(), held=held):
                return None
            pull = self._pulls[key] = Pull(key, sha256, size, tuple(chunks))
            self._size += size
            self._named.setdefault(sha256, []).append(pull)
        if owner not in pull.sources:
            pull.sources.append(owner)
            pull.retry_at = 0.0
        if owner in pull.asked:
            pull.asked.discard(owner)
            pull.retry_at = 0.0
        if proposed:
            pull.proposers.add(owner)
        pull.ended = False
        for other in list(self._named[sha256]):
            if other is not pull and (other.refuted or other.lost[owner]):
                self._without(other, owner)  # It was asked to tell again, and this is what it tells now.
        self.pump()
        return None

    def knows(self, sha256: Digest, owner: Email | None = None) -> bool:
        """Whether a content is here, on its way (from `owner`, if given), or waits a while for room."""
        if sha256 in self._here:
            return True
        if any(not pull.ended and (owner is None or owner in pull.sources) for pull in self._named.get(sha256, ())):
            return True
        return self._room.waits(sha256, owner)

    def drop(self, sha256: Digest) -> None:
        """The content is in place, or nobody wants it any more."""
        here = self._here.pop(sha256, None)
        if here is not None:
            self._parts.disk.discard(here.staged)
        for pull in list(self._named.get(sha256, ())):
            self._leave(pull)
        self._room.drop(sha256)

    def forget(self, owner: Email) -> None:
        """Nothing is fetched from a peer any more whose contact has ended."""
        for pull in list(self._pulls.values()):
            self._without(pull, owner)
        self._room.forget(owner)

    def taken(self, sha256: Digest) -> None:
        """The staged file was moved into its place."""
        self._here.pop(sha256, None)

    def staged_names(self) -> set[str]:
        """Stage files in use, which a sweep must leave alone."""
        names = {here.staged.name for here in self._here.values()}
        return names | {pull.filling.name for pull in self._pulls.values() if pull.filling is not None}

    def _without(self, pull: Pull, owner: Email) -> None:
        if owner in pull.sources:
            pull.sources.remove(owner)
            pull.proposers.discard(owner)
            if not pull.sources:
                self._leave(pull)

    def _leave(self, pull: Pull) -> None:
        """Ends a download. While a thread may still write into its file, the descriptor stays what it is."""
        pull.ended = True
        if pull.flying == 0 and not pull.hashing:
            self._remove(pull)
            if pull.filling is not None:
                pull.filling.discard()
                pull.filling = None

    def _remove(self, pull: Pull) -> None:
        del self._pulls[pull.key]
        self._size -= pull.size
        named = self._named[pull.sha256]
        named.remove(pull)
        if not named:
            del self._named[pull.sha256]

    def _ahead(self) -> int:
        """The bytes that downloads are still to write; those that have begun are among the first."""
        begun = islice(self._pulls.values(), LOOK_AHEAD)
        return self._size - sum(min(pull.size, pull.done * CHUNK_BYTES) for pull in begun)

    def _proposed_by(self, owner: Email) -> int:
        pulls = sum(pull.size for pull in self._pulls.values() if owner in pull.proposers)
        return pulls + sum(here.staged.size for here in self._here.values() if owner in here.proposers)

    # -- chunks ----------------------------------------------------------------------------------------------------

    def pump(self) -> None:
        """Starts as many chunk downloads as may fly."""
        for pull in chosen(self._pulls.values(), self._parts.clock.monotonic()):
            while not pull.failed and pull.flying < _PARALLEL_CHUNKS and pull.next < len(pull.chunks):
                try:
                    self._get(pull, pull.next)
                except (DiskFull, ItemError) as error:
                    self._complain(pull, pull.sources[0], error)
                    if pull.flying == 0:
                        self._again(pull)
                    break
                pull.next += 1
                pull.flying += 1

    def _get(self, pull: Pull, index: int) -> None:
        parts = self._parts
        if pull.filling is None:
            pull.filling = parts.disk.stage_file(pull.key, pull.size)
        filling = pull.filling
        source = pull.sources[0]
        digest = pull.chunks[index]
        offset = index * CHUNK_BYTES
        length = min(CHUNK_BYTES, pull.size - offset)
        resumed = filling.resumed

        local = list(files.with_digest(parts.db, pull.sha256))

        whole = pull.whole

        def again(number: int) -> bytes:
            start = number * CHUNK_BYTES
            return filling.pread(start, min(CHUNK_BYTES, filling.size - start))

        def get() -> None:
            if resumed and Digest.of(piece := filling.pread(offset, length)) == digest:
                whole.arrived(index, piece, again)
                return
            for site, spelling in local:
                # A rename or a copy: the bytes are on this disk already.
                found = local_piece(parts, site, spelling, offset, length)
                if found is not None and Digest.of(found) == digest:
                    filling.pwrite(offset, found)
                    whole.arrived(index, found, again)
                    return
            piece = parts.router.get(parts.router.refs(source, blobs(source), digest), 0, length)
            if len(piece) != length or Digest.of(piece) != digest:
                raise Malformed(f"chunk {index} from {source} is not what was announced")
            filling.pwrite(offset, piece)
            whole.arrived(index, piece, again)

        parts.pool.submit(get, lambda _, error: parts.post(ChunkDown(pull.key, index, source, error)))

    def chunk_down(self, work: ChunkDown) -> None:
        """Notes a chunk; hashes the whole when all are here; a failed one is tried again with growing pauses."""
        pull = self._pulls.get(work.key)
        if pull is None:
            return
        pull.flying -= 1
        if work.error is None:
            pull.done += 1
        elif not pull.failed:
            self._complain(pull, work.source, work.error)
        if pull.ended:
            self._leave(pull)
        elif pull.failed:
            if pull.flying == 0:
                self._again(pull)
        elif pull.done == len(pull.chunks):
            self._hash(pull)
        self.pump()

    def _complain(self, pull: Pull, source: Email, error: BaseException) -> None:
        pull.failed, pull.blamed = True, source
        pull.missed = isinstance(error, (Gone, Malformed))
        if isinstance(error, AuthNeeded):
            return  # The transport itself says so with the next poll, once for everybody.
        remedy = error.remedy if isinstance(error, SyftdError) else ""
        self._parts.problem(
            "cannot-fetch", source, f"A large file from {source} is not here yet: {error}",
            remedy or "syftd continues by itself where it stopped.",
        )  # fmt: skip

    def _again(self, pull: Pull) -> None:
        """Closes the stage file; the next attempt finds it and keeps the chunks that are good. Another source, if there
        is one that has not failed in this round, is asked at once."""
        parts = self._parts
        if pull.filling is not None:
            pull.filling.close()
            pull.filling = None
        pull.whole = Whole()
        pull.next = pull.done = 0
        pull.failed = False
        source, pull.blamed = pull.blamed, None
        self._pulls[pull.key] = self._pulls.pop(pull.key)
        pull.retry_at = parts.clock.monotonic()
        if source not in pull.sources:
            return  # It has left; whoever remains was not asked yet.
        pull.sources.remove(source)
        pull.sources.append(source)
        pull.tries += 1
        rounds, within = divmod(pull.tries, len(pull.sources))
        if within == 0:
            pull.retry_at += parts.random.uniform(0.5, min(300.0, 2.0 ** min(rounds, 9)))
        if pull.missed:
            pull.lost[source] += 1
            if pull.lost[source] % _LOST_TRIES == 0:
                pull.asked.add(source)
                self.lost(source, pull.sha256)

    # -- the whole -------------------------------------------------------------------------------------------------

    def _hash(self, pull: Pull) -> None:
        parts = self._parts
        filling = pull.filling
        assert filling is not None
        pull.hashing = True
        digest = pull.whole.digest(len(pull.chunks))
        parts.pool.submit(
            lambda: filling.finish(digest), lambda staged, error: parts.post(WholeDown(pull.key, pull.sha256, staged, error))
        )

    def whole_down(self, work: WholeDown) -> bool:
        """Whether the content is here and good; the caller then puts it into its places."""
        parts = self._parts
        pull = self._pulls.get(work.key)
        if pull is None:
            return False
        pull.hashing = False
        if work.staged is None:
            error = work.error if work.error is not None else ItemError("it could not be read")
            if pull.ended:
                self._leave(pull)
            else:
                self._complain(pull, pull.sources[0], error)
                self._again(pull)
            return False
        pull.filling = None
        if pull.ended or pull.sha256 in self._here:
            parts.disk.discard(work.staged)
            self._remove(pull)
            return False
        if work.staged.digest == pull.sha256:
            self._remove(pull)
            self._here[pull.sha256] = _Here(work.staged, pull.proposers)
            for source in pull.sources:
                parts.solved("cannot-fetch", source)
            return True
        parts.disk.discard(work.staged)
        self._refute(pull)
        self.pump()
        return False

    def _refute(self, pull: Pull) -> None:
        """Every chunk is what was announced and the whole is not: only another announcement can be true."""
        parts = self._parts
        pull.whole = Whole()
        pull.next = pull.done = 0
        pull.refuted += 1
        pull.retry_at = parts.clock.monotonic() + min(86400.0, 60.0 * 4.0 ** min(pull.refuted, 8))
        for source in list(pull.sources):
            parts.problem(
                "bad-content", source, f"A large file from {source} does not have the digest that was announced.",
                "syftd asks for it again by itself; nothing was written here.",
            )  # fmt: skip
            self.lost(source, pull.sha256)

    def progress(self) -> list[dict[str, object]]:
        """What is coming down, for status: from, bytes done, bytes in all."""
        return [
            {"from": pull.sources[0], "done": min(pull.size, pull.done * CHUNK_BYTES), "size": pull.size}
            for pull in self._pulls.values()
            if not pull.ended
        ]
