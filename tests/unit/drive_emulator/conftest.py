"""One emulator for the folder, emptied before each test, and the unmodified Google client in front of it."""

from __future__ import annotations

import http.client
import json
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from google.oauth2.credentials import Credentials
from googleapiclient.discovery import build_from_document

from tests.drive_emulator import DriveEmulator
from tests.unit.drive_emulator.seam import FakeClock, Reply

OWNER = "owner@example.org"
PEER = "peer@lab.example.org"
STRANGER = "stranger@elsewhere.example.org"

SignIn = Callable[..., Any]


@pytest.fixture(scope="session")
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture(scope="session")
def running(clock: FakeClock) -> Iterator[DriveEmulator]:
    with DriveEmulator(clock=clock) as emulator:
        yield emulator


@pytest.fixture(scope="session")
def clients(running: DriveEmulator) -> Callable[[str], Any]:
    document = running.document()
    # Building a client takes far longer than a call; each keeps one connection, which is part of what is tested.
    built: dict[str, Any] = {}

    def client(address: str) -> Any:
        if address not in built:
            built[address] = build_from_document(document, credentials=Credentials(address))
        return built[address]

    return client


@pytest.fixture
def emulator(running: DriveEmulator) -> Iterator[DriveEmulator]:
    """The emulator, empty. Afterwards it must not have broken the discovery document itself."""
    running.reset()
    yield running
    assert running.stats()["violations"]["emulator"] == []


@pytest.fixture
def sign_in(emulator: DriveEmulator, clients: Callable[[str], Any]) -> Callable[[str], Any]:
    """The Google client of a person."""
    return clients


@pytest.fixture
def owner(sign_in: SignIn) -> Any:
    return sign_in(OWNER)


@pytest.fixture
def peer(sign_in: SignIn) -> Any:
    return sign_in(PEER)


@pytest.fixture
def stranger(sign_in: SignIn) -> Any:
    return sign_in(STRANGER)


@pytest.fixture
def send(emulator: DriveEmulator) -> Callable[..., Reply]:
    """One HTTP request on a connection of its own, for what the Google client would never send."""
    host = emulator.url.removeprefix("http://")

    def request(method: str, target: str, body: bytes | dict[str, Any] | None = None, user: str = OWNER, **headers: str) -> Reply:
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        if user:
            named.setdefault("Authorization", f"Bearer {user}")
        if isinstance(body, dict | list):
            body = json.dumps(body).encode()
            named.setdefault("Content-Type", "application/json")
        connection = http.client.HTTPConnection(host, timeout=10)
        try:
            connection.request(method, target.removeprefix(emulator.url), body, named)
            answer = connection.getresponse()
            return Reply(answer.status, dict(answer.getheaders()), answer.read())
        finally:
            connection.close()

    return request
