"""What every transport must do. A transport's test module subclasses `MailboxSuite` and provides the fixture `storage`.

`OWNER` has a datasite, `SCIENTIST` is the peer who opened boxes for it, `STRANGER` has opened boxes that nobody asked
for. Each mailbox that `storage.open` returns is a new one, as after a restart, on the same storage.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Protocol

import pytest

from syftd.errors import Exists, Gone, Permanent, Refused, Transient
from syftd.names import Digest, Email
from syftd.seams import sleep_until
from syftd.transport.layout import PROFILE_NAME
from syftd.transport.mailbox import Mailbox, Ref, blobs, inbox, outbox, profile

OWNER = Email("owner@example.org")
SCIENTIST = Email("scientist@lab.example.org")
STRANGER = Email("stranger@elsewhere.example.org")

PROPOSALS = inbox(OWNER, SCIENTIST)
EVENTS = outbox(OWNER, SCIENTIST)
CIRCLE = frozenset({OWNER, SCIENTIST})
MESSAGE = "msgv2_1795309352.0454535_3f0c8a52-8d1e-4c9d-9a52-0c3a3f7c9d10.tar.gz"


class Storage(Protocol):
    """The service under test, as the people who use it reach it."""

    def open(self, me: Email) -> Mailbox:
        """A new mailbox of `me`, trusted with private content."""

    def open_untrusted(self, me: Email) -> Mailbox:
        """A new mailbox of `me` that must not carry private content."""

    def break_off(self, mailbox: Mailbox, put: Callable[[], object]) -> None:
        """Runs `put` on `mailbox` so that it breaks off before the object is whole, as a crash would."""

    def lose_reply(self, mailbox: Mailbox, put: Callable[[], object]) -> None:
        """Runs `put` on `mailbox` so that it works but the caller learns nothing of it."""

    def lock(self, mailbox: Mailbox, party: Email) -> None:
        """Makes the boxes that `party` has opened unreadable to `mailbox`."""


class MailboxSuite:
    """The conformance tests. Names are sentences about any mailbox."""

    @pytest.fixture
    def storage(self) -> Storage:
        raise NotImplementedError("a transport's suite provides its storage")

    @pytest.fixture
    def owner(self, storage: Storage) -> Iterator[Mailbox]:
        mailbox = storage.open(OWNER)
        yield mailbox
        mailbox.close()

    @pytest.fixture
    def scientist(self, storage: Storage) -> Iterator[Mailbox]:
        mailbox = storage.open(SCIENTIST)
        mailbox.share(PROPOSALS)
        mailbox.share(EVENTS)
        yield mailbox
        mailbox.close()

    @pytest.fixture
    def stranger(self, storage: Storage) -> Iterator[Mailbox]:
        mailbox = storage.open(STRANGER)
        yield mailbox
        mailbox.close()

    # -- what is put arrives ----------------------------------------------------------------------------------------

    @pytest.mark.parametrize("size", [0, 1, 256 * 1024 - 1, 256 * 1024, 256 * 1024 + 1, 16 * 1024 * 1024])
    def test_every_size_arrives_whole(self, owner: Mailbox, scientist: Mailbox, size: int) -> None:
        content = (bytes(range(251)) * (size // 251 + 1))[:size]
        scientist.put(PROPOSALS, MESSAGE, content, private=True)
        (ref,) = refs(owner)
        assert (ref.box, ref.name) == (PROPOSALS, MESSAGE)
        assert ref.size in (size, -1)
        assert owner.get(ref) == content

    def test_both_parties_write_into_the_peers_boxes(self, owner: Mailbox, scientist: Mailbox) -> None:
        owner.put(EVENTS, "from-owner", b"event", private=True)
        scientist.put(PROPOSALS, "from-scientist", b"proposal", private=True)
        for mailbox in (owner, scientist):
            assert {(ref.box, ref.name) for ref in refs(mailbox)} == {
                (EVENTS, "from-owner"),
                (PROPOSALS, "from-scientist"),
            }
            assert all(ref.transport == mailbox.name for ref in refs(mailbox))

    def test_a_memoryview_is_as_good_as_bytes(self, owner: Mailbox, scientist: Mailbox) -> None:
        buffer = bytearray(b"--content--")
        scientist.put(PROPOSALS, MESSAGE, memoryview(buffer)[2:-2], private=True)
        buffer[:] = b"overwritten"
        assert owner.get(refs(owner)[0]) == b"content"

    def test_a_range_is_that_part_of_the_whole(self, owner: Mailbox, scientist: Mailbox) -> None:
        content = bytes(range(200))
        scientist.put(PROPOSALS, MESSAGE, content, private=True)
        (ref,) = refs(owner)
        assert owner.get(ref, 10, 20) == content[10:30]
        assert owner.get(ref, 190) == content[190:]
        assert owner.get(ref, 190, 100) == content[190:]
        assert owner.get(ref, 0, 0) == b""
        assert owner.get(ref, 500, 5) == b""
        with pytest.raises(Permanent):
            owner.get(ref, -1)

    def test_long_and_unusual_names_are_kept(self, owner: Mailbox, scientist: Mailbox) -> None:
        names = {"a" * 200, "x#y@z+w=v-1.2_3", "0", "UPPER.lower"}
        for name in names:
            scientist.put(PROPOSALS, name, name.encode(), private=True)
        assert {ref.name for ref in refs(owner)} == names
        assert all(owner.get(ref) == ref.name.encode() for ref in refs(owner))

    @pytest.mark.parametrize(
        "name", ["", ".", "..", ".hidden", "a/b", "../up", "a\0b", "a\nb", "a b", "é", "-rf", "a" * 201]
    )
    def test_names_that_could_do_harm_are_refused(self, scientist: Mailbox, name: str) -> None:
        with pytest.raises(Permanent):
            scientist.put(PROPOSALS, name, b"", private=True)
        with pytest.raises(Permanent):
            scientist.get(Ref(PROPOSALS, name, -1, scientist.name))
        with pytest.raises(Permanent):
            scientist.remove(Ref(PROPOSALS, name, -1, scientist.name))

    def test_more_than_the_largest_object_is_refused(self, scientist: Mailbox) -> None:
        with pytest.raises(Permanent):
            scientist.put(PROPOSALS, MESSAGE, bytes(scientist.capabilities.max_object + 1), private=True)
        assert refs(scientist) == []

    # -- once -------------------------------------------------------------------------------------------------------

    def test_the_same_put_again_is_success_and_one_object(self, owner: Mailbox, scientist: Mailbox) -> None:
        first = scientist.put(PROPOSALS, MESSAGE, b"same", private=True)
        second = scientist.put(PROPOSALS, MESSAGE, b"same", private=True)
        assert (first.box, first.name) == (second.box, second.name)
        assert len(refs(owner)) == 1

    def test_other_bytes_under_a_taken_name_are_refused_and_change_nothing(
        self, owner: Mailbox, scientist: Mailbox
    ) -> None:
        scientist.put(PROPOSALS, MESSAGE, b"first", private=True)
        for other in (b"other", b"", b"first, longer"):
            with pytest.raises(Exists):
                scientist.put(PROPOSALS, MESSAGE, other, private=True)
        assert owner.get(refs(owner)[0]) == b"first"

    def test_of_racing_puts_exactly_one_wins(self, storage: Storage, owner: Mailbox, scientist: Mailbox) -> None:
        racers = 8
        for turn in range(6):
            name, start = f"race-{turn}", threading.Barrier(racers)

            def race(number: int, name: str = name, start: threading.Barrier = start) -> bool:
                mailbox = storage.open(SCIENTIST)
                start.wait(timeout=30)
                try:
                    mailbox.put(PROPOSALS, name, b"%d" % number * 5000, private=True)
                except Exists:
                    return False
                finally:
                    mailbox.close()
                return True

            with ThreadPoolExecutor(racers) as pool:
                won = list(pool.map(race, range(racers)))
            assert won.count(True) == 1
            assert owner.get(Ref(PROPOSALS, name, -1, owner.name)) == b"%d" % won.index(True) * 5000

    def test_of_racing_equal_puts_all_succeed_and_one_object_is_there(
        self, storage: Storage, owner: Mailbox, scientist: Mailbox
    ) -> None:
        start = threading.Barrier(6)

        def race(_: int) -> Ref:
            start.wait(timeout=30)
            return scientist.put(PROPOSALS, MESSAGE, b"equal" * 1000, private=True)

        with ThreadPoolExecutor(6) as pool:
            assert {ref.name for ref in pool.map(race, range(6))} == {MESSAGE}
        assert [ref.name for ref in refs(owner)] == [MESSAGE]

    def test_a_retry_after_a_lost_reply_makes_no_second_object(
        self, storage: Storage, owner: Mailbox, scientist: Mailbox
    ) -> None:
        storage.lose_reply(scientist, lambda: scientist.put(PROPOSALS, MESSAGE, b"once", private=True))
        assert [ref.name for ref in refs(owner)] == [MESSAGE]
        storage.open(SCIENTIST).put(PROPOSALS, MESSAGE, b"once", private=True)
        assert [ref.name for ref in refs(owner)] == [MESSAGE]

    def test_a_put_that_broke_off_leaves_nothing_to_see_and_can_be_repeated(
        self, storage: Storage, owner: Mailbox, scientist: Mailbox
    ) -> None:
        content = b"whole" * 100_000
        storage.break_off(scientist, lambda: scientist.put(PROPOSALS, MESSAGE, content, private=True))
        assert refs(owner) == []
        with pytest.raises(Gone):
            owner.get(Ref(PROPOSALS, MESSAGE, -1, owner.name))
        storage.open(SCIENTIST).put(PROPOSALS, MESSAGE, content, private=True)
        assert owner.get(refs(owner)[0]) == content

    def test_whoever_sees_a_name_reads_whole_bytes(self, owner: Mailbox, scientist: Mailbox) -> None:
        content = b"0123456789abcdef" * 20_000

        def send() -> None:
            for number in range(25):
                scientist.put(PROPOSALS, f"m{number}", content, private=True)

        sender = threading.Thread(target=send)
        sender.start()
        seen: set[str] = set()

        def look() -> bool:
            for ref in refs(owner):
                if ref.name not in seen:
                    assert owner.get(ref) == content
                    seen.add(ref.name)
            return len(seen) == 25

        assert sleep_until(look, timeout=60, every=0.001)
        sender.join()

    # -- listing ----------------------------------------------------------------------------------------------------

    def test_listing_misses_nothing_under_concurrent_puts(
        self, storage: Storage, owner: Mailbox, scientist: Mailbox
    ) -> None:
        expected = {f"w{writer}-{number}" for writer in range(4) for number in range(30)}

        def write(writer: int) -> None:
            mailbox = storage.open(SCIENTIST)
            for number in range(30):
                mailbox.put(PROPOSALS, f"w{writer}-{number}", b"x", private=True)
            mailbox.close()

        seen: set[str] = set()
        cursor = ""
        with ThreadPoolExecutor(4) as pool:
            writing = [pool.submit(write, writer) for writer in range(4)]
            while not all(future.done() for future in writing):
                listing = owner.list(cursor, CIRCLE)
                cursor = listing.cursor
                seen.update(ref.name for ref in listing.refs)
            for future in writing:
                future.result()

        def caught_up() -> bool:
            nonlocal cursor
            listing = owner.list(cursor, CIRCLE)
            cursor = listing.cursor
            seen.update(ref.name for ref in listing.refs)
            return seen == expected

        assert sleep_until(caught_up, timeout=30)

    def test_a_cursor_survives_a_restart(self, storage: Storage, owner: Mailbox, scientist: Mailbox) -> None:
        scientist.put(PROPOSALS, "before", b"", private=True)
        cursor = owner.list("", CIRCLE).cursor
        scientist.put(PROPOSALS, "after", b"", private=True)
        names = {ref.name for ref in storage.open(OWNER).list(cursor, CIRCLE).refs}
        assert "after" in names

    def test_what_waited_from_before_somebody_became_a_peer_is_found(self, owner: Mailbox, scientist: Mailbox) -> None:
        scientist.put(PROPOSALS, "early", b"", private=True)
        cursor = owner.list("", frozenset()).cursor
        assert "early" in {ref.name for ref in owner.list(cursor, CIRCLE).refs}

    def test_a_complete_listing_without_an_object_means_that_it_is_gone(
        self, owner: Mailbox, scientist: Mailbox
    ) -> None:
        owner.share(profile(OWNER))
        ref = scientist.put(PROPOSALS, MESSAGE, b"", private=True)
        assert owner.list("", CIRCLE).complete
        owner.remove(ref)
        listing = owner.list("", CIRCLE)
        assert listing.complete
        assert listing.refs == ()

    def test_a_party_that_cannot_be_read_makes_nobody_else_incomplete(
        self, storage: Storage, owner: Mailbox, scientist: Mailbox, stranger: Mailbox
    ) -> None:
        owner.share(profile(OWNER))
        stranger.share(inbox(OWNER, STRANGER))
        scientist.put(PROPOSALS, MESSAGE, b"", private=True)
        storage.lock(owner, STRANGER)
        for circle in (CIRCLE, CIRCLE | {STRANGER}):
            listing = owner.list("", circle)
            assert [ref.name for ref in listing.refs] == [MESSAGE]
            assert listing.whole(SCIENTIST)
            assert not listing.whole(STRANGER)

    def test_blobs_and_profiles_are_not_listed(self, owner: Mailbox, scientist: Mailbox) -> None:
        store_profile_and_blob(scientist)
        assert refs(owner) == [] == refs(scientist)
        assert {opened.box for opened in owner.list("", CIRCLE).opened} == {PROPOSALS, EVENTS}

    # -- removal ----------------------------------------------------------------------------------------------------

    def test_removing_is_for_either_party_and_twice_is_success(self, owner: Mailbox, scientist: Mailbox) -> None:
        ref = scientist.put(PROPOSALS, MESSAGE, b"", private=True)
        owner.remove(ref)
        owner.remove(ref)
        scientist.remove(ref)
        assert refs(owner) == []
        with pytest.raises(Gone):
            owner.get(ref)

    def test_removing_from_a_box_that_is_not_there_is_success(self, owner: Mailbox) -> None:
        owner.remove(Ref(PROPOSALS, MESSAGE, -1, owner.name))

    # -- boxes ------------------------------------------------------------------------------------------------------

    def test_a_box_that_nobody_opened_is_gone(self, owner: Mailbox, scientist: Mailbox) -> None:
        with pytest.raises(Gone):
            owner.put(outbox(OWNER, STRANGER), MESSAGE, b"", private=True)
        with pytest.raises(Gone):
            owner.get(Ref(inbox(OWNER, STRANGER), MESSAGE, -1, owner.name))

    def test_sharing_again_keeps_what_is_in_the_box(self, storage: Storage, owner: Mailbox, scientist: Mailbox) -> None:
        scientist.put(PROPOSALS, MESSAGE, b"kept", private=True)
        born = births(owner)
        scientist.share(PROPOSALS)
        storage.open(SCIENTIST).share(PROPOSALS)
        assert owner.get(refs(owner)[0]) == b"kept"
        assert births(owner) == born

    def test_racing_shares_make_one_box(self, storage: Storage, owner: Mailbox, stranger: Mailbox) -> None:
        start = threading.Barrier(5)

        def race(_: int) -> None:
            start.wait(timeout=30)
            stranger.share(inbox(OWNER, STRANGER))

        with ThreadPoolExecutor(5) as pool:
            list(pool.map(race, range(5)))
        assert [opened.box for opened in owner.list("", CIRCLE).opened] == [inbox(OWNER, STRANGER)]

    def test_a_closed_box_is_gone_with_everything_in_it(self, owner: Mailbox, scientist: Mailbox) -> None:
        ref = scientist.put(PROPOSALS, MESSAGE, b"", private=True)
        scientist.unshare(PROPOSALS)
        scientist.unshare(PROPOSALS)
        assert refs(owner) == []
        assert {opened.box for opened in owner.list("", CIRCLE).opened} == {EVENTS}
        with pytest.raises(Gone):
            owner.get(ref)
        with pytest.raises(Gone):
            owner.put(PROPOSALS, MESSAGE, b"", private=True)

    def test_a_box_made_anew_is_empty_and_has_another_birth(self, owner: Mailbox, scientist: Mailbox) -> None:
        scientist.put(PROPOSALS, MESSAGE, b"", private=True)
        before = births(owner)
        assert births(owner) == before
        scientist.unshare(PROPOSALS)
        scientist.share(PROPOSALS)
        after = births(owner)
        assert after[PROPOSALS] != before[PROPOSALS]
        assert after[EVENTS] == before[EVENTS]
        assert refs(owner) == []

    def test_traffic_does_not_change_a_boxs_birth(self, owner: Mailbox, scientist: Mailbox) -> None:
        before = births(owner)
        owner.remove(scientist.put(PROPOSALS, MESSAGE, b"", private=True))
        assert births(owner) == before

    def test_a_strangers_box_is_reported_and_its_objects_are_not(
        self, owner: Mailbox, scientist: Mailbox, stranger: Mailbox
    ) -> None:
        stranger.share(inbox(OWNER, STRANGER))
        stranger.put(inbox(OWNER, STRANGER), "unasked", b"spam", private=True)
        listing = owner.list("", CIRCLE)
        assert inbox(OWNER, STRANGER) in {opened.box for opened in listing.opened}
        assert listing.refs == ()

    def test_boxes_between_others_are_nobodys_business(
        self, owner: Mailbox, scientist: Mailbox, stranger: Mailbox
    ) -> None:
        scientist.put(PROPOSALS, MESSAGE, b"between two", private=True)
        listing = stranger.list("", CIRCLE)
        assert listing.refs == () == listing.opened
        with pytest.raises(Permanent):
            stranger.get(Ref(PROPOSALS, MESSAGE, -1, stranger.name))
        with pytest.raises(Permanent):
            stranger.put(PROPOSALS, "forged", b"", private=True)
        with pytest.raises(Permanent):
            stranger.remove(Ref(PROPOSALS, MESSAGE, -1, stranger.name))

    def test_only_its_owner_opens_and_closes_a_box(self, owner: Mailbox, scientist: Mailbox) -> None:
        for box in (PROPOSALS, EVENTS, blobs(SCIENTIST), profile(SCIENTIST)):
            with pytest.raises(Permanent):
                owner.share(box)
            with pytest.raises(Permanent):
                owner.unshare(box)
        assert set(births(owner)) == {PROPOSALS, EVENTS}

    # -- blobs and profile ------------------------------------------------------------------------------------------

    def test_blobs_and_profile_are_written_by_their_owner_and_read_by_peers(
        self, owner: Mailbox, scientist: Mailbox
    ) -> None:
        digest = store_profile_and_blob(scientist)
        assert owner.get(Ref(blobs(SCIENTIST), digest, -1, owner.name), 1, 3) == b"lob"
        assert owner.get(Ref(profile(SCIENTIST), PROFILE_NAME, -1, owner.name)) == b"{}"
        with pytest.raises(Permanent):
            owner.put(blobs(SCIENTIST), Digest.of(b"x"), b"x", private=True)
        with pytest.raises(Permanent):
            owner.put(profile(SCIENTIST), PROFILE_NAME, b"x", private=False, replace=True)
        with pytest.raises(Permanent):
            owner.remove(Ref(blobs(SCIENTIST), digest, -1, owner.name))

    def test_a_blob_is_called_by_a_digest_only(self, scientist: Mailbox) -> None:
        scientist.share(blobs(SCIENTIST))
        for name in ("short", "A" * 64, "../" + "a" * 61):
            with pytest.raises(Permanent):
                scientist.put(blobs(SCIENTIST), name, b"", private=True)

    def test_a_blob_is_removed_and_its_box_closed(self, owner: Mailbox, scientist: Mailbox) -> None:
        digest = store_profile_and_blob(scientist)
        ref = Ref(blobs(SCIENTIST), digest, -1, scientist.name)
        scientist.remove(ref)
        scientist.remove(ref)
        with pytest.raises(Gone):
            owner.get(ref)
        scientist.put(blobs(SCIENTIST), digest, b"blob", private=True)
        scientist.unshare(blobs(SCIENTIST))
        with pytest.raises(Gone):
            owner.get(ref)
        with pytest.raises(Gone):
            scientist.put(blobs(SCIENTIST), digest, b"blob", private=True)

    def test_the_profile_alone_is_replaced(self, owner: Mailbox, scientist: Mailbox) -> None:
        store_profile_and_blob(scientist)
        scientist.put(profile(SCIENTIST), PROFILE_NAME, b'{"newer": 1}', private=False, replace=True)
        assert owner.get(Ref(profile(SCIENTIST), PROFILE_NAME, -1, owner.name)) == b'{"newer": 1}'
        with pytest.raises(Permanent):
            scientist.put(PROPOSALS, MESSAGE, b"", private=True, replace=True)

    def test_a_profile_that_is_not_there_is_gone(self, owner: Mailbox) -> None:
        with pytest.raises(Gone):
            owner.get(Ref(profile(STRANGER), PROFILE_NAME, -1, owner.name))

    # -- private content, waking, errors ----------------------------------------------------------------------------

    def test_private_content_stays_out_of_what_is_not_trusted(self, storage: Storage, scientist: Mailbox) -> None:
        untrusted = storage.open_untrusted(SCIENTIST)
        assert not untrusted.capabilities.carries_private
        with pytest.raises(Refused) as refused:
            untrusted.put(PROPOSALS, MESSAGE, b"secret", private=True)
        assert refused.value.remedy
        assert refs(scientist) == []
        untrusted.put(PROPOSALS, MESSAGE, b"public", private=False)
        assert len(refs(scientist)) == 1
        untrusted.close()

    def test_a_watch_wakes_for_a_new_box_and_a_new_object(self, storage: Storage, owner: Mailbox) -> None:
        woken = threading.Event()
        watch = owner.watch(woken.set)
        if not owner.capabilities.push:
            assert watch is None
            return
        assert watch is not None
        other = storage.open(SCIENTIST)
        for happening in (
            lambda: other.share(PROPOSALS),
            lambda: other.put(PROPOSALS, MESSAGE, b"x", private=True),
            lambda: other.put(PROPOSALS, "second", b"x", private=True),
        ):
            woken.clear()
            happening()
            assert woken.wait(timeout=10)
        watch.close()
        watch.close()
        other.close()

    def test_every_error_says_something(self, owner: Mailbox, scientist: Mailbox) -> None:
        with pytest.raises(Gone) as gone:
            owner.put(outbox(OWNER, STRANGER), MESSAGE, b"", private=True)
        assert STRANGER in str(gone.value)
        assert not isinstance(gone.value, Transient)


def refs(mailbox: Mailbox) -> list[Ref]:
    """Everything between the owner and the scientist, in the order of names."""
    return sorted(mailbox.list("", CIRCLE).refs, key=lambda ref: ref.name)


def births(mailbox: Mailbox) -> dict[object, str]:
    """The birth marks of the boxes that others opened to this mailbox's person."""
    return {opened.box: opened.born for opened in mailbox.list("", CIRCLE).opened}


def store_profile_and_blob(mailbox: Mailbox) -> Digest:
    """Opens both of the person's own boxes with one object in each; returns the blob's digest."""
    digest = Digest.of(b"blob")
    mailbox.share(blobs(mailbox.me))
    mailbox.share(profile(mailbox.me))
    mailbox.put(blobs(mailbox.me), digest, b"blob", private=True)
    mailbox.admit(blobs(mailbox.me), (digest,), OWNER)
    mailbox.put(profile(mailbox.me), PROFILE_NAME, b"{}", private=False, replace=True)
    return digest
