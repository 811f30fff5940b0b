"""Each row of the table as a real message into a real daemon, while two honest peers and Eve's own next message go on."""

from __future__ import annotations

import re

import pytest

from syftd.names import Digest
from tests.hostile_peer.eve import uid_of
from tests.hostile_peer.rows import EVENTS, PROPOSALS, Row
from tests.hostile_peer.scene import Scene, gone


@pytest.mark.parametrize("row", PROPOSALS, ids=lambda row: row.name)
def test_a_proposal_gets_the_right_answer_and_stops_nobody(scene: Scene, row: Row) -> None:
    eve, before = scene.eve, scene.untouched()
    with scene.at_once():
        bad = row.send(eve)
        path, content = f"lab/after-{scene.rounds}.txt", f"after {row.name}"
        following = eve.propose(eve.change(path, content))
    scene.good_arrives()
    scene.is_told(uid_of(bad), *row.outcome.split("|"))
    if row.aside:
        reason = scene.quarantined(bad)
        assert reason is not None
        assert scene.owner.problem("quarantine", eve.email) is not None
        assert scene.decided(uid_of(bad)) is None
    else:
        verdict = scene.decided(uid_of(bad))
        assert verdict is not None
        reason = verdict[1]
        assert scene.quarantined(bad) is None
    assert re.search(row.reason, reason), reason
    assert len(reason) < 1000
    scene.is_told(uid_of(following), "applied")
    scene.wait(lambda: gone(bad), "the bad message to be taken away")
    assert scene.untouched() == before | {f"datasites/{eve.owner}/{path}": Digest.of(content.encode())}
    scene.in_bounds()


@pytest.mark.parametrize("row", EVENTS, ids=lambda row: row.name)
def test_events_get_the_right_answer_and_stop_nobody(scene: Scene, row: Row) -> None:
    eve, before = scene.eve, scene.untouched()
    with scene.at_once():
        bad = row.send(eve)
        path, content = f"after-{scene.rounds}.txt", f"after {row.name}"
        following = eve.envelope(eve.told_change(path, content))
    scene.good_arrives()
    scene.wait(lambda: scene.quarantined(bad), "the events to be set aside")
    reason = scene.quarantined(bad)
    assert reason is not None and re.search(row.reason, reason), reason
    scene.owner.sees(eve.email, path, content)
    scene.wait(lambda: gone(bad) and gone(following), "both messages to be taken away")
    assert scene.untouched() == before | {f"datasites/{eve.email}/{path}": Digest.of(content.encode())}
    scene.in_bounds()
