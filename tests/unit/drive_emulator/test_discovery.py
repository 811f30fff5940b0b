from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from google.oauth2.credentials import Credentials
from googleapiclient.discovery import build

from tests.drive_emulator import DriveEmulator
from tests.drive_emulator import files as file_verbs
from tests.drive_emulator.call import VERBS
from tests.drive_emulator.schema import Discovery, Mismatch
from tests.unit.drive_emulator.conftest import OWNER
from tests.unit.drive_emulator.seam import Reply, make

Send = Callable[..., Reply]
DISCOVERY = Discovery()


def test_a_client_can_be_built_from_the_served_document(emulator: DriveEmulator) -> None:
    drive = build(
        "drive",
        "v3",
        credentials=Credentials(OWNER),
        discoveryServiceUrl=emulator.url + "/discovery/v1/apis/{api}/{apiVersion}/rest",
        static_discovery=False,
    )
    assert drive.about().get(fields="user(emailAddress)").execute() == {"user": {"emailAddress": OWNER}}


@pytest.mark.parametrize(
    ("method", "target", "body"),
    [
        ("GET", "/drive/v3/files?colour=red", None),
        ("GET", "/drive/v3/files?pageSize=ten", None),
        ("GET", "/drive/v3/files?pageSize=1&pageSize=2", None),
        ("GET", "/drive/v3/files?supportsAllDrives=True", None),
        ("GET", "/drive/v3/files?corpus=planet", None),
        ("GET", "/drive/v3/changes", None),
        ("POST", "/drive/v3/drives", {"name": "Lab"}),
        ("POST", "/drive/v3/files", {"title": "a"}),
        ("POST", "/drive/v3/files", {"name": 5}),
        ("POST", "/drive/v3/files", {"starred": "yes"}),
        ("POST", "/drive/v3/files", {"parents": "root"}),
        ("POST", "/drive/v3/files", {"appProperties": {"k": 1}}),
        ("POST", "/drive/v3/files", {"modifiedTime": "yesterday"}),
        ("POST", "/drive/v3/files", {"modifiedTime": "2026-05-01T12:00:00"}),
        ("POST", "/drive/v3/files", {"size": 5}),
        ("POST", "/drive/v3/files", ["a"]),
        ("DELETE", "/drive/v3/files/x", {"name": "a"}),
        ("GET", "/drive/v3/planets", None),
        ("PUT", "/drive/v3/files", None),
    ],
)
def test_what_the_document_does_not_allow_is_refused_and_noted(
    send: Send, emulator: DriveEmulator, method: str, target: str, body: Any
) -> None:
    reply = send(method, target, body)
    assert reply.status in (400, 404, 405)
    assert reply.json()["error"]["message"]
    [noted] = emulator.stats()["violations"]["client"]
    assert noted.startswith(f"{method} {target}: ")


def test_what_is_right_is_not_noted(owner: Any, emulator: DriveEmulator) -> None:
    make(owner, "a", b"", modifiedTime="2026-05-01T12:00:00.123+02:00", appProperties={"k": "v"})
    owner.files().list(pageSize=5, fields="*", q="trashed=false", orderBy="name desc", supportsAllDrives=True).execute()
    assert emulator.stats()["violations"] == {"client": [], "emulator": []}


@pytest.mark.parametrize("body", [b"{", b"nothing", b'{"name": "\\ud800"}', b"\xff"])
def test_what_is_no_json_is_refused(send: Send, body: bytes) -> None:
    assert send("POST", "/drive/v3/files", body, Content_Type="application/json").reason() == "parseError"


def test_the_emulators_own_mistakes_are_found(running: DriveEmulator, send: Send, monkeypatch: pytest.MonkeyPatch) -> None:
    def wrong(call: Any) -> Any:
        return {"kind": "drive#generatedIds", "ids": [1]}

    monkeypatch.setitem(VERBS, "drive.files.generateIds", wrong)
    reply = send("GET", "/drive/v3/files/generateIds")
    assert (reply.status, reply.reason()) == (500, "emulatorViolation")
    assert "GeneratedIds.ids[0] must be a string" in running.stats()["violations"]["emulator"][0]

    def broken(call: Any) -> Any:
        raise ZeroDivisionError("oops")

    monkeypatch.setitem(VERBS, "drive.files.generateIds", broken)
    assert send("GET", "/drive/v3/files/generateIds").status == 500
    assert "ZeroDivisionError: oops" in running.stats()["violations"]["emulator"][1]
    running.reset()  # These two were meant.
    assert VERBS["drive.files.generateIds"] is not file_verbs.generate_ids


def test_every_method_of_the_document_is_found_by_its_path() -> None:
    assert len(DISCOVERY.methods) == 64
    for method in DISCOVERY.methods:
        path = method.path.replace("{", "").replace("}", "")
        found = DISCOVERY.find(method.http, path)
        assert found is not None and found[0] is method
        assert set(found[1]) == {name for name, schema in method.parameters.items() if schema["location"] == "path"}


def test_a_method_that_is_not_carried_out_says_so(send: Send) -> None:
    reply = send("GET", "/drive/v3/files/x/revisions")
    assert (reply.status, reply.reason()) == (501, "notImplemented")


@pytest.mark.parametrize(
    ("schema", "value", "says"),
    [
        ("File", {"size": "12"}, ""),
        ("File", {"size": 12}, "must be a string"),
        ("File", {"size": "12.5"}, "whole number"),
        ("File", {"size": str(2**63)}, "whole number"),
        ("File", {"starred": 1}, "true or false"),
        ("File", {"owners": {}}, "a list"),
        ("File", {"owners": [{"emailAddress": 5}]}, r"owners\[0\].emailAddress"),
        ("File", {"imageMediaMetadata": {"width": 2**31}}, "out of range"),
        ("File", {"imageMediaMetadata": {"width": "5"}}, "whole number"),
        ("File", {"imageMediaMetadata": {"aperture": True}}, "a number"),
        ("File", {"createdTime": "2026-05-01"}, "RFC 3339"),
        ("File", "text", "an object"),
    ],
)
def test_values_are_held_against_their_schema(schema: str, value: Any, says: str) -> None:
    if not says:
        DISCOVERY.check(schema, value)
        return
    with pytest.raises(Mismatch, match=says):
        DISCOVERY.check(schema, value)
