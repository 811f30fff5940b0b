"""Large content for proposals: every change gets a stage file of its own, also when several put the same content down.

A stage file becomes the file in the datasite by a rename, so one download serves one path. Further paths of the same
content get copies, which are made on the pool.
"""

from __future__ import annotations

from collections.abc import Iterable

from syftd.errors import DiskFull
from syftd.names import Digest, Email, RelPath
from syftd.sync.fetch import Fetch
from syftd.sync.parts import Parts
from syftd.sync.work import Copied
from syftd.tree.stage import Staged
from syftd.wire.messages import BlobRef, Change


class Copies:
    """Gathers the large content of a proposal. The download itself is `Fetch`'s work."""

    def __init__(self, parts: Parts, fetch: Fetch) -> None:
        self._parts = parts
        self._fetch = fetch
        self._here: dict[Digest, list[Staged]] = {}
        self._making: set[Digest] = set()
        self._unwanted: set[Digest] = set()

    def gather(self, sender: Email, changes: Iterable[Change]) -> dict[RelPath, Staged] | None:
        """The staged content of every large change, each its own; None while some of it is still on its way.

        Raises Malformed for content that cannot be as it was announced."""
        wanted: dict[Digest, list[tuple[RelPath, BlobRef]]] = {}
        for change in changes:
            if change.blob is not None and change.after is not None:
                wanted.setdefault(change.after, []).append((change.path, change.blob))
        found: dict[RelPath, Staged] = {}
        complete = True
        for digest, same in wanted.items():
            blob = same[0][1]
            first = self._fetch.want(sender, digest, blob.size, blob.chunks, proposed=True)
            more = self._here.get(digest, [])
            if first is None:
                complete = False
            elif len(more) < len(same) - 1:
                self._make(first, len(more) + 1)
                complete = False
            else:
                found.update((path, staged) for (path, _), staged in zip(same, (first, *more), strict=False))
        return found if complete else None

    def taken(self, staged: Staged) -> None:
        """The staged file was moved into its place."""
        more = self._here.get(staged.digest, [])
        if staged in more:
            more.remove(staged)
        else:
            self._fetch.taken(staged.digest)

    def drop(self, changes: Iterable[Change]) -> None:
        """The proposal of these changes has had its verdict; whoever else wants the content asks for it again."""
        for digest in {change.after for change in changes if change.blob is not None and change.after is not None}:
            self._fetch.drop(digest)
            for staged in self._here.pop(digest, ()):
                self._parts.disk.discard(staged)
            if digest in self._making:
                self._unwanted.add(digest)

    def _make(self, first: Staged, number: int) -> None:
        """Copies content on the pool; `copied` takes the outcome."""
        parts, digest = self._parts, first.digest
        self._unwanted.discard(digest)
        if digest in self._making:
            return
        if first.size + parts.tuning.reserve_bytes > parts.disk.free_bytes():
            raise DiskFull(f"{first.size} bytes do not fit on the disk once more", "Free some space; syftd continues.")
        self._making.add(digest)
        parts.pool.submit(
            lambda: parts.disk.duplicate(first, number),
            lambda staged, error: parts.post(Copied(digest, staged, error)),
        )

    def copied(self, work: Copied) -> None:
        """Takes a copy that was made; whoever waits for it gathers again."""
        self._making.discard(work.sha256)
        if work.staged is not None:
            if work.staged.digest == work.sha256 and work.sha256 not in self._unwanted:
                self._here.setdefault(work.sha256, []).append(work.staged)
            else:
                self._parts.disk.discard(work.staged)
        self._unwanted.discard(work.sha256)

    def staged_names(self) -> set[str]:
        """Stage files in use, which a sweep must leave alone."""
        return {staged.name for more in self._here.values() for staged in more}
