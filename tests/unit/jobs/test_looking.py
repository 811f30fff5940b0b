"""Approved is what the owner looked at: files that came after the look are refused."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any, cast

import pytest

from syftd.api import calls
from syftd.api.queries import Queries
from syftd.api.server import Request
from syftd.daemon.wiring import Daemon
from syftd.errors import UserError
from syftd.state import contacts
from tests.unit.jobs.desks import ME, PEER, Desk
from tests.unit.jobs.desks import desk as desk


@pytest.fixture(autouse=True)
def arrived(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    contacts.put(desk.db, contacts.Peer(PEER, "accepted", 1.0, "born", "0.1.117", frozenset({"blobs"}), ""))
    reading = Queries(desk.db, ME, desk.data, live=None, state=desk.kept.parent)
    monkeypatch.setattr(calls, "queries", lambda daemon: reading)
    desk.arrive(run_sh="reviewed")


def ask(desk: Desk, path: str, body: dict[str, Any] | None = None, **query: str) -> Any:
    daemon = SimpleNamespace(jobs=desk.desk, engine=SimpleNamespace(pump=lambda: None))
    request = Request("GET" if body is None else "POST", path, query, body)
    return calls.answer(cast(Daemon, daemon), request).body


def job(desk: Desk, rest: str = "") -> str:
    return f"/v1/jobs/{desk.job().id}{rest}"


@pytest.mark.parametrize("looked", ["", "/diff", "/"])
def test_files_that_came_after_the_look_are_not_approved(desk: Desk, looked: str) -> None:
    seen = ask(desk, job(desk, looked))["digest"]
    desk.arrive(run_sh="swapped")
    with pytest.raises(UserError, match="changed since you looked"):
        ask(desk, job(desk, "/approve"), {})
    listed = ask(desk, "/v1/jobs")[0]
    assert listed["shown_digest"] == seen != listed["digest"]
    with pytest.raises(UserError, match="changed since you looked"):
        ask(desk, job(desk, "/approve"), {"digest": seen})
    ask(desk, job(desk))
    assert ask(desk, job(desk, "/approve"), {})["state"] in ("approved", "running")
    assert desk.job().facts["approved_digest"] == listed["digest"]


def test_the_look_outlives_a_withdrawal(desk: Desk) -> None:
    ask(desk, job(desk))
    desk.arrive()
    desk.arrive(run_sh="swapped")
    with pytest.raises(UserError, match="changed since you looked"):
        ask(desk, job(desk, "/approve"), {})


def test_a_digest_that_is_named_needs_no_look(desk: Desk) -> None:
    ask(desk, job(desk))
    digest = desk.arrive(run_sh="read in the inbox folder").digest
    ask(desk, job(desk, "/approve"), {"digest": digest})
    assert desk.job().facts["approved_digest"] == digest


def test_without_any_look_the_list_decides(desk: Desk) -> None:
    ask(desk, job(desk), glance="1")
    ask(desk, job(desk, "/logs"))
    listed = ask(desk, "/v1/jobs")[0]
    assert listed["shown_digest"] is None
    desk.arrive(run_sh="swapped")
    with pytest.raises(UserError, match="changed since you looked"):
        ask(desk, job(desk, "/approve"), {"digest": listed["digest"]})
    ask(desk, job(desk, "/approve"), {})
