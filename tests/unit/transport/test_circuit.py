"""When a transport may be tried: pure values, no clock."""

from __future__ import annotations

import pytest

from syftd.errors import AuthNeeded, Exists, Gone, Permanent, Quota, Refused, Transient, TransportError
from syftd.transport.circuit import OPEN_AFTER, Circuit, backoff_ceiling, try_order, verdict

LOST = Transient("no answer", "Wait.")


def down(times: int = OPEN_AFTER, chance: float = 1.0, at: float = 100.0) -> Circuit:
    circuit = Circuit()
    for _ in range(times):
        circuit = circuit.started().failed(LOST, at, at, chance)
    return circuit


def test_four_failures_are_borne_and_the_fifth_opens_the_circuit() -> None:
    assert down(OPEN_AFTER - 1).state == "failing"
    assert down(OPEN_AFTER - 1).permits(100.0)
    opened = down()
    assert (opened.state, opened.until) == ("down", 101.0)
    assert not opened.permits(100.9)
    assert opened.permits(101.0)


def test_a_success_in_between_starts_the_count_anew() -> None:
    circuit = down(OPEN_AFTER - 1).succeeded(100.0)
    assert circuit == Circuit()
    assert circuit.failed(LOST, 101.0, 101.0, 1.0).state == "failing"


def test_after_the_pause_one_probe_at_a_time_decides() -> None:
    probing = down().started()
    assert not probing.permits(1000.0)
    assert probing.succeeded(102.0) == Circuit()
    again = probing.failed(LOST, 102.0, 103.0, 1.0)
    assert again.until == 103.0 + 2.0
    assert again.permits(105.0)
    assert probing.abandoned(102.0).permits(102.0)


def test_pauses_double_up_to_the_cap_and_spread_over_all_of_it() -> None:
    assert [backoff_ceiling(turn) for turn in (0, 1, 2, 8, 9, 10_000)] == [1.0, 2.0, 4.0, 256.0, 300.0, 300.0]
    assert down(chance=0.0).until == 100.0
    assert down(chance=0.25).until == 100.25


def test_stragglers_from_before_the_pause_neither_lengthen_nor_end_it() -> None:
    opened = down()
    assert opened.failed(LOST, 99.0, 104.0, 1.0) == opened
    assert opened.succeeded(99.0) == opened
    limited = Circuit().failed(Quota("slow down", after=30.0), 10.0, 10.0, 1.0)
    assert limited.succeeded(9.0) == limited
    assert limited.abandoned(9.0) == limited


def test_a_quota_pauses_exactly_as_long_as_it_says() -> None:
    circuit = down(3).failed(Quota("slow down", "Wait.", after=42.0), 100.0, 100.0, 0.1)
    assert (circuit.state, circuit.until, circuit.failures) == ("quota", 142.0, 0)
    assert not circuit.permits(141.9)
    assert circuit.permits(142.0)


def test_a_login_is_awaited_and_can_be_announced() -> None:
    circuit = Circuit().failed(AuthNeeded("token expired", "Run `syftd login`."), 1.0, 1.0, 0.5)
    assert circuit.state == "login"
    assert not circuit.permits(100.0)
    assert circuit.hastened().permits(2.0)
    assert circuit.remedy == "Run `syftd login`."


@pytest.mark.parametrize("answer", [Gone("x"), Exists("x"), Refused("x")])
def test_an_answer_about_one_object_shows_that_the_transport_works(answer: TransportError) -> None:
    assert down(4).failed(answer, 100.0, 100.0, 1.0) == Circuit()
    assert down().started().failed(answer, 102.0, 102.0, 1.0) == Circuit()


def test_a_permanent_error_is_shown_and_stops_nobody() -> None:
    circuit = Circuit().failed(Permanent("/shared: Permission denied", "Give the right."), 1.0, 1.0, 1.0)
    assert (circuit.state, circuit.error, circuit.failures) == ("failing", "/shared: Permission denied", 0)
    assert circuit.permits(1.0)


def test_the_transport_that_may_have_it_comes_first() -> None:
    assert try_order(("a", "b", "c"), None) == ("a", "b", "c")
    assert try_order(("a", "b", "c"), "b") == ("b", "a", "c")
    assert try_order(("a", "b"), "removed") == ("a", "b")


def test_the_most_hopeful_error_stands_for_all() -> None:
    assert isinstance(verdict([Permanent("p"), Gone("g"), Transient("t", "wait")]), Transient)
    assert isinstance(verdict([Gone("g"), Refused("r")]), Refused)
    quota = verdict([Quota("q", after=60.0), Permanent("p"), Quota("r", after=5.0)])
    assert isinstance(quota, Quota)
    assert quota.after == 5.0
    assert str(quota) == "q; p; r"
    alone = Gone("g")
    assert verdict([alone]) is alone
    with pytest.raises(ValueError):
        verdict([])
