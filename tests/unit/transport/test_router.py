"""The router over memory mailboxes with faults, a clock that stands still and chance that is chosen."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

import pytest

from syftd.errors import AuthNeeded, Exists, Gone, Permanent, Quota, Refused, Transient, TransportError
from syftd.names import Digest, Email
from syftd.transport.mailbox import Box, Listing, Ref, blobs, inbox, outbox, profile
from syftd.transport.memory import MemoryHub, MemoryMailbox
from syftd.transport.router import Router

ME = Email("me@example.org")
PEER = Email("peer@example.org")
OTHER = Email("other@example.org")
BOX = inbox(PEER, ME)


class StillClock:
    def __init__(self) -> None:
        self.time = 1000.0

    def now(self) -> float:
        return self.time + 1e9

    def monotonic(self) -> float:
        return self.time


class Chance:
    def __init__(self) -> None:
        self.value = 1.0

    def uniform(self, low: float, high: float) -> float:
        return low + self.value * (high - low)

    def uuid(self) -> str:
        raise AssertionError("the router names nothing")

    def token(self, size: int) -> str:
        raise AssertionError("the router names nothing")


class World:
    """Two services, a and b, that the router of `ME` uses; `calls` are the verbs that reached them."""

    def __init__(self) -> None:
        self.hubs = {"a": MemoryHub(), "b": MemoryHub()}
        self.mine = {name: MemoryMailbox(hub, ME, name) for name, hub in self.hubs.items()}
        self.clock = StillClock()
        self.orders: dict[Email, Sequence[str]] = {}
        self.errors: dict[str, dict[str, TransportError]] = {"a": {}, "b": {}}
        self.calls: list[str] = []
        for name, mailbox in self.mine.items():
            mailbox.share(BOX)
            mailbox.fault = lambda verb, box, text, name=name: self._fault(name, verb)
        self.router = self.again()

    def again(self) -> Router:
        """The router after a restart."""
        return Router(list(self.mine.values()), self.clock, Chance(), lambda peer: self.orders.get(peer, ("a", "b")))

    def _fault(self, name: str, verb: str) -> None:
        self.calls.append(f"{name}.{verb}")
        if verb in self.errors[name]:
            raise self.errors[name][verb]

    def put(self, name: str = "m", content: bytes = b"bytes", private: bool = True) -> str:
        return self.router.put(PEER, BOX, name, content, private=private)[0]

    def holders(self, name: str = "m") -> list[str]:
        return [service for service, hub in self.hubs.items() if name in hub.contents(BOX)]

    def states(self) -> dict[str, str]:
        return {health.name: health.state for health in self.router.health()}


@pytest.fixture
def world() -> World:
    return World()


# -- order and failing over -------------------------------------------------------------------------------------------


def test_the_owners_order_decides_per_peer(world: World) -> None:
    assert world.put("first") == "a"
    world.orders[PEER] = ("b", "unknown", "a", "b")
    assert world.router.transports(PEER) == ("b", "a")
    assert world.put("second") == "b"
    assert world.router.transports(OTHER) == ("a", "b")


@pytest.mark.parametrize(
    "error",
    [Transient("t"), Quota("q", after=9.0), AuthNeeded("l"), Refused("r"), Permanent("p"), Gone("g")],
    ids=lambda error: type(error).__name__,
)
def test_every_failure_but_a_taken_name_goes_on_to_the_next(world: World, error: TransportError) -> None:
    world.errors["a"]["put"] = error
    assert world.put() == "b"
    assert world.holders() == ["b"]


def test_a_taken_name_ends_the_attempt(world: World) -> None:
    world.mine["a"].put(BOX, "m", b"others", private=True)
    with pytest.raises(Exists):
        world.put()
    assert world.holders() == ["a"]


def test_when_all_fail_the_most_hopeful_error_is_raised(world: World) -> None:
    world.errors["a"]["put"] = Permanent("a is full of sand")
    world.errors["b"]["put"] = Transient("b is asleep", "Wake it.")
    with pytest.raises(Transient) as raised:
        world.put()
    assert "sand" in str(raised.value)
    assert raised.value.remedy == "Wake it."


def test_a_peer_without_transport_is_an_error_for_people(world: World) -> None:
    world.orders[PEER] = ()
    with pytest.raises(Permanent) as raised:
        world.put()
    assert PEER in str(raised.value)
    assert raised.value.remedy


def test_what_is_too_large_for_one_goes_by_another(world: World) -> None:
    world.mine["a"] = MemoryMailbox(world.hubs["a"], ME, "a", max_object=3)
    world.router = world.again()
    assert world.put() == "b"


def test_private_content_goes_only_where_it_may(world: World) -> None:
    world.mine["a"] = MemoryMailbox(world.hubs["a"], ME, "a", carries_private=False)
    world.router = world.again()
    assert world.put("secret") == "b"
    assert world.put("open", private=False) == "a"
    assert world.router.carries_private(PEER)
    world.orders[PEER] = ("a",)
    assert not world.router.carries_private(PEER)
    with pytest.raises(Refused):
        world.put("secret2")
    assert world.states()["a"] == "ok"


def test_a_bug_in_a_transport_comes_through_and_leaves_no_probe_behind(world: World) -> None:
    def bug(verb: str, box: Box | None, name: str) -> None:
        raise ZeroDivisionError

    world.mine["a"].fault, fault = bug, world.mine["a"].fault
    with pytest.raises(ZeroDivisionError):
        world.put()
    world.mine["a"].fault = fault
    assert world.put() == "a"


# -- never twice ------------------------------------------------------------------------------------------------------


def test_a_lost_reply_is_settled_on_the_same_transport_when_it_is_back(world: World) -> None:
    world.orders[PEER] = ("b", "a")
    world.errors["b"]["put.reply"] = Transient("line dead")
    world.errors["a"]["put"] = Transient("asleep")
    with pytest.raises(Transient):
        world.put()
    assert world.holders() == ["b"]
    world.errors = {"a": {}, "b": {}}
    world.orders[PEER] = ("a", "b")
    assert world.put() == "b"
    assert world.holders() == ["b"]


def test_what_one_transport_took_is_not_given_to_another(world: World) -> None:
    world.errors["a"]["put"] = Transient("asleep")
    assert world.put() == "b"
    world.errors["a"].clear()
    for _ in range(3):
        assert world.put() == "b"
    assert world.holders() == ["b"]
    assert world.put("next") == "a"


def test_a_transport_with_an_unknown_outcome_that_is_down_does_not_hold_the_object_up(world: World) -> None:
    world.errors["a"]["put.reply"] = Transient("line dead")
    world.errors["b"]["put"] = Permanent("sand in the gears")
    for _ in range(5):
        with pytest.raises(Transient):
            world.put()
    assert world.states()["a"] == "down"
    world.errors["b"].clear()
    assert world.put() == "b"
    # Both have it under one name now, and from here on every repetition goes where the answer came from.
    world.errors["a"].clear()
    world.clock.time += 400
    assert world.put() == "b"


def test_concurrent_puts_of_one_object_make_one_object(world: World) -> None:
    start = threading.Barrier(8)

    def race(_: int) -> str:
        start.wait(timeout=30)
        return world.put()

    with ThreadPoolExecutor(8) as pool:
        assert set(pool.map(race, range(8))) == {"a"}
    assert world.holders() == ["a"]


def test_the_memory_of_where_things_went_is_bounded(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("syftd.transport.router.REMEMBERED", 3)
    for number in range(6):
        world.put(f"m{number}")
    assert len(world.router._bound) == 3


# -- health -----------------------------------------------------------------------------------------------------------


def test_five_failures_open_the_circuit_and_a_probe_closes_it(world: World) -> None:
    world.errors["a"]["put"] = Transient("asleep", "Wake it.")
    for number in range(5):
        assert world.put(f"m{number}") == "b"
    world.calls.clear()
    assert world.put("m5") == "b"
    assert "a.put" not in world.calls
    (health, _) = world.router.health()
    assert (health.name, health.state, health.error, health.remedy) == ("a", "down", "asleep", "Wake it.")
    assert health.next_try == world.clock.now() + 1.0
    world.clock.time += 1.0
    assert world.put("m6") == "b"
    assert world.calls.count("a.put") == 1
    world.clock.time += 1.9
    assert world.put("m7") == "b"
    assert world.calls.count("a.put") == 1
    world.errors["a"].clear()
    world.clock.time += 0.1
    assert world.put("m8") == "a"
    assert world.states() == {"a": "ok", "b": "ok"}
    assert world.router.health()[0].next_try is None


def test_only_one_probe_goes_out(world: World) -> None:
    world.errors["a"]["put"] = Transient("asleep")
    for number in range(5):
        world.put(f"m{number}")
    world.clock.time += 1.0
    inside, release = threading.Event(), threading.Event()

    def slow(verb: str, box: Box | None, name: str) -> None:
        inside.set()
        assert release.wait(timeout=30)

    world.mine["a"].fault = slow
    with ThreadPoolExecutor(1) as pool:
        probe = pool.submit(world.put, "probe")
        assert inside.wait(timeout=30)
        assert world.put("meanwhile") == "b"
        release.set()
        assert probe.result(timeout=30) == "a"


def test_a_quota_is_honoured_and_told(world: World) -> None:
    world.orders[PEER] = ("a",)
    world.errors["a"]["put"] = Quota("slow down", after=90.0)
    with pytest.raises(Quota):
        world.put()
    world.errors["a"].clear()
    world.clock.time += 30
    with pytest.raises(Quota) as raised:
        world.put()
    assert raised.value.after == 60.0
    assert "slow down" in str(raised.value)
    world.clock.time += 60
    assert world.put() == "a"


def test_a_login_is_awaited_until_a_person_says_so(world: World) -> None:
    world.orders[PEER] = ("a",)
    world.errors["a"]["put"] = AuthNeeded("expired", "Run `syftd login`.")
    with pytest.raises(AuthNeeded):
        world.put()
    world.errors["a"].clear()
    with pytest.raises(AuthNeeded) as raised:
        world.put()
    assert raised.value.remedy == "Run `syftd login`."
    world.router.retry("a")
    assert world.put() == "a"


# -- the other verbs --------------------------------------------------------------------------------------------------


def test_one_transports_error_hides_nothing_of_the_others(world: World) -> None:
    world.put("on-a")
    world.mine["b"].put(BOX, "on-b", b"", private=True)
    world.errors["a"]["list"] = Transient("asleep")
    found = world.router.list(frozenset({PEER}), {})
    assert isinstance(found["a"], Transient)
    assert isinstance(found["b"], Listing)
    assert [ref.name for ref in found["b"].refs] == ["on-b"]


def test_each_transport_goes_on_from_its_own_cursor(world: World) -> None:
    world.put("one")
    first = world.router.list(frozenset({PEER}), {})
    cursors = {name: listing.cursor for name, listing in first.items() if isinstance(listing, Listing)}
    world.put("two")
    second = world.router.list(frozenset({PEER}), cursors)
    assert isinstance(second["a"], Listing)
    assert [ref.name for ref in second["a"].refs] == ["two"]


def test_a_transport_that_a_peer_does_not_use_brings_nothing_from_that_peer(world: World) -> None:
    theirs = MemoryMailbox(world.hubs["b"], PEER, "b")
    theirs.share(inbox(ME, PEER))
    theirs.put(inbox(ME, PEER), "by-the-back-door", b"", private=True)
    world.orders[PEER] = ("a",)
    found = world.router.list(frozenset({PEER}), {})["b"]
    assert isinstance(found, Listing)
    assert found.refs == ()
    assert [opened.box for opened in found.opened] == [inbox(ME, PEER)]


def test_bytes_come_from_whichever_transport_has_them(world: World) -> None:
    world.mine["b"].put(BOX, "m", b"from b", private=True)
    refs = world.router.refs(PEER, BOX, "m")
    assert [ref.transport for ref in refs] == ["a", "b"]
    assert world.router.get(refs, 5, 1) == b"b"
    world.errors["b"]["get"] = Transient("asleep")
    with pytest.raises(Transient):
        world.router.get(refs)
    with pytest.raises(Gone):
        world.router.get(refs[:1])
    with pytest.raises(Permanent):
        world.router.get([Ref(BOX, "m", -1, "removed")])


def test_removing_reports_what_failed_and_does_the_rest(world: World) -> None:
    for mailbox in world.mine.values():
        mailbox.put(BOX, "m", b"", private=True)
    world.errors["a"]["remove"] = Transient("asleep")
    assert set(world.router.remove(world.router.refs(PEER, BOX, "m"))) == {"a"}
    assert world.holders() == ["a"]
    world.errors["a"].clear()
    assert world.router.remove(world.router.refs(PEER, BOX, "m")) == {}
    assert world.holders() == []


def test_boxes_are_opened_and_closed_on_all_of_the_peers_transports(world: World) -> None:
    box = outbox(OTHER, ME)
    world.errors["a"]["share"] = Transient("asleep")
    assert set(world.router.share(OTHER, box)) == {"a"}
    assert box in world.hubs["b"].boxes()
    world.errors["a"].clear()
    assert world.router.share(OTHER, box) == {}
    assert all(box in hub.boxes() for hub in world.hubs.values())
    world.errors["b"]["unshare"] = Transient("asleep")
    assert set(world.router.unshare(OTHER, box)) == {"b"}
    assert box not in world.hubs["a"].boxes()


def test_after_a_box_was_closed_its_objects_are_new_again(world: World) -> None:
    world.errors["a"]["put"] = Transient("asleep")
    assert world.put() == "b"
    world.errors["a"].clear()
    world.router.unshare(PEER, BOX)
    world.router.share(PEER, BOX)
    assert world.put() == "a"


def test_profiles_are_written_everywhere_and_read_anywhere(world: World) -> None:
    assert world.router.publish_profile(ME, b"{1}") == {}
    assert world.router.publish_profile(ME, b"{2}") == {}
    assert all(hub.contents(profile(ME)) == {"SYFT_version.json": b"{2}"} for hub in world.hubs.values())
    with pytest.raises(Gone):
        world.router.profile(PEER)
    theirs = MemoryMailbox(world.hubs["b"], PEER, "b")
    theirs.share(profile(PEER))
    theirs.put(profile(PEER), "SYFT_version.json", b"{}", private=False)
    assert world.router.profile(PEER) == b"{}"


def test_a_blob_is_put_once_for_all_who_use_the_transport(world: World) -> None:
    digest = Digest.of(b"chunk")
    world.router.share(PEER, blobs(ME))
    for reader in (PEER, OTHER):
        assert world.router.put(reader, blobs(ME), digest, b"chunk", private=True)[0] == "a"
    assert world.hubs["b"].contents(blobs(ME)) == {}


def test_one_watch_is_all_watches(world: World) -> None:
    wakes: list[int] = []
    watch = world.router.watch(lambda: wakes.append(1))
    assert watch is not None
    for mailbox in world.mine.values():
        mailbox.put(BOX, "m", b"", private=True)
    assert len(wakes) == 2
    watch.close()
    world.mine["a"].put(BOX, "n", b"", private=True)
    assert len(wakes) == 2


def test_without_push_there_is_no_watch(world: World) -> None:
    world.mine = {name: MemoryMailbox(hub, ME, name, push=False) for name, hub in world.hubs.items()}
    assert world.again().watch(lambda: None) is None


def test_two_transports_of_one_name_are_a_mistake(world: World) -> None:
    twice = [MemoryMailbox(world.hubs["a"], ME, "a"), MemoryMailbox(world.hubs["b"], ME, "a")]
    with pytest.raises(ValueError):
        Router(twice, world.clock, Chance(), lambda peer: ())
