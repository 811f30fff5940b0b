"""The program in this process: an instance, a stand-in for the daemon, and calls with captured output."""

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from syftd.api.server import NotFound, Request, Response, Server
from syftd.cli.main import main
from syftd.errors import SyftdError
from syftd.places import Places


@dataclass
class Outcome:
    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        """The one document on stdout; fails when there is more or less."""
        return json.loads(self.out)


Call = Callable[..., Outcome]


@dataclass
class Daemon:
    """Answers from a table; keeps what it was asked to change."""

    answers: dict[str, Any] = field(default_factory=dict)
    asked: list[Request] = field(default_factory=list)

    def __call__(self, request: Request) -> Response:
        self.asked.append(request)
        found = self.answers.get(f"{request.method} {request.path}")
        if found is None:
            raise NotFound(f"nothing at {request.path}", "")
        if isinstance(found, SyftdError):
            raise found
        return Response(200, found(request) if callable(found) else found)

    @property
    def changes(self) -> list[tuple[str, Any]]:
        return [(one.path, one.body) for one in self.asked if one.method == "POST"]


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.delenv("SYFTD_HOME", raising=False)
    monkeypatch.setenv("HOME", str(tmp_path / "user"))
    (tmp_path / "user").mkdir()
    return tmp_path / "home"


@pytest.fixture
def syftd(home: Path, capsys: pytest.CaptureFixture[str]) -> Call:
    def call(*words: str, json: bool = False) -> Outcome:
        code = main(["--home", str(home), *(["--json"] if json else []), *words])
        out, err = capsys.readouterr()
        return Outcome(code, out, err)

    return call


@pytest.fixture
def daemon(home: Path) -> Iterator[Daemon]:
    places = Places.at(home, {})
    places.ensure()
    found = Daemon()
    server = Server(places.socket, found)
    server.start()
    yield found
    server.close()
