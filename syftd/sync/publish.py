"""What each reader must be told: the difference between what they may see and what they have been shown.

Publishing is level-triggered. `_Pending` only says where to look; losing it costs a full pass, never a change. A
reader's window is bounded: while too much lies unread, nothing more is written, and the difference keeps growing in
the view instead of on the transport.
"""

from __future__ import annotations

import heapq
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace

from syftd.errors import ItemError
from syftd.names import PERMISSION_FILE, Digest, Email, RelPath
from syftd.plan.own import Content, Telling, plan_tellings
from syftd.state import contacts, files, messages, outbox, views
from syftd.sync.parts import Parts, stat_of
from syftd.sync.upload import Upload
from syftd.transport import mailbox
from syftd.wire import codec
from syftd.wire import names as wire_names
from syftd.wire.messages import BlobRef, Change, Events, StreamPosition, Verdict

_PASS = 512
_VERDICTS = 200
_VERDICT_BYTES = 512 * 1024
_VERDICT_SECONDS = 7 * 86400.0
_ALL = -1
_COMPACTED = 20
"""So many small messages may lie unread, or read, for a reader who takes nothing out of the box; the network's own
owners begin to merge them at the same number."""


@dataclass
class _Pending:
    """Where differences may be: named paths, and a full pass that has come as far as `cursor`."""

    paths: dict[RelPath, None] = field(default_factory=dict)
    passing: bool = False
    cursor: str = ""
    later: dict[RelPath, None] = field(default_factory=dict)

    @property
    def empty(self) -> bool:
        return not self.paths and not self.passing


