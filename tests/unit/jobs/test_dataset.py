"""A dataset that a review says is there is the one that a run finds, and none other."""

from __future__ import annotations

import json

import pytest

from syftd.api.folder import Folder
from syftd.errors import UserError
from syftd.jobs import show
from syftd.state import contacts
from tests.unit.jobs.desks import ME, PEER, Desk
from tests.unit.jobs.desks import desk as desk


@pytest.mark.parametrize(
    ("name", "found"),
    [
        ("heart", "heart"), ("lungs", "lungs.csv"), ("kidney", "syft_datasets/kidney"), ("archive", None),
        ("archive.tar", "archive.tar.gz"), ("nothing", None), ("../public", None), ("..", None), (".hidden", None),
        ("linked", None), ("outside", None),
    ],
)  # fmt: skip
def test_review_and_run_go_by_one_rule(desk: Desk, name: str, found: str | None) -> None:
    contacts.put(desk.db, contacts.Peer(PEER, "accepted", 1.0, "born", "0.1.117", frozenset({"blobs"}), ""))
    for path in ("heart/a.csv", "lungs.csv", "syft_datasets/kidney/a", "archive.tar.gz", ".hidden"):
        desk.disk.write_own(ME, f"private/{path}", b"x")
    desk.disk.write_own(ME, "public/a", b"x")
    private = desk.data / "datasites" / ME / "private"
    (private / "linked").symlink_to(private / "heart")
    (private / "outside.csv").symlink_to("/etc/passwd")
    job = desk.arrive(run_sh="true", config_yaml="datasets: " + json.dumps([name]) + "\n")
    with Folder(desk.data / "datasites") as sites, Folder(desk.kept) as kept:
        told = show.describe(show.Sources(desk.db, ME, sites, kept, {}), job)["datasets"]
    assert told == [{"name": name, "exists": found is not None}]
    if found is None:
        with pytest.raises(UserError, match="none of that name"):
            desk.approve()
        return
    desk.approve()
    desk.ran()
    assert desk.specs[0].data == {name: private / found}
