"""Crashes at every seam: a story is told once to count its seams, then once for each of them with a crash just there."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import pytest

from tests.sim.adversity import Crash
from tests.sim.conftest import MakeWorld
from tests.sim.judge import Judge
from tests.sim.world import Site, World


@dataclass
class Stage:
    """Two peers at rest, with a judge who saw everything."""

    world: World
    judge: Judge
    ada: Site
    bob: Site


def set_up(make_world: MakeWorld, *, on_disk: bool = False) -> Stage:
    world = make_world(on_disk=on_disk)
    judge = Judge(world)
    ada = world.site("ada")
    ada.rules("public", read=["*"])
    ada.rules("drop", write=["bob@example.org"])
    ada.write("drop/there.txt", b"what was there")
    ada.write("public/old.txt", b"an old file")
    bob = world.site("bob")
    world.befriend(ada, bob)
    return Stage(world, judge, ada, bob)


def edit(stage: Stage) -> None:
    stage.ada.write("public/new.txt", b"something new")
    stage.ada.write("public/old.txt", b"a newer file")
    stage.world.settle()
    assert stage.bob.tree(stage.ada.email)["public/new.txt"] == b"something new"
    assert stage.bob.tree(stage.ada.email)["public/old.txt"] == b"a newer file"


def rename_and_revoke(stage: Stage) -> None:
    stage.ada.rename("public/old.txt", "public/renamed.txt")
    stage.world.drain()
    stage.ada.rules("public", read=[])
    stage.world.settle()
    assert not [path for path in stage.bob.tree(stage.ada.email) if path.startswith("public/")]


def propose(stage: Stage) -> None:
    ada, bob = stage.ada, stage.bob
    bob.write("drop/there.txt", b"what bob makes of it", ada.email)
    bob.write("drop/mine.txt", b"a file of bob's", ada.email)
    stage.world.settle()
    for site, owner in ((ada, ada), (bob, ada)):
        assert site.tree(owner.email)["drop/there.txt"] == b"what bob makes of it"
        assert site.tree(owner.email)["drop/mine.txt"] == b"a file of bob's"
    assert b"what was there" in ada.trash()


def propose_a_deletion(stage: Stage) -> None:
    stage.bob.delete("drop/there.txt", stage.ada.email)
    stage.world.settle()
    assert "drop/there.txt" not in stage.ada.tree()
    assert b"what was there" in stage.ada.trash()


def be_refused(stage: Stage) -> None:
    ada, bob = stage.ada, stage.bob
    bob.write("public/old.txt", b"bob may not", ada.email)
    stage.world.settle()
    assert ada.tree()["public/old.txt"] == b"an old file" == bob.tree(ada.email)["public/old.txt"]
    assert b"bob may not" in bob.trash()


def conflict(stage: Stage) -> None:
    ada, bob = stage.ada, stage.bob
    ada.write("drop/there.txt", b"ada was first")
    bob.write("drop/there.txt", b"bob was second", ada.email)
    stage.world.settle()
    kept = ada.tree()["drop/there.txt"]
    assert bob.tree(ada.email)["drop/there.txt"] == kept
    assert ada.holds(b"ada was first")
    assert bob.holds(b"bob was second")


Story = Callable[[Stage], None]
STORIES: list[Story] = [edit, rename_and_revoke, propose, propose_a_deletion, be_refused, conflict]


@pytest.mark.parametrize("victim", ["ada", "bob"])
@pytest.mark.parametrize("story", STORIES, ids=lambda story: str(story.__name__))
def test_a_crash_at_every_seam_changes_no_ending(make_world: MakeWorld, story: Story, victim: str) -> None:
    seams = _told(set_up(make_world), story, victim, crash_at=None)
    assert seams, "the story passes no seam, so it proves nothing"
    for number in range(len(seams)):
        stage = set_up(make_world)
        try:
            assert _told(stage, story, victim, crash_at=number)[: number + 1] == seams[: number + 1]
            assert (stage.ada if victim == "ada" else stage.bob).crashes == 1
        except AssertionError as error:
            error.add_note(f"{victim} crashed at seam {number}, {seams[number]}")
            raise
        finally:
            stage.world.close()


def test_two_crashes_with_a_database_on_the_disk(make_world: MakeWorld) -> None:
    seams = _told(set_up(make_world, on_disk=True), propose, "ada", crash_at=None)
    for number in range(0, len(seams), 5):
        stage = set_up(make_world, on_disk=True)
        _told(stage, propose, "ada", crash_at=number)
        stage.ada.restart()
        stage.world.settle()
        stage.judge.at_rest()
        stage.world.close()


def _told(stage: Stage, story: Story, victim: str, *, crash_at: int | None) -> list[str]:
    """Tells the story to its end and judges it; returns the seams that the victim passed."""
    site = stage.ada if victim == "ada" else stage.bob
    passed: list[str] = []

    def meet(seam: str) -> None:
        passed.append(seam)
        if crash_at is not None and len(passed) == crash_at + 1:
            raise Crash(seam)

    site.meet = meet
    story(stage)
    site.meet = lambda seam: None
    stage.judge.at_rest()
    return passed
