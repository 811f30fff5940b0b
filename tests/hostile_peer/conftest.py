"""The stage, built once: Eve is accepted like the others, then her daemon stops and she goes on by hand."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.hostile_peer.eve import Eve
from tests.hostile_peer.rows import EVE
from tests.hostile_peer.scene import Scene
from tests.journeys.conftest import ANN, BEN, OWNER, short_place
from tests.journeys.daemons import Daemon, befriend


@pytest.fixture(scope="module")
def scene() -> Iterator[Scene]:
    """The owner, ann and ben as real daemons, and Eve."""
    with (
        short_place() as place,
        Daemon(place / "owner", OWNER, place / "mailbox") as owner,
        Daemon(place / "ann", ANN, place / "mailbox") as ann,
        Daemon(place / "ben", BEN, place / "mailbox") as ben,
    ):
        befriend(ann, owner)
        befriend(ben, owner)
        with Daemon(place / "eve", EVE, place / "mailbox") as honest:
            befriend(honest, owner)
            set_out(owner)
            for who in (ann, ben):
                who.sees(OWNER, "joint/start.txt", "start")
            honest.sees(OWNER, "lab/first.txt", "first")
            owner.caught_up_with(honest)
        eve = Eve(place / "mailbox", EVE, OWNER)
        owner.wait_for(lambda: not list(eve.lying()), 30, "the last honest words of eve to be read")
        # Eve's own stream begins anew, with one file; what her honest daemon told is gone.
        eve.envelope(eve.told_change("public/eve.txt", "eve"))
        owner.sees(EVE, "public/eve.txt", "eve")
        owner.lacks(EVE, "public/marks")
        yield Scene(place, owner, ann, ben, eve, owner.pid)


def set_out(owner: Daemon) -> None:
    """What the owner has: a folder for the honest peers, one where Eve may write, one where she may read, and rules
    that would let her into places where nothing may ever be written."""
    owner.write("joint/start.txt", "start")
    owner.cli("share", "joint", "--with", ANN, "--write")
    owner.cli("share", "joint", "--with", BEN, "--write")
    for name in ("first", "second", "third"):
        owner.write(f"lab/{name}.txt", name)
    owner.write("lab/folder/inside.txt", "inside")
    owner.cli("share", "lab", "--with", EVE, "--write")
    owner.write("readonly/seen.txt", "seen")
    owner.cli("share", "readonly", "--with", EVE)
    owner.write("private/secret.txt", "canary-secret")
    owner.write("private/syft.pub.yaml", f"rules:\n- pattern: '**'\n  access:\n    write: ['{EVE}']\n")
