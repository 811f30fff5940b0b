"""A contact that begins on files which lie there already: what its owner deleted meanwhile must not come back."""

from __future__ import annotations

from syftd.state import problems, streams
from tests.sim.world import Site, World, readable

FOLDER = "shared"


def parted(world: World) -> tuple[Site, Site]:
    """Ann, and bob who was her peer, has files of hers, and is her peer no longer."""
    ann, bob = world.site("ann"), world.site("bob")
    ann.rules(FOLDER, read=[bob.email], write=[bob.email])
    for name in ("kept", "deleted", "changed"):
        ann.write(f"{FOLDER}/{name}", f"{name} of then".encode())
    world.befriend(ann, bob)
    assert len(bob.tree(ann.email)) == 3
    bob.engine.pairing.remove(ann.email)
    world.settle()
    ann.delete(f"{FOLDER}/deleted")
    ann.write(f"{FOLDER}/changed", b"changed meanwhile")
    world.settle()
    return ann, bob


def again(world: World, ann: Site, bob: Site) -> None:
    bob.engine.pairing.add(ann.email)
    world.settle()
    ann.engine.pairing.accept(bob.email)
    world.settle()


def left_over(site: Site) -> list[str]:
    return [str(row["text"]) for row in problems.problems(site.db) if row["kind"] == "left-over"]


def test_what_an_owner_deleted_meanwhile_goes_to_the_trash_with_one_word(world: World) -> None:
    ann, bob = parted(world)
    again(world, ann, bob)
    assert f"{FOLDER}/deleted" not in ann.tree()
    assert bob.tree(ann.email) == readable(ann, bob.email)
    assert {b"deleted of then", b"changed of then"} <= bob.trash()
    assert bob.problem_kinds() == {"left-over"}
    (text,) = left_over(bob)
    assert text.startswith("1 file(s)")
    bob.write(f"{FOLDER}/deleted", b"deleted of then", ann.email)
    world.settle()
    assert ann.tree()[f"{FOLDER}/deleted"] == b"deleted of then", "now it is a wish"


def test_a_crash_anywhere_does_not_turn_old_files_into_wishes(world: World) -> None:
    ann, bob = parted(world)
    bob.engine.pairing.add(ann.email)
    world.settle()
    ann.engine.pairing.accept(bob.email)
    for _ in range(40):
        for _ in range(3):
            world.step()
        bob.restart()
        ann.poll()
    world.settle()
    assert f"{FOLDER}/deleted" not in ann.tree()
    assert bob.tree(ann.email) == readable(ann, bob.email)


def test_files_that_are_written_while_the_owner_is_still_telling_are_proposed_afterwards(world: World) -> None:
    ann, bob = parted(world)
    bob.engine.pairing.add(ann.email)
    world.settle()
    bob.write(f"{FOLDER}/mine", b"new", ann.email)
    for _ in range(5):
        bob.due()
        world.drain()
    assert not streams.drafts_to(bob.db, ann.email), "ann has told nothing yet"
    ann.engine.pairing.accept(bob.email)
    world.settle()
    assert ann.tree()[f"{FOLDER}/mine"] == b"new"
    assert f"{FOLDER}/deleted" not in ann.tree()


def test_a_new_epoch_holds_edits_back_until_it_is_complete(world: World) -> None:
    ann, bob = world.site("ann"), world.site("bob")
    ann.rules(FOLDER, read=[bob.email], write=[bob.email])
    ann.write(f"{FOLDER}/file", b"one")
    world.befriend(ann, bob)
    row = streams.stream(bob.db, ann.email)
    assert row is not None and row.completed
    row.completed = False
    streams.put_stream(bob.db, row)
    bob.write(f"{FOLDER}/file", b"two", ann.email)
    bob.due()
    world.drain()
    assert not streams.drafts_to(bob.db, ann.email)
    row.completed = True
    streams.put_stream(bob.db, row)
    ann.write(f"{FOLDER}/other", b"whatever it tells")
    world.settle()
    assert ann.tree()[f"{FOLDER}/file"] == b"two"
