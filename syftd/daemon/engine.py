"""The engine: all rooms of one datasite, and what each kind of work does to them. Runs on the control thread alone."""

from __future__ import annotations

from collections.abc import Callable

from syftd.errors import AuthNeeded, DiskFull, ItemError, RootMissing, TransportError
from syftd.log import logger
from syftd.names import PERMISSION_FILE, Digest, Email, RelPath
from syftd.peers.pair import Pairing, job_rules_due
from syftd.rules.ruleset import Rule, Ruleset, render
from syftd.state import events, files, messages, outbox, problems, streams
from syftd.sync.apply import Apply
from syftd.sync.copies import Copies
from syftd.sync.decide import Decide
from syftd.sync.fetch import Fetch
from syftd.sync.follow import Follow, ask_again
from syftd.sync.inbox import Inbox
from syftd.sync.look import Look
from syftd.sync.mirror import Mirror
from syftd.sync.outbox import Outbox
from syftd.sync.own import OwnTree
from syftd.sync.parts import Parts
from syftd.sync.propose import Propose
from syftd.sync.publish import Publish
from syftd.sync.upload import Upload
from syftd.sync.verdicts import Verdicts
from syftd.sync.versions import Versions
from syftd.sync.work import (
    ChunkDown,
    ChunkUp,
    Copied,
    Failed,
    Found,
    Letter,
    Letters,
    Listed,
    ProfileRead,
    Removed,
    Sent,
    WholeDown,
)
from syftd.tree.scanner import Findings
from syftd.tree.settle import Settle

_log = logger("engine")
_DAY = 86400.0
_PASSING = ("not-taken", "put-back", "quarantine", "error", "failed", "bad-content", "disk-full", "cannot-write", "job-not-run")
"""Kinds of problems that tell of an event rather than of a state; after a day they are history (`syftd log`)."""
_MESSAGE_DAYS = 90 * 86400.0


