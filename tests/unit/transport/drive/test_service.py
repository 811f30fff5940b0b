"""The client: for Google itself, one for each thread, and understood when what answers is no Drive."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from syftd.errors import SyftdError, Transient
from syftd.seams import SystemClock, SystemRandom
from syftd.transport.drive.auth import Login, save_token
from syftd.transport.drive.service import Service


@pytest.fixture
def login(tmp_path: Path) -> Login:
    save_token(tmp_path / "t.json", {"token": "me@example.org"})
    return Login(tmp_path / "t.json")


def test_without_an_endpoint_google_is_asked_and_no_description_is_fetched(login: Login) -> None:
    service = Service(login, SystemClock(), SystemRandom())
    request = service._client().files().list(q="x", supportsAllDrives=True)
    assert request.uri.startswith("https://www.googleapis.com/drive/v3/files?q=x")
    assert service._client().new_batch_http_request()._batch_uri == "https://www.googleapis.com/batch/drive/v3"


def test_each_thread_has_a_client_and_a_connection_of_its_own(login: Login) -> None:
    service = Service(login, SystemClock(), SystemRandom())
    meeting = threading.Barrier(4)

    def mine(_: int) -> tuple[int, int]:
        meeting.wait(timeout=20)
        assert service._client() is service._client()
        return id(service._client()), id(service._client()._http.http)

    with ThreadPoolExecutor(4) as pool:
        found = list(pool.map(mine, range(4)))
    assert len({client for client, _ in found}) == len({http for _, http in found}) == 4


class Portal(BaseHTTPRequestHandler):
    """What a hotel's network answers to everything."""

    def do_GET(self) -> None:
        body = b"<html>Please accept our terms</html>"
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:
        """Silent."""


@pytest.fixture
def portal() -> Iterator[str]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), Portal)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{server.server_address[1]}"
    server.shutdown()
    server.server_close()


def test_an_answer_that_is_not_drives_is_a_passing_error(login: Login, portal: str) -> None:
    service = Service(login, SystemClock(), SystemRandom(), endpoint=portal, tries=1)
    with pytest.raises(Transient):
        service.account()


def test_nobody_there_is_a_passing_error_and_a_closed_one_asks_nobody(login: Login) -> None:
    service = Service(login, SystemClock(), SystemRandom(), endpoint="http://127.0.0.1:9", tries=1)
    with pytest.raises(Transient):
        service.account()
    service.close()
    with pytest.raises(SyftdError, match="being closed"):
        service.account()
