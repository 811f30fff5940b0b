"""The memory transport in the conformance suite, and the faults that the simulator asks of it."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from syftd.errors import Transient
from syftd.names import Email
from syftd.transport.mailbox import Box, Listing, Mailbox, inbox
from syftd.transport.memory import MemoryHub, MemoryMailbox
from tests.mailbox.suite import CIRCLE, MESSAGE, OWNER, PROPOSALS, SCIENTIST, STRANGER, MailboxSuite


class MemoryStorage:
    def __init__(self) -> None:
        self.hub = MemoryHub()

    def open(self, me: Email) -> MemoryMailbox:
        return MemoryMailbox(self.hub, me)

    def open_untrusted(self, me: Email) -> MemoryMailbox:
        return MemoryMailbox(self.hub, me, carries_private=False)

    def break_off(self, mailbox: Mailbox, put: Callable[[], object]) -> None:
        self._fault(mailbox, put, "put")

    def lose_reply(self, mailbox: Mailbox, put: Callable[[], object]) -> None:
        self._fault(mailbox, put, "put.reply")

    def lock(self, mailbox: Mailbox, party: Email) -> None:
        assert isinstance(mailbox, MemoryMailbox)
        mailbox.unreadable = frozenset({party})

    def _fault(self, mailbox: Mailbox, put: Callable[[], object], at: str) -> None:
        assert isinstance(mailbox, MemoryMailbox)

        def fault(verb: str, box: Box | None, name: str) -> None:
            if verb == at:
                raise Transient("the line went dead")

        mailbox.fault = fault
        with pytest.raises(Transient):
            put()
        mailbox.fault = None


class TestMemory(MailboxSuite):
    @pytest.fixture
    def storage(self) -> MemoryStorage:
        return MemoryStorage()


class TestMemoryWithoutCursor(MailboxSuite):
    @pytest.fixture
    def storage(self) -> MemoryStorage:
        storage = MemoryStorage()
        storage.open = lambda me: MemoryMailbox(storage.hub, me, cursor=False, push=False)  # type: ignore[method-assign]
        return storage


class TestLaggingMemory(MailboxSuite):
    """A service whose listings are late by a turn, seen by somebody who asks twice: still nothing may be missed."""

    @pytest.fixture
    def storage(self) -> MemoryStorage:
        storage = MemoryStorage()
        storage.open = lambda me: PatientMailbox(storage.hub, me)  # type: ignore[method-assign]
        return storage


class PatientMailbox(MemoryMailbox):
    def list(self, cursor: str, peers: frozenset[Email]) -> Listing:
        self.lag = 1
        super().list(cursor, peers)
        return super().list(cursor, peers)


def test_a_lagging_object_is_left_out_so_often_and_then_comes_although_the_cursor_moved_on() -> None:
    hub = MemoryHub()
    owner, scientist = MemoryMailbox(hub, OWNER), MemoryMailbox(hub, SCIENTIST)
    scientist.share(PROPOSALS)
    scientist.put(PROPOSALS, "old", b"", private=True)
    first = owner.list("", CIRCLE)
    owner.lag = 2
    scientist.put(PROPOSALS, "new", b"", private=True)
    cursor, seen = first.cursor, []
    for _ in range(4):
        listing = owner.list(cursor, CIRCLE)
        cursor = listing.cursor
        seen.append([ref.name for ref in listing.refs])
        assert not listing.whole(SCIENTIST)
    assert seen == [[], [], ["new"], []]
    assert owner.list("", CIRCLE).whole(SCIENTIST)


def test_what_lags_makes_only_its_party_incomplete() -> None:
    hub = MemoryHub()
    owner, scientist, stranger = (MemoryMailbox(hub, who) for who in (OWNER, SCIENTIST, STRANGER))
    scientist.share(PROPOSALS)
    stranger.share(inbox(OWNER, STRANGER))
    owner.lag = 1
    scientist.put(PROPOSALS, "new", b"", private=True)
    listing = owner.list("", CIRCLE | {STRANGER})
    assert listing.complete
    assert not listing.whole(SCIENTIST)
    assert listing.whole(STRANGER)


def test_listings_can_be_reordered_and_repeated() -> None:
    hub = MemoryHub()
    owner, scientist = MemoryMailbox(hub, OWNER), MemoryMailbox(hub, SCIENTIST)
    scientist.share(PROPOSALS)
    for name in ("a", "b"):
        scientist.put(PROPOSALS, name, b"", private=True)
    owner.arrange = lambda found: [*reversed(found), found[0]]
    assert [ref.name for ref in owner.list("", CIRCLE).refs] == ["b", "a", "a"]


def test_faults_see_every_verb_with_its_box_and_name() -> None:
    hub = MemoryHub()
    mailbox = MemoryMailbox(hub, SCIENTIST)
    met: list[tuple[str, Box | None, str]] = []
    mailbox.fault = lambda verb, box, name: met.append((verb, box, name))
    mailbox.share(PROPOSALS)
    ref = mailbox.put(PROPOSALS, MESSAGE, b"", private=True)
    mailbox.list("", CIRCLE)
    mailbox.get(ref)
    mailbox.remove(ref)
    mailbox.unshare(PROPOSALS)
    assert [verb for verb, _, _ in met if "." not in verb] == ["share", "put", "list", "get", "remove", "unshare"]
    assert ("put.reply", PROPOSALS, MESSAGE) in met
    assert hub.boxes() == ()