class Engine:
    """One datasite at work. `changed(site, paths)` is told what is different in a datasite, after the commit."""

    def __init__(self, parts: Parts, settle: Settle, versions: Versions) -> None:
        self.parts = parts
        self.settle = settle
        self.versions = versions
        self.upload = Upload(parts)
        parts.proving = self.upload.proving
        self.fetch = Fetch(parts)
        self.publish = Publish(parts, self.upload)
        self.own = OwnTree(parts, self.publish, versions)
        self.outbox = Outbox(parts, self.upload)
        self.inbox = Inbox(parts)

        def asks(owner: Email, paths: list[RelPath]) -> None:
            ask_again(parts, owner, paths)

        self.mirror = Mirror(parts, self.fetch, asks)
        self.propose = Propose(parts, self.upload, asks)
        self.follow = Follow(parts, self.inbox, self.mirror, self.propose)
        verdicts = Verdicts(parts, self.inbox, self.publish)
        self.copies = Copies(parts, self.fetch)
        self.apply = Apply(parts, self.inbox, self.own, self.publish, self.copies, verdicts, versions)
        self.decide = Decide(parts, self.inbox, self.publish, self.copies, self.apply, verdicts)
        self.look = Look(parts, settle, self._taken)
        self.pairing = Pairing(parts)
        self.changed: Callable[[Email, list[RelPath]], None] = lambda site, paths: None
        self.paused = False
        self.applying = True
        """False in safe mode: nothing from peers is applied and nothing is sent."""
        self.mirror.edited = self.propose.edited
        self.mirror.placed = self._placed
        self.mirror.changed = lambda owner, paths: self.changed(owner, paths)
        self.follow.standing = self.pairing.standing
        self.inbox.unread = self.follow.ask_anew
        self.pairing.accepted = self._accepted
        self.look.mirror_gone = self.mirror.ensure_root
        self.look.mirror_walked = self.mirror.walked
        self.look.own_walk_begins = self.own.walk_begins
        self.look.own_walked = self.own.walked
        self.look.own_troubled = lambda: self.own.troubled
        self.pairing.ended = self._ended
        self.pairing.renewed = self.publish.restart
        self.publish.taken_back = self.outbox.recall
        self.outbox.may_go = self.publish.may_go

    # -- life ------------------------------------------------------------------------------------------------------

    def start(self) -> None:
        """Recovers what a crash left half done, then takes up work. Rules are in force before anything is decided."""
        self.own.load_rules()
        if not self.applying:
            return
        self._recover()
        self.publish.start()
        self.pairing.start()
        self.mirror.start()
        self.fetch_held()
        self.look.everything()
        self.inbox.poll()
        self.pump()

    def _recover(self) -> None:
        """Finishes what was accepted and could not be carried out to its end."""
        changed = self.apply.recover()
        if changed:
            self.changed(self.parts.me, changed)

    def fetch_held(self) -> None:
        """Takes up the downloads that held proposals wait for."""
        changed = self.decide.resume()
        if changed:
            self.changed(self.parts.me, changed)

    def pump(self, peer: Email | None = None) -> None:
        """Lets out what may go out, to one peer or to everybody."""
        if not self.paused and self.applying:
            self.outbox.pump(peer)

    # -- work ------------------------------------------------------------------------------------------------------

    def handle(self, work: object) -> bool:
        """Does one piece of work from the queue; False when it is none of the engine's."""
        match work:
            case Found():
                self.look.found(work)
            case Listed():
                self._listed(work)
            case Letters():
                self._letters(work)
            case Sent():
                self.outbox.sent(work)
                self.pump(work.peer)
                return True
            case ChunkUp():
                self._chunk_up(work)
            case ChunkDown():
                self.fetch.chunk_down(work)
            case WholeDown():
                self._whole_down(work)
            case Copied():
                self._copied(work)
            case ProfileRead():
                self.pairing.profile_read(work)
            case Removed():
                self.outbox.removed(work)
            case Failed():
                self._failed(work)
            case _:
                return False
        self.pump()
        return True

    def hint(self, path: str, quick: bool, gone: bool) -> None:
        """The watcher says that a path, relative to the folder of all datasites, stirred."""
        self.settle.touch(path, quick, gone)

    def due(self) -> None:
        """Looks at what has settled; called when `settle.next_due` has come."""
        self.look.due()
        if self.propose.restless:
            self.propose.tick()
        self.pump()

    def poll(self) -> None:
        """Asks the transports, tries again what could not be told, fetched or proposed."""
        if self.paused or not self.applying:
            return
        self.inbox.poll()
        self._recover()
        self.look.retry()
        self.publish.retry_later()
        with self.parts.db.commit():
            self.publish.build_all()
        self._want_again()
        self._release_unwanted()
        self.fetch.pump()
        self.mirror.retry()
        self.mirror.retry_removals()
        self.outbox.collect_chunks(grace=False)
        self.propose.tick()
        self.follow.heal()
        self.pairing.refresh()
        self.pump()

    def _release_unwanted(self) -> None:
        """Messages stay on the transport until their large content is here. Content that came into place just before a
        crash, or that its owner has replaced meanwhile, holds none of them back; unread ones would fill the window."""
        parts = self.parts
        owed = messages.owed_digests(parts.db, "outbox")
        if not owed:
            return
        needed = {told.sha256 for _, told in streams.wanted(parts.db)}
        held = set(messages.owed_digests(parts.db, "inbox"))
        for digest in owed:
            if digest not in needed and digest not in held:
                self.fetch.drop(digest)
                self.inbox.acknowledge(messages.arrived(parts.db, digest))

    def _want_again(self) -> None:
        """Large content that is told and neither here nor on its way: there was no room for it, or its download ended."""
        wanted: dict[Email, list[RelPath]] = {}
        for owner, told in streams.wanted(self.parts.db):
            if not self.fetch.knows(told.sha256, owner):
                wanted.setdefault(owner, []).append(told.path)
        for owner, paths in wanted.items():
            self.mirror.settle(owner, paths, {})
        self.fetch_held()

    def tidy(self, trash_seconds: float, trash_bytes: int) -> None:
        """Housekeeping: trash, unused chunks, old verdicts, content nobody waits for."""
        parts = self.parts
        self.outbox.collect_chunks()
        with parts.db.commit():
            messages.forget_before(parts.db, parts.clock.now() - _MESSAGE_DAYS)
            messages.drop_unused_content(parts.db)
            problems.expire(parts.db, _PASSING, parts.clock.now() - _DAY)
            problems.forget_trash_before(parts.db, parts.clock.now() - trash_seconds)
            events.trim(parts.db, parts.clock.now() - _MESSAGE_DAYS)
            outbox.drop_unused_cuts(parts.db)
        parts.disk.sweep(
            keep=self.fetch.staged_names() | self.copies.staged_names(),
            stage_age=86400.0, trash_age=trash_seconds, trash_bytes=trash_bytes
        )

    # -- what comes back -------------------------------------------------------------------------------------------

    def _taken(self, site: Email, findings: Findings, final: bool) -> None:
        if site == self.parts.me:
            changed = self.own.take(findings, final=final)
            if changed:
                self.changed(site, changed)
            if any(path.is_permission_file for path in changed):
                self.inbox.poll()  # Proposals wait at the transport while the rules above them are being edited.
        elif self.applying:
            self.mirror.found(site, findings)
            if self.propose.restless:
                self.propose.tick()
        self.pump()

    def _listed(self, work: Listed) -> None:
        try:
            self._answered(work)
        finally:
            self.inbox.listed(work)

    def _answered(self, work: Listed) -> None:
        for transport, listing in work.listings.items():
            self.pairing.listed(transport, listing)
            opened = self.outbox.acknowledged(transport, listing, work.started)
            for peer in opened:
                self.publish.build(peer)

    def _letters(self, work: Letters) -> None:
        parts = self.parts
        try:
            for letter in work.letters:
                self._item(letter, lambda letter=letter: self._letter(letter))  # type: ignore[misc]
            if work.letters:
                self._item(work.letters[0], lambda: self.follow.take_kept(work.sender))
        finally:
            self.inbox.turn_ended(work)
        for sender in messages.with_untold(parts.db):
            self.publish.build(sender)

    def _letter(self, letter: Letter) -> None:
        if isinstance(letter.error, TransportError):
            self.inbox.retry(letter)
        elif letter.error is not None and not self.inbox.is_item_error(letter.error):
            self.inbox.stumbled(letter, letter.error)
        elif letter.error is not None:
            self.inbox.quarantine(letter, letter.error)
        elif letter.ref.box.kind == "inbox":
            self._proposal(letter)
        else:
            self.follow.take(letter)

    def _proposal(self, letter: Letter) -> None:
        changed = self.decide.take(letter)
        if changed:
            self.changed(self.parts.me, changed)

    def _item(self, letter: Letter, work: Callable[[], None]) -> None:
        """One bad message never stops another: what it breaks is shown, and it is set aside."""
        try:
            work()
        except DiskFull as error:
            self.parts.problem(
                "disk-full", self.parts.me, str(error), error.remedy or "Free some space; syftd continues."
            )
            self.inbox.retry(letter)
        except RootMissing as error:
            self.look.root_missing(error)
            self.inbox.retry(letter)
        except ItemError as error:
            self.inbox.quarantine(letter, error)
        except Exception as error:  # noqa: BLE001 - a bug that one message uncovers must not stop the others.
            _log.exception("a message could not be handled", name=letter.ref.name, sender=letter.sender)
            self.inbox.stumbled(letter, error)

    def _chunk_up(self, work: ChunkUp) -> None:
        ready = self.upload.took(work)
        own = [path for site, path in ready if site == self.parts.me]
        if own:
            with self.parts.db.commit():
                self.publish.dirty(own)
                self.publish.build_all()
        if len(own) != len(ready):
            self.propose.tick()

    def _whole_down(self, work: WholeDown) -> None:
        if not self.fetch.whole_down(work):
            return
        self.mirror.content_ready(work.sha256)
        self.fetch_held()
        self.fetch.pump()

    def _copied(self, work: Copied) -> None:
        self.copies.copied(work)
        if work.error is not None:
            self._failed(Failed("copying a large file", work.error))
        self.fetch_held()

    def _placed(self, digests: list[Digest]) -> None:
        """Content is in its place: the messages that brought it can go from the transport."""
        parts = self.parts
        owed = set(messages.owed_digests(parts.db))
        for digest in digests:
            if digest in owed and not streams.is_wanted(parts.db, digest):
                self.inbox.acknowledge(messages.arrived(parts.db, digest))

    def _accepted(self, peer: Email) -> None:
        parts = self.parts
        self.mirror.ensure_root(peer)
        if self.mirror.earlier.pending(peer):
            self.look.site(peer)
        # Only a person's word brings these rights: whoever takes a file away afterwards has taken the right away.
        if parts.db.meta(job_rules_due(peer)):
            for path, text in job_rules(peer).items():
                if parts.disk.kind(parts.me, path) is None:
                    parts.disk.write_own(parts.me, path, text.encode())
                    self.settle.touch(f"{parts.me}/{path}", True)
            # That it was done is only remembered when it lasts: a lost file would be taken for a right taken away.
            parts.disk.sync()
            with parts.db.commit():
                parts.db.set_meta(job_rules_due(peer), "")
        self.publish.add_reader(peer)
        with parts.db.commit():
            self.publish.build(peer)

    def _ended(self, peer: Email) -> None:
        self.publish.drop_reader(peer)
        self.fetch.forget(peer)
        self.mirror.earlier.ended(peer)

    def _failed(self, work: Failed) -> None:
        if isinstance(work.error, AuthNeeded):
            return  # The transport itself says so with the next poll, once for everybody.
        remedy = getattr(work.error, "remedy", "")
        self.parts.problem("failed", work.what, f"{work.what} failed: {work.error}", remedy or "syftd tries again.")

    # -- plans -----------------------------------------------------------------------------------------------------

    def confirm(self, halt: problems.Halt) -> None:
        """A person said that the halted plan is meant."""
        parts = self.parts
        if halt.kind == "own":
            self.own.confirm(halt)
        else:
            with parts.db.commit():
                problems.drop_halt(parts.db, halt.id)
                parts.solved("halted", halt.site)
                parts.note("confirmed", halt.id, files=len(halt.paths))
            self.mirror.settle(halt.site, [RelPath(path) for path in halt.paths], {})
        self.pump()

    def reject(self, halt: problems.Halt) -> dict[str, object]:
        """A person said that the halted plan is not meant: own files are brought back as far as their contents are kept;
        a peer's files simply stay here."""
        parts = self.parts
        if halt.kind != "own":
            with parts.db.commit():
                problems.keep(parts.db, halt)
                parts.solved("halted", halt.site)
                parts.note("rejected", halt.id, files=len(halt.paths))
            return {"kept": len(halt.paths)}
        parts.disk.ensure_marker(parts.me, parts.db.meta("datasite_id") or "")
        missing: list[str] = []
        restored = 0
        for path in halt.paths:
            row = files.get(parts.db, parts.me, path)
            if row is None or parts.disk.stat(parts.me, path) is not None:
                continue
            content = self.versions.get(row.sha256)
            if content is None:
                missing.append(path)
                continue
            parts.disk.write_own(parts.me, row.spelling, content, executable=row.executable)
            self.settle.touch(f"{parts.me}/{path}", True)
            restored += 1
        with parts.db.commit():
            problems.drop_halt(parts.db, halt.id)
            parts.solved("halted", parts.me)
            parts.note("rejected", halt.id, restored=restored, missing=missing[:50])
        if missing:
            self.own.halt("own", "their contents are not kept here, so only you can bring them back", missing)
        return {"restored": restored, "missing": missing}


def job_rules(peer: Email) -> dict[str, str]:
    """The permission files that let an accepted peer send jobs and read what is released of them (WIRE 3.1, 6)."""
    return {
        f"app_data/job/inbox/{peer}/{PERMISSION_FILE}": render(Ruleset((Rule("**", write=(str(peer),)),))),
        f"app_data/job/review/{peer}/{PERMISSION_FILE}": render(Ruleset((Rule("**", read=(str(peer),)),))),
    }
