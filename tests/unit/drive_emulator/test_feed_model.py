"""Whoever follows the feed of changes knows what a full listing shows, whatever three people do to one another's files."""

from __future__ import annotations

import json
from typing import Any
from urllib.parse import urlencode

from hypothesis import given, settings
from hypothesis import strategies as st

from tests.drive_emulator.message import Request
from tests.drive_emulator.service import Service
from tests.drive_emulator.settings import Settings
from tests.unit.drive_emulator.seam import FOLDER, FakeClock

PEOPLE = ("a@x.org", "b@x.org", "c@x.org")
KINDS = ("file", "folder", "share", "unshare", "move", "rename", "trash", "untrash", "delete", "transfer", "star")
STEPS = st.lists(
    st.tuples(st.sampled_from(KINDS), st.integers(0, 5), st.integers(0, 9), st.integers(0, 9)), min_size=12, max_size=40
)
"""What happens, who does it (from 3 on: whoever owns the file, as others may do little), and to which files."""


class World:
    """The service without its sockets, and for each person what they learnt from their feed alone."""

    def __init__(self) -> None:
        self.service = Service(Settings(user_units_per_minute=10**9, project_units_per_minute=10**9), FakeClock())
        self.made: list[str] = []
        self.positions = {person: self.ask(person, "GET", "changes/startPageToken")["startPageToken"] for person in PEOPLE}
        self.learnt: dict[str, dict[str, Any]] = {person: {} for person in PEOPLE}

    def ask(self, person: str, http: str, path: str, body: dict[str, Any] | None = None, **params: Any) -> Any:
        headers = {"authorization": f"Bearer {person}"}
        sent = json.dumps(body).encode() if body is not None else b""
        response = self.service.answer(Request(http, f"/drive/v3/{path}?{urlencode(params)}", headers, sent))
        # A step that is not permitted is a fine step: it must change nothing. Anything else would be a mistake.
        assert response.status in (200, 204, 400, 403, 404), response.body
        return json.loads(response.body) if response.status == 200 else None

    def step(self, kind: str, who: int, one: int, two: int) -> None:
        person = PEOPLE[who % 3]
        if kind in ("file", "folder"):
            body: dict[str, Any] = {"name": f"{kind}{len(self.made)}"} | ({"mimeType": FOLDER} if kind == "folder" else {})
            if self.made and two:
                body["parents"] = [self.made[one % len(self.made)]]
            if made := self.ask(person, "POST", "files", body):
                self.made.append(made["id"])
            return
        if not self.made:
            return
        file, other = self.made[one % len(self.made)], self.made[two % len(self.made)]
        item = self.service.store.items.get(file)
        if who > 2 and item is not None:
            person = item.owner
        peer = PEOPLE[two % 3]
        grant = {"type": "user", "emailAddress": peer, "role": ("reader", "writer")[two % 2]}
        match kind:
            case "share":
                self.ask(person, "POST", f"files/{file}/permissions", grant)
            case "transfer":
                self.ask(person, "POST", f"files/{file}/permissions", grant | {"role": "owner"}, transferOwnership="true")
            case "unshare":
                listed = self.ask(person, "GET", f"files/{file}/permissions") or {"permissions": [{"id": "none"}]}
                each = [permission["id"] for permission in listed["permissions"] if permission.get("role") != "owner"]
                if each:
                    self.ask(person, "DELETE", f"files/{file}/permissions/{each[two % len(each)]}")
            case "move":
                seen = self.ask(person, "GET", f"files/{file}", fields="parents") or {}
                parents = {"removeParents": ",".join(seen["parents"])} if "parents" in seen else {}
                self.ask(person, "PATCH", f"files/{file}", {}, addParents=other if two else "root", **parents)
            case "rename" | "trash" | "untrash" | "star":
                body = {"rename": {"name": f"n{two}"}, "star": {"starred": True}}.get(kind, {"trashed": kind == "trash"})
                self.ask(person, "PATCH", f"files/{file}", body)
            case "delete":
                self.ask(person, "DELETE", f"files/{file}")

    def follow(self, person: str) -> None:
        """Reads the person's feed to its end, a few changes at a time."""
        fields = "newStartPageToken,nextPageToken,changes(fileId,removed,file(name,trashed,version,ownedByMe))"
        while True:
            page = self.ask(person, "GET", "changes", pageToken=self.positions[person], pageSize=3, fields=fields)
            for change in page["changes"]:
                if change["removed"]:
                    self.learnt[person].pop(change["fileId"], None)
                else:
                    self.learnt[person][change["fileId"]] = change["file"]
            self.positions[person] = page.get("nextPageToken") or page["newStartPageToken"]
            if "newStartPageToken" in page:
                return

    def listed(self, person: str) -> dict[str, Any]:
        fields = "files(id,name,trashed,version,ownedByMe)"
        page = self.ask(person, "GET", "files", pageSize=1000, fields=fields)
        return {file.pop("id"): file for file in page["files"]}


@settings(max_examples=40, deadline=None)
@given(STEPS, st.integers(1, 5))
def test_following_the_feed_is_as_good_as_listing(steps: list[tuple[str, int, int, int]], every: int) -> None:
    world = World()
    try:
        for number, step in enumerate(steps):
            world.step(*step)
            if number % every == 0:
                world.follow(PEOPLE[number % 3])
        for person in PEOPLE:
            world.follow(person)
            assert world.learnt[person] == world.listed(person)
        assert world.service.stats.server_violations == []
        assert world.service.stats.client_violations == []
    finally:
        world.service.channels.close()