class Publish:
    """Builds the envelopes of every reader's stream, inside the transaction that makes the changes true."""

    def __init__(self, parts: Parts, upload: Upload) -> None:
        self._parts = parts
        self._upload = upload
        self._pending: dict[Email, _Pending] = {}
        self._restless: dict[Email, None] = {}
        """Readers who may have to be told something; all others are at rest, and a change that is not theirs costs
        nothing for them. A reader leaves it when found at rest, not when told, which may still be undone."""
        self._judged: dict[Email, int] = {}
        """The generation of the rules by which what lies unread was judged, by reader."""
        self.taken_back: Callable[[int], None] = lambda row: None
        """Told the outbox rows of messages that must not be sent any more."""

    # -- what may have changed -------------------------------------------------------------------------------------

    def start(self) -> None:
        """Takes up every accepted peer as a reader, with a full pass for each."""
        for peer in contacts.in_state(self._parts.db, "accepted"):
            self.add_reader(peer)
            row = views.reader(self._parts.db, peer)
            if row is not None:
                with self._parts.db.commit():
                    # The rules may have changed while nobody was looking; nothing is sent before this is known.
                    self._judge_unread(peer, row, self._pending[peer])
                    views.put_reader(self._parts.db, row)

    def add_reader(self, peer: Email) -> None:
        self._pending[peer] = _Pending(passing=True)
        self._restless[peer] = None

    def drop_reader(self, peer: Email) -> None:
        self._pending.pop(peer, None)
        self._restless.pop(peer, None)

    def restart(self, peer: Email) -> None:
        """Begins the reader's stream anew; everything is told again."""
        parts = self._parts
        with parts.db.commit():
            for row in outbox.events_to(parts.db, peer):
                self._void(row)
            messages.tell_all_again(parts.db, peer, parts.clock.now() - _VERDICT_SECONDS)
            views.start_stream(parts.db, peer, parts.random.token(8))
            # An old verdict says what its paths came to hold; what they hold now, if anything, is told after it.
            for verdict in messages.untold(parts.db, peer, _ALL):
                if verdict.verdict == "applied":
                    views.doubt(parts.db, peer, [path for path, _ in verdict.current])
        self.add_reader(peer)

    def dirty(self, paths: Iterable[RelPath], also: Email | None = None) -> None:
        """These paths may look different to whoever may read them, and to `also`.

        Invariant: whoever was shown a path and may not read it has it among what is pending, since `rules_changed` put
        it there; so a change costs something for its readers, and nothing for all the other peers.
        """
        for path in paths:
            for reader in self._parts.access.readers(path, self._pending):
                self._look_at(reader, path)
            if also is not None and also in self._pending:
                self._look_at(also, path)

    def _look_at(self, reader: Email, path: RelPath) -> None:
        pending = self._pending[reader]
        pending.later.pop(path, None)
        pending.paths[path] = None
        self._restless[reader] = None

    def doubt_content(self, paths: Iterable[RelPath]) -> None:
        """A reader asks again for paths that it was told: whatever large content they hold is sent anew."""
        for path in paths:
            self._upload.doubt(path)

    def rules_changed(self, directory: str) -> None:
        """Everything below a directory may look different to every reader."""
        rows = files.below(self._parts.db, self._parts.me, directory)
        self.dirty(row.path for row in rows)
        for reader in self._pending:
            for path in views.shown_below(self._parts.db, reader, directory):
                self._look_at(reader, path)
            # A file that is gone, and whose going is still to be read, may lie ready for a reader all the same.
            for path in outbox.paths_unread(self._parts.db, reader):
                if not directory or path.startswith(directory + "/"):
                    self._look_at(reader, path)

    def retry_later(self) -> None:
        """Takes up again what could not be told at the last attempt."""
        for reader in self._restless:
            pending = self._pending[reader]
            pending.paths.update(pending.later)
            pending.later.clear()

    def content_ready(self, path: RelPath) -> None:
        """The large content of a path has been uploaded (or cannot be): look at it again."""
        self.dirty([path])

    # -- building --------------------------------------------------------------------------------------------------

    def build_all(self, contents: Mapping[Digest, bytes] | None = None) -> None:
        """Writes as many envelopes for every reader as the windows allow."""
        for reader in list(dict.fromkeys([*self._restless, *messages.with_untold(self._parts.db)])):
            try:
                with self._parts.db.attempt():
                    self.build(reader, contents or {})
            except ItemError as error:
                # What one reader cannot be told must not keep the change, or the other readers, from anything.
                self._parts.problem("cannot-publish", reader, f"{reader} cannot be told of changes: {error}", error.remedy)
            else:
                self._parts.solved("cannot-publish", reader)

    def build(self, reader: Email, contents: Mapping[Digest, bytes] | None = None) -> None:
        """Writes what one reader must be told now; joins the caller's transaction when there is one."""
        try:
            self._build(reader, contents or {})
        except BaseException:
            pending = self._pending.get(reader)
            if pending is not None:
                # What was taken from it is undone with the transaction: look at everything again.
                pending.passing, pending.cursor = True, ""
                self._restless[reader] = None
            raise

    def _build(self, reader: Email, contents: Mapping[Digest, bytes]) -> None:
        parts = self._parts
        pending = self._pending.get(reader)
        peer = contacts.get(parts.db, reader)
        if pending is None or peer is None or peer.state != "accepted" or not peer.client_version:
            return
        row = views.reader(parts.db, reader)
        told = row is not None and row.completed and not row.behind and not row.voided
        nothing = pending.empty and not pending.later and not messages.untold(parts.db, reader, 1)
        if told and nothing:
            self._restless.pop(reader, None)
            return  # At rest nothing is written, not even an unchanged row.
        if nothing and row is not None and row.behind and row.completed and not row.voided:
            # What was still to be told was taken from `pending` by a transaction that did not last.
            pending.passing, pending.cursor = True, ""
        with parts.db.commit():
            row = views.reader(parts.db, reader)
            if row is None:
                views.start_stream(parts.db, reader, parts.random.token(8))
                row = views.reader(parts.db, reader)
                assert row is not None
            before = replace(row)
            extended = "stream" in peer.extensions
            tells_verdicts = "verdicts" in peer.extensions
            if not tells_verdicts:
                messages.told(parts.db, reader, [item.id for item in messages.untold(parts.db, reader)])
            self._judge_unread(reader, row, pending)
            if not extended:
                self._compact(reader, pending)
                row.voided = ()
            fresh: dict[str, bool] = {}
            while not extended or self._window_open(reader):
                # A verdict comes before everything that happened to its paths since: it says what they were then.
                verdicts = self._verdicts(reader) if tells_verdicts and parts.router.carries_private(reader) else []
                if verdicts and len(verdicts) < len(messages.untold(parts.db, reader, len(verdicts) + 1)):
                    self._emit(reader, peer, row, [], verdicts, False)
                    continue
                batch = self._next(reader, pending)
                tellings = self._tellings(reader, pending, batch, fresh)
                changes = self._changes(reader, peer, pending, tellings, contents)
                last = pending.empty
                completes = last and not row.completed and not pending.later
                if changes or (extended and (verdicts or completes or row.voided)):
                    self._emit(reader, peer, row, changes, verdicts, completes)
                if last:
                    break
            row.behind = not pending.empty or bool(pending.later)
            if extended and not row.behind:
                row.behind = bool(not row.completed or row.voided or messages.untold(parts.db, reader, 1))
            if row != before:
                views.put_reader(parts.db, row)

    def _verdicts(self, reader: Email) -> list[messages.Decided]:
        """The oldest verdicts that the reader was not told, as many as fit into one envelope."""
        found: list[messages.Decided] = []
        size = 0
        for verdict in messages.untold(self._parts.db, reader, _VERDICTS):
            size += 200 + len(verdict.reason) + sum(200 + len(path) for path, _ in verdict.current)
            if found and size > _VERDICT_BYTES:
                break
            found.append(verdict)
        return found

    def _window_open(self, reader: Email) -> bool:
        count, size = outbox.unread(self._parts.db, reader)
        return count < self._parts.tuning.window_messages and size < self._parts.tuning.window_bytes

    def _next(self, reader: Email, pending: _Pending) -> list[RelPath]:
        if pending.paths:
            batch = list(pending.paths)[:_PASS]
            for path in batch:
                del pending.paths[path]
            return batch
        if not pending.passing:
            return []
        parts = self._parts
        own = [row.path for row in files.after(parts.db, parts.me, pending.cursor, _PASS)]
        shown = views.shown_after(parts.db, reader, pending.cursor, _PASS)
        merged = list(dict.fromkeys(heapq.merge(own, shown)))
        if len(own) < _PASS and len(shown) < _PASS:
            pending.passing = False
        else:
            ends = [rows[-1] for rows in (own, shown) if len(rows) == _PASS]
            pending.cursor = min(ends)
            merged = [path for path in merged if path <= pending.cursor]
        return merged

    def _tellings(
        self, reader: Email, pending: _Pending, batch: list[RelPath], fresh: dict[str, bool]
    ) -> list[Telling]:
        parts = self._parts
        rows = files.get_many(parts.db, parts.me, batch)
        shown = {path: (item.sha256, item.executable) for path, item in views.shown(parts.db, reader, batch).items()}
        may_read = self._reads(reader)
        current: list[RelPath] = []
        for path in batch:
            if self.rules_fresh(path, fresh):
                current.append(path)
            else:
                pending.later[path] = None

        def may_see(path: RelPath) -> bool:
            if parts.hidden(path) is not None and path not in shown:
                return False
            return may_read(path)

        accepted = {path: Content(row.sha256, row.size, row.executable) for path, row in rows.items()}
        return plan_tellings(current, accepted, may_see, shown)

    def _reads(self, reader: Email) -> Callable[[RelPath], bool]:
        """What a reader may be told over the transports that there are: all that they may read, or only what everybody
        may read."""
        access = self._parts.access
        if self._parts.router.carries_private(reader):
            return lambda path: access.may_read(reader, path)
        return access.public

    def rules_fresh(self, path: RelPath, fresh: dict[str, bool]) -> bool:
        """Whether the permission files above a path are on disk as they were compiled.

        Invariant: no byte is told under rules that a person has already replaced on disk.
        """
        directory = path.parent
        while True:
            if directory not in fresh:
                fresh[directory] = self._rule_file_fresh(directory)
            if not fresh[directory]:
                return False
            if not directory:
                return True
            directory = directory.rpartition("/")[0]

    def may_go(self, row: outbox.Row) -> bool:
        """Whether the rules by which a queued message was written are still those on disk; they are looked at if not."""
        fresh: dict[str, bool] = {}
        return row.kind != "events" or all(
            self.rules_fresh(path, fresh) for path in outbox.contents(self._parts.db, row.id)
        )

    def _rule_file_fresh(self, directory: str) -> bool:
        parts = self._parts
        path = f"{directory}/{PERMISSION_FILE}" if directory else PERMISSION_FILE
        try:
            kind = parts.disk.kind(parts.me, path)
            found = parts.disk.stat(parts.me, path) if kind == "file" else None
        except ItemError:
            return False  # What cannot be looked at may forbid anything.
        row = files.get(parts.db, parts.me, path)
        if kind not in (None, "file"):
            # It stands where a permission file stands and cannot be read as one: it governs, and grants nothing.
            self.close(directory, f"it is a {kind}, which is never followed or read")
            return True
        if kind is None and row is None:
            if directory in parts.access.problems():
                parts.access.drop(directory)
                parts.solved("rules", path)
                self.rules_changed(directory)
            return True
        if row is not None and found == stat_of(row):
            return True
        parts.look_again(parts.me, path)
        return False

    def close(self, directory: str, reason: str) -> None:
        """Nobody but the owner reads or writes below a directory whose permission file cannot be used."""
        parts = self._parts
        if parts.access.problems().get(directory) == reason:
            return
        path = f"{directory}/{PERMISSION_FILE}" if directory else PERMISSION_FILE
        parts.access.broken(directory, reason)
        self.rules_changed(directory)
        parts.problem(
            "rules", path, f"{path} cannot be used: {reason}. Nobody but you can read or write below it.",
            "Put an ordinary permission file there, or remove it.",
        )  # fmt: skip

    def _judge_unread(self, reader: Email, row: views.ReaderRow, pending: _Pending) -> None:
        """After a change of the rules, whatever lies unread is judged again, also while the window is closed."""
        parts = self._parts
        if self._judged.get(reader) == parts.access.generation:
            return
        self._judged[reader] = parts.access.generation
        may_read = self._reads(reader)
        revoked = [path for path in outbox.paths_unread(parts.db, reader) if not may_read(path)]
        self._take_back(reader, row, pending, revoked)

    def _take_back(self, reader: Email, row: views.ReaderRow, pending: _Pending, revoked: list[RelPath]) -> None:
        """Removes unread envelopes that hold a path which the reader may no longer read."""
        parts = self._parts
        for envelope in outbox.holding(parts.db, reader, revoked) if revoked else ():
            # It may have told a deletion, too, which must not be lost with it.
            paths = [RelPath(path) for path in outbox.paths(parts.db, envelope.id)]
            views.doubt(parts.db, reader, paths)
            pending.paths.update(dict.fromkeys(paths))
            outbox.release_chunks(parts.db, envelope.id)
            self._void(envelope)
            if envelope.seq is not None:
                row.voided = tuple(sorted({*row.voided, *envelope.voided, envelope.seq}))
            # It may have been the one that said that everything has been told; saying so again does no harm.
            row.completed = False

    def _compact(self, reader: Email, pending: _Pending) -> None:
        """A reader of the plain network takes nothing out of its box, so that it would only grow. Many small messages are
        taken back and what their paths hold now is told once more, in few."""
        parts = self._parts
        small = [
            row
            for row in outbox.events_to(parts.db, reader)
            if row.state == "sent" and row.bytes < parts.tuning.envelope_bytes // 4
        ]
        if len(small) < _COMPACTED:
            return
        for row in small:
            paths = [RelPath(path) for path in outbox.paths(parts.db, row.id)]
            views.doubt(parts.db, reader, paths)
            pending.paths.update(dict.fromkeys(paths))
            self._void(row)

    def _void(self, envelope: outbox.Row) -> None:
        outbox.void(self._parts.db, envelope.id)
        messages.tell_again(self._parts.db, envelope.peer, envelope.verdicts)
        self.taken_back(envelope.id)

    def _changes(
        self, reader: Email, peer: contacts.Peer, pending: _Pending, tellings: list[Telling],
        contents: Mapping[Digest, bytes],
    ) -> list[Change]:  # fmt: skip
        parts = self._parts
        changes: list[Change] = []
        size = 0
        for number, telling in enumerate(tellings):
            if size > parts.tuning.envelope_bytes or len(changes) >= parts.tuning.envelope_changes:
                pending.paths.update(dict.fromkeys(item.path for item in tellings[number:]))
                break
            change = self._change(reader, peer, telling, contents)
            if change is None:
                pending.later[telling.path] = None
                continue
            size += len(change.content or b"")
            changes.append(change)
        # What decides about a job comes after what the decision is about.
        changes.sort(key=lambda change: change.path.endswith("/state.yaml"))
        return changes

    def _change(
        self, reader: Email, peer: contacts.Peer, telling: Telling, contents: Mapping[Digest, bytes]
    ) -> Change | None:
        parts = self._parts
        after = telling.after
        before = None if telling.before == views.UNKNOWN else telling.before
        if after is None:
            return Change(telling.path, before, None)
        blobs = "blobs" in peer.extensions
        limit = parts.tuning.inline_bytes if blobs else parts.tuning.legacy_inline_bytes
        if after.size <= limit:
            content = contents.get(after.sha256)
            if content is None:
                content = self._read(telling.path, after, limit)
            if content is None:
                return None
            return Change(telling.path, before, after.sha256, content, executable=after.executable)
        if not blobs:
            parts.problem(
                "too-large", f"{reader}:{telling.path}",
                f"{telling.path} ({after.size} bytes) is too large for {reader}, whose program takes at most {limit} "
                "bytes.",
                "Share a smaller file, or ask the peer to install syftd.",
            )  # fmt: skip
            return None
        chunks = self._upload.ready(reader, telling.path, after, private=not parts.access.public(telling.path))
        if chunks is None:
            return None
        blob = BlobRef(after.size, chunks)
        return Change(telling.path, before, after.sha256, blob=blob, executable=after.executable)

    def _read(self, path: RelPath, after: Content, limit: int) -> bytes | None:
        parts = self._parts
        row = files.get(parts.db, parts.me, path)
        try:
            content, _ = parts.disk.read(parts.me, row.spelling if row else path, limit)
        except ItemError:
            content = b""
        if Digest.of(content) == after.sha256:
            return content
        # The file moved on since it was indexed; the scanner will bring what it holds now.
        parts.look_again(parts.me, path)
        return None

    def _emit(
        self, reader: Email, peer: contacts.Peer, row: views.ReaderRow, changes: list[Change],
        verdicts: list[messages.Decided], completes: bool,
    ) -> None:  # fmt: skip
        parts = self._parts
        extended = "stream" in peer.extensions
        made_at = max(parts.clock.now(), row.last_made_at + 1e-6)
        id = parts.random.uuid()
        position = None
        if extended:
            position = StreamPosition(row.epoch, row.next_seq, row.previous, row.voided, completes)
        told = tuple(
            Verdict(item.id, item.verdict, item.reason, item.current if item.verdict == "stale" else ())  # type: ignore[arg-type]
            for item in verdicts
        )
        envelope = Events(id, parts.me, made_at, tuple(changes), told, position)
        payload = codec.encode_events(envelope, extensions=extended)
        name = wire_names.events_name(made_at, id)
        chunks = [chunk for change in changes if change.blob for chunk in change.blob.chunks]
        outbox.add(
            parts.db, reader, "events", mailbox.outbox(parts.me, reader), name, payload, seq=row.next_seq,
            # Where nothing private can go, nothing private was taken: what is left may be carried by anybody.
            private=parts.router.carries_private(reader)
            and (bool(verdicts) or not all(parts.access.public(change.path) for change in changes)),
            holds=(change.path for change in changes if change.after is not None),
            names=(*(change.path for change in changes), *(path for item in verdicts for path, _ in item.current)),
            chunks=chunks, voided=row.voided, verdicts=[item.id for item in verdicts],
        )  # fmt: skip
        views.show(
            parts.db, reader, ((item.path, item.after, item.executable) for item in changes if item.after is not None)
        )
        views.unshow(parts.db, reader, (item.path for item in changes if item.after is None))
        messages.told(parts.db, reader, (item.id for item in verdicts))
        row.next_seq += 1
        row.previous = Digest.of(payload)
        row.last_made_at = made_at
        row.voided = ()
        row.completed = row.completed or completes
