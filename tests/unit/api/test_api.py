"""The local API end to end over a real socket: what it carries, what it refuses, and how errors come back."""

import json
import os
import socket
import stat
from collections.abc import Callable, Iterator
from pathlib import Path
from threading import Barrier

import pytest

from syftd.api import server as module
from syftd.api.client import Client
from syftd.api.server import MAX_BODY, NotFound, Request, Response, Server
from syftd.errors import Denied, Halted, LockHeld, NotRunning, Stale, SyftdError, UserError
from syftd.seams import ThreadPool, sleep_until

Serve = Callable[[Callable[[Request], Response]], Client]


@pytest.fixture
def home(tmp_path: Path) -> Path:
    directory = tmp_path / "run"
    directory.mkdir(mode=0o700)
    return directory


@pytest.fixture
def serve(home: Path) -> Iterator[Serve]:
    running: list[Server] = []

    def start(answer: Callable[[Request], Response]) -> Client:
        running.append(Server(home / "s.sock", answer))
        running[-1].start()
        return Client(home / "s.sock", timeout=10)

    yield start
    for one in running:
        one.close()


def echo(request: Request) -> Response:
    return Response(200, {"m": request.method, "p": request.path, "q": request.query, "b": request.body})


def raw(path: Path, sent: bytes) -> tuple[int, bytes]:
    with socket.socket(socket.AF_UNIX) as connection:
        connection.settimeout(10)
        connection.connect(str(path))
        connection.sendall(sent)
        connection.shutdown(socket.SHUT_WR)
        received = b""
        while more := connection.recv(65536):
            received += more
    head, _, body = received.partition(b"\r\n\r\n")
    return int(head.split(b" ")[1]), body


def test_words_of_every_kind_arrive_unchanged(serve: Serve) -> None:
    client = serve(echo)
    odd = "a b/ü%+&=?#\x01“.txt"
    found = client.get("/v1/why", path=odd, none=None, number=3)
    assert found == {"m": "GET", "p": "/v1/why", "q": {"path": odd, "number": "3"}, "b": None}
    found = client.post("/v1/peers/o'neil+x@ex.org/add", path=odd, **{"with": "*"})
    assert found["p"] == "/v1/peers/o'neil+x@ex.org/add" and found["b"] == {"path": odd, "with": "*"}


def test_the_socket_is_ours_alone_and_goes_away(home: Path) -> None:
    one = Server(home / "s.sock", echo)
    one.start()
    assert stat.S_IMODE((home / "s.sock").stat().st_mode) == 0o600
    one.close()
    one.close()
    assert not (home / "s.sock").exists()


def test_a_dead_daemons_socket_is_replaced(home: Path, serve: Serve) -> None:
    with socket.socket(socket.AF_UNIX) as dead:
        dead.bind(str(home / "s.sock"))
    with pytest.raises(NotRunning):
        Client(home / "s.sock").get("/v1/status")
    assert serve(echo).get("/")["p"] == "/"


def test_a_directory_open_to_others_is_refused(home: Path) -> None:
    home.chmod(0o750)
    with pytest.raises(UserError, match="open to others"):
        Server(home / "s.sock", echo).start()


def test_a_very_long_path_works(tmp_path: Path) -> None:
    deep = tmp_path / ("d" * 120) / "run"
    deep.mkdir(parents=True)
    deep.chmod(0o700)
    one = Server(deep / "s.sock", echo)
    one.start()
    try:
        assert Client(deep / "s.sock").get("/x")["p"] == "/x"
    finally:
        one.close()
    assert not (deep / "s.sock").exists()


@pytest.mark.parametrize(
    ("error", "status"),
    [
        (UserError("no", "do so"), 400),
        (Denied("no", "do so"), 400),
        (NotFound("no", "do so"), 404),
        (Stale("no", "do so"), 409),
        (Halted("no", "do so"), 409),
        (LockHeld("no", "do so"), 409),
        (SyftdError("no", "do so"), 500),
    ],
)
def test_errors_come_back_as_they_were(serve: Serve, home: Path, error: SyftdError, status: int) -> None:
    def answer(_: Request) -> Response:
        raise error

    client = serve(answer)
    with pytest.raises(SyftdError) as caught:
        client.get("/")
    assert isinstance(error, type(caught.value)) and type(caught.value).__module__ == "syftd.errors"
    assert (str(caught.value), caught.value.remedy) == ("no", "do so")
    assert caught.value.exit_code == error.exit_code
    found, body = raw(home / "s.sock", b"GET / HTTP/1.1\r\n\r\n")
    assert found == status and set(json.loads(body)["error"]) >= {"text", "remedy", "exit_code"}


