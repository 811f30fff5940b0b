"""What a bad message held is gone as soon as it has its verdict, however many come in one turn."""

from __future__ import annotations

import gzip
import os
import tracemalloc

from syftd.transport import mailbox
from syftd.wire import names as wire_names
from syftd.wire.messages import Limits
from tests.sim.world import Site, World
from tests.unit.sync.letters import let_see

BOMBS = 4


def test_a_turn_of_bombs_takes_the_memory_of_one(world: World, ada: Site, bob: Site) -> None:
    """An error's trace holds the frames in which it was raised, and they held what the bomb had grown to."""
    # Enough that does not compress, so that the limit on the ratio leaves it to the limit on the size.
    bomb = gzip.compress(os.urandom(250_000) + bytes(60 * 1024 * 1024), 1)
    world.settle()
    for _ in range(BOMBS):
        name = wire_names.proposal_name(world.stamp() / 1e9, world.random.uuid())
        bob.mailbox.put(mailbox.inbox(ada.email, bob.email), name, bomb, private=True)
    tracemalloc.start()
    try:
        let_see(ada)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert len(ada.quarantined) == BOMBS
    assert peak < 2.5 * Limits().decompressed_bytes
