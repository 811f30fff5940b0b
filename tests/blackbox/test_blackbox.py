"""Three real daemons, people who write, read, delete and wait; nothing is seen that the documentation cannot explain.

`SYFT_TEST_ROUNDS` says how many rounds are played (`make soak-blackbox` plays many), `SYFT_TEST_SEED` with which dice.
"""

from __future__ import annotations

import os
import random
from pathlib import Path

from tests.blackbox.people import FOLDER, Game, Node
from tests.journeys.conftest import ANN, BEN, OWNER, short_place
from tests.journeys.daemons import Daemon, befriend

ROUNDS = int(os.environ.get("SYFT_TEST_ROUNDS", "4"))
STEPS = 14
NAMES = ["one", "two"]


def test_every_observation_has_an_explanation() -> None:
    seed = int(os.environ.get("SYFT_TEST_SEED", "0")) or random.SystemRandom().randrange(1, 2**31)
    print(f"seed {seed}; play it again with SYFT_TEST_SEED={seed}")
    with (
        short_place() as place,
        Daemon(place / "owner", OWNER, place / "mailbox") as owner,
        Daemon(place / "ann", ANN, place / "mailbox") as ann,
        Daemon(place / "ben", BEN, place / "mailbox") as ben,
    ):
        # A file that stays, so that nobody's folder is ever pruned for being empty.
        owner.write(f"{FOLDER}/stays", "x")
        for reader in (ann, ben):
            befriend(reader, owner)
            owner.cli("share", FOLDER, "--with", reader.email, "--write")
        for reader in (ann, ben):
            reader.sees(OWNER, f"{FOLDER}/stays", "x")
            reader.caught_up_with(owner)
        game = Game([_node(each, place) for each in (owner, ann, ben)], NAMES, random.Random(seed))
        for number in range(ROUNDS):
            game.round(STEPS)
            print(f"round {number + 1}: {game.steps} steps, at the most {game.widest} states at once", flush=True)


def _node(daemon: Daemon, place: Path) -> Node:
    scratch = place / f".scratch-{daemon.home.name}"
    scratch.mkdir()
    return Node(daemon, daemon.mirror(OWNER) / FOLDER, scratch)
