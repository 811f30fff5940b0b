"""`access PATH`: what the permission files on the disk say, for the owner, the peers and everybody."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from syftd.errors import UserError
from tests.unit.api.test_queries import ME, OTHER, PEER, RULES, World


@pytest.fixture
def world(tmp_path: Path) -> World:
    made = World(tmp_path)
    made.peer()
    made.peer(OTHER)
    made.write(ME, "public/syft.pub.yaml", RULES)
    return made


def rights(found: dict[str, Any]) -> dict[str, str]:
    marks = (("r", "read"), ("w", "write"), ("a", "admin"))
    return {one["who"]: "".join(mark for mark, key in marks if one[key]) for one in found["entries"]}


def test_the_owner_each_peer_and_everybody_are_answered(world: World) -> None:
    found = world.get("/v1/access", path="public/a.csv")
    assert (found["path"], found["governing"]) == ("public/a.csv", "public/syft.pub.yaml")
    assert rights(found) == {ME: "rwa", OTHER: "", PEER: "r", "*": ""}
    assert all(one["why"] for one in found["entries"])


def test_a_folder_is_answered_for_the_files_in_it(world: World) -> None:
    world.write(ME, "deep/below/syft.pub.yaml", RULES)
    assert world.get("/v1/access", path="deep/below")["governing"] == "deep/below/syft.pub.yaml"
    assert rights(world.get("/v1/access", path="deep/below"))[PEER] == "r"
    assert rights(world.get("/v1/access", path="deep"))[PEER] == ""
    assert world.get("/v1/access", path="deep")["governing"] is None
    assert world.get("/v1/access", path=".")["path"] == "."


def test_the_reason_names_the_path_in_no_confusing_way(world: World) -> None:
    world.write(ME, "public/a: b/c", "x")
    (entry,) = world.get("/v1/access", path="public/a: b/c", **{"for": PEER})["entries"]
    assert entry["why"] == "rule 1 (“**”) in public/syft.pub.yaml decides"


def test_one_person_can_be_asked_about_who_need_not_be_a_peer(world: World) -> None:
    found = world.get("/v1/access", path="public/a", **{"for": "Somebody@New.org"})
    assert rights(found) == {"somebody@new.org": ""}
    with pytest.raises(UserError, match="not an e-mail address"):
        world.get("/v1/access", path="public/a", **{"for": "nobody"})


def test_everybody_means_literally_everybody(world: World) -> None:
    everybody = RULES.replace("peer@y.org", "'*'")
    world.write(ME, "public/syft.pub.yaml", everybody)
    assert rights(world.get("/v1/access", path="public/a"))["*"] == "r"
    world.write(ME, "public/syft.pub.yaml", RULES.replace("read: [peer@y.org]", "write: [USER]"))
    assert rights(world.get("/v1/access", path="public/a"))["*"] == "rw"
    world.write(ME, "public/syft.pub.yaml", RULES.replace("peer@y.org", "'*@y.org'"))
    assert rights(world.get("/v1/access", path="public/a")) == {ME: "rwa", OTHER: "", PEER: "r", "*": ""}


def test_a_rule_for_each_person_can_take_a_path_from_everybody(world: World) -> None:
    each = "- pattern: '{{.UserEmail}}'\n  access:\n    read: []\n"
    world.write(ME, "public/syft.pub.yaml", RULES.replace("peer@y.org", "'*'") + each)
    assert rights(world.get("/v1/access", path="public/a")) == {ME: "rwa", OTHER: "r", PEER: "r", "*": "r"}
    found = world.get("/v1/access", path="public/peer@y.org")
    assert rights(found) == {ME: "rwa", OTHER: "r", PEER: "", "*": ""}
    assert "not for literally everybody" in found["entries"][-1]["why"]


def test_what_is_private_stays_so_whatever_a_rule_says(world: World) -> None:
    world.write(ME, "private/syft.pub.yaml", RULES)
    found = world.get("/v1/access", path="private/x")
    assert rights(found) == {ME: "rwa", OTHER: "", PEER: "", "*": ""}
    assert "never leaves this machine" in found["hidden"]


def test_a_deeper_file_decides_alone_and_a_terminal_one_ends_it(world: World) -> None:
    world.write(ME, "public/closed/syft.pub.yaml", "rules: []\n")
    assert rights(world.get("/v1/access", path="public/closed/a"))[PEER] == ""
    world.write(ME, "public/syft.pub.yaml", RULES + "terminal: true\n")
    assert rights(world.get("/v1/access", path="public/closed/a"))[PEER] == "r"


@pytest.mark.parametrize("how", ["garbage", "link", "large"])
def test_a_permission_file_that_cannot_be_used_closes_what_is_below(world: World, how: str) -> None:
    place = world.data / "datasites" / ME / "public" / "syft.pub.yaml"
    place.unlink()
    if how == "garbage":
        place.write_text("rules: 7")
    elif how == "link":
        (world.data / "elsewhere").write_text(RULES)
        place.symlink_to(world.data / "elsewhere")
    else:
        place.write_text(RULES + "#" * 300_000)
    found = world.get("/v1/access", path="public/a")
    assert rights(found) == {ME: "rwa", OTHER: "", PEER: "", "*": ""}
    assert "cannot be used" in found["entries"][2]["why"]


def test_rules_behind_a_link_to_a_folder_do_not_count(world: World) -> None:
    (world.data / "elsewhere").mkdir()
    (world.data / "elsewhere" / "syft.pub.yaml").write_text(RULES)
    (world.data / "datasites" / ME / "linked").symlink_to(world.data / "elsewhere")
    assert rights(world.get("/v1/access", path="linked/a"))[PEER] == ""


def test_the_rules_of_others_are_not_ours_to_explain(world: World) -> None:
    with pytest.raises(UserError, match=f"belongs to {PEER}"):
        world.get("/v1/access", path=f"datasites/{PEER}/a")


def test_without_a_datasite_only_the_owner_has_access(world: World) -> None:
    world.data = world.data / "gone"
    assert rights(world.get("/v1/access", path="public/a")) == {ME: "rwa", OTHER: "", PEER: "", "*": ""}