def test_a_bug_is_told_without_its_insides_and_serving_goes_on(serve: Serve) -> None:
    def answer(request: Request) -> Response:
        if request.path == "/bug":
            raise ZeroDivisionError("secret insides")
        return echo(request)

    client = serve(answer)
    with pytest.raises(SyftdError, match="internal error: ZeroDivisionError") as caught:
        client.get("/bug")
    assert "insides" not in str(caught.value)
    assert client.get("/fine")["p"] == "/fine"


@pytest.mark.parametrize(
    ("sent", "status"),
    [
        (b"hello\r\n\r\n", 400),
        (b"GET / HTTP/9\r\n\r\n", 400),
        (b"GET http://x/ HTTP/1.1\r\n\r\n", 400),
        (b"DELETE / HTTP/1.1\r\n\r\n", 405),
        (b"GET / HT", 400),
        (b"GET /%ff HTTP/1.1\r\n\r\n", 400),
        (b"GET /?" + b"&".join(b"a%d=1" % n for n in range(50)) + b" HTTP/1.1\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\nx: " + b"y" * 20_000 + b"\r\n\r\n", 413),
        (b"POST / HTTP/1.1\r\nContent-Length: 5\r\n\r\n{}", 400),
        (b"POST / HTTP/1.1\r\nContent-Length: -1\r\n\r\n{}", 400),
        (b"POST / HTTP/1.1\r\nContent-Length: %d\r\n\r\n" % (MAX_BODY + 1), 413),
        (b"POST / HTTP/1.1\r\nContent-Length: 99999999999999999999\r\n\r\n", 413),
        (b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 400),
        (b"POST / HTTP/1.1\r\nContent-Length: 3\r\n\r\n[1]", 400),
        (b"POST / HTTP/1.1\r\nContent-Length: 2\r\n\r\n{x", 400),
        (b"POST / HTTP/1.1\r\nContent-Length: 100000\r\n\r\n" + b"[" * 100_000, 400),
    ],
)
def test_hostile_requests_are_refused(serve: Serve, home: Path, sent: bytes, status: int) -> None:
    client = serve(echo)
    found, body = raw(home / "s.sock", sent)
    assert found == status and "error" in json.loads(body)
    assert client.get("/after")["p"] == "/after"


def test_the_largest_body_is_taken(serve: Serve) -> None:
    text = "x" * (MAX_BODY - 20)
    assert serve(echo).post("/", t=text)["b"] == {"t": text}


def test_another_user_is_turned_away(serve: Serve, monkeypatch: pytest.MonkeyPatch) -> None:
    """The kernel's word counts: as seen from another uid, this process is somebody else."""
    asked: list[Request] = []
    client = serve(lambda request: asked.append(request) or echo(request))  # type: ignore[func-returns-value]
    assert client.get("/")["p"] == "/"
    if os.getuid() == 0:
        child = os.fork()
        if child == 0:
            code = 1
            try:
                # The directory would stop it first; hold a descriptor on it from before giving the rights up.
                inside = os.open(client._path.parent, os.O_RDONLY)
                os.chmod(client._path, 0o666)
                os.setgid(65534)
                os.setuid(65534)
                with socket.socket(socket.AF_UNIX) as connection:
                    connection.connect(f"/proc/self/fd/{inside}/s.sock")
                    connection.sendall(b"GET / HTTP/1.1\r\n\r\n")
                    code = 0 if connection.recv(100).startswith(b"HTTP/1.1 403") else 2
            except PermissionError:
                code = 0  # The kernel did not even let it reach the socket.
            finally:
                os._exit(code)
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    else:
        monkeypatch.setattr(module.os, "getuid", lambda: 54321)
        with pytest.raises(SyftdError, match="another user"):
            client.get("/")
    assert len(asked) == 1


def test_sixteen_are_answered_at_once(serve: Serve) -> None:
    together = Barrier(16, timeout=10)

    def answer(request: Request) -> Response:
        together.wait()
        return echo(request)

    client = serve(answer)
    done: list[object] = []
    pool = ThreadPool(16, "test")
    for _ in range(16):
        pool.submit(lambda: client.get("/"), lambda result, error: done.append(error or result))
    assert sleep_until(lambda: len(done) == 16, timeout=15)
    pool.close()
    assert all(isinstance(one, dict) for one in done)


def test_nobody_there_says_how_to_start(tmp_path: Path) -> None:
    with pytest.raises(NotRunning) as caught:
        Client(tmp_path / "none.sock").get("/")
    assert caught.value.exit_code == 4 and "syftd run" in caught.value.remedy


def test_a_daemon_that_hangs_is_not_waited_for_for_ever(home: Path) -> None:
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(home / "s.sock"))
        listener.listen()
        with pytest.raises(NotRunning, match="did not answer within"):
            Client(home / "s.sock", timeout=0.1).get("/")
