"""The largest messages that are allowed and right, several in a row, as a peer of the existing network sends whole files.

Nobody hostile is needed for these. They are carried out, so besides the message and its content the database's own
copies of the content are in memory for a moment; the bound is therefore a little above the one for what is refused.
"""

from __future__ import annotations

import base64
import os

from tests.hostile_peer.eve import uid_of
from tests.hostile_peer.rows import MIB
from tests.hostile_peer.scene import Scene

MOST_MEMORY = 240 * 1000 * 1000


def test_the_largest_messages_that_are_allowed_keep_within_memory(scene: Scene) -> None:
    eve, owner = scene.eve, scene.owner
    text, coded = os.urandom(15 * MIB).hex().encode(), os.urandom(29 * MIB)
    with scene.at_once():
        sent = [
            eve.propose(eve.change("lab/large.txt", text.decode())),
            eve.propose(eve.change("lab/large.bin", base64.b64encode(coded).decode(), content_type="binary")),
        ]
    scene.good_arrives()
    for path in sent:
        scene.is_told(uid_of(path), "applied")
    owner.holds("lab/large.txt", text)
    owner.holds("lab/large.bin", coded)
    assert owner.pid == scene.pid
    most = owner.memory("VmHWM")
    assert most < MOST_MEMORY, f"{most:,} bytes"
