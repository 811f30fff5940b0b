"""Logging in to Google Drive, against the emulator's consent page: by browser, by pasting, by token file; and out again."""

from __future__ import annotations

import io
import json
import os
import threading
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from urllib.error import HTTPError

import pytest

from syftd import config
from syftd.errors import UserError
from syftd.names import Email
from syftd.places import Places
from syftd.transport.drive import login
from syftd.transport.drive.layout import SCOPE
from tests.cli.conftest import Call
from tests.drive_emulator import DriveEmulator

ME = "me@example.org"


@pytest.fixture
def emulator() -> Iterator[DriveEmulator]:
    with DriveEmulator() as running:
        yield running


@pytest.fixture
def client(tmp_path: Path, emulator: DriveEmulator) -> Path:
    """An OAuth client as the Google console writes it down, for the emulator."""
    path = tmp_path / "client.json"
    inner = {
        "client_id": "id.apps.example", "client_secret": "not-so-secret", "auth_uri": f"{emulator.url}/auth",
        "token_uri": f"{emulator.url}/token", "redirect_uris": ["http://localhost"],
    }  # fmt: skip
    path.write_text(json.dumps({"installed": inner}))
    return path


def visit(address: str) -> bool:
    """A person who agrees in a browser."""

    def open_page() -> None:
        try:
            urllib.request.urlopen(address, timeout=20).read()
        except HTTPError:
            return  # Shown to that person; the command waits until somebody agrees.

    threading.Thread(target=open_page, daemon=True).start()
    return True


def agree(address: str) -> str:
    """Where a browser would be sent that cannot reach this machine."""

    class Stay(urllib.request.HTTPRedirectHandler):
        def redirect_request(self, *_: object) -> None:
            return None

    try:
        urllib.request.build_opener(Stay).open(address, timeout=20)
    except HTTPError as sent:
        return str(sent.headers["Location"])
    raise AssertionError("the page sent nobody anywhere")


class Pasted:
    """Standard input into which a person pastes an address once it is known."""

    def __init__(self) -> None:
        read, self._write = os.pipe()
        self.stream = os.fdopen(read)

    def say(self, line: str) -> None:
        os.write(self._write, line.encode() + b"\n")


def address_in(text: str) -> str:
    return next(line.strip() for line in text.splitlines() if line.strip().startswith("http") and "client_id=" in line)


def test_agreeing_in_the_browser_gives_a_login_that_can_be_renewed(client: Path) -> None:
    shown: list[str] = []
    token = login.authorise(login.read_client(client), Email(ME), tell=shown.append, browser=visit, paste=None, seconds=20)
    assert token["refresh_token"] and token["client_secret"] == "not-so-secret" and token["scopes"] == [SCOPE]
    address = address_in(shown[0])
    assert "code_challenge_method=S256" in address and "access_type=offline" in address and "login_hint" in address


def test_without_a_browser_the_address_is_shown_and_the_answer_pasted(client: Path) -> None:
    pasted = Pasted()

    def tell(text: str) -> None:
        assert "ssh -L" in text
        pasted.say("what now?")
        pasted.say(agree(address_in(text)))

    token = login.authorise(
        login.read_client(client), Email(ME), tell=tell, browser=None, paste=pasted.stream, seconds=20
    )
    assert token["refresh_token"]


def test_without_a_browser_a_forwarded_port_works_as_well(client: Path) -> None:
    token = login.authorise(
        login.read_client(client), Email(ME), tell=lambda text: visit(address_in(text)) and None, browser=None,
        paste=io.StringIO(), seconds=20,
    )  # fmt: skip
    assert token["refresh_token"]


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda answer: answer.replace("state=", "state=x"), "another login"),
        (lambda answer: answer.split("?")[0] + "?error=access_denied", "access_denied"),
        (lambda answer: answer.replace("code=", "code=x"), "did not give a login"),
    ],
)
def test_a_wrong_answer_is_refused_and_shows_no_code(
    client: Path, change: Callable[[str], str], words: str
) -> None:
    pasted = Pasted()
    answers: list[str] = []

    def tell(text: str) -> None:
        answers.append(agree(address_in(text)))
        pasted.say(change(answers[0]))

    with pytest.raises(UserError, match=words) as refused:
        login.authorise(login.read_client(client), Email(ME), tell=tell, browser=None, paste=pasted.stream, seconds=20)
    assert answers[0].partition("code=")[2][:20] not in f"{refused.value}{refused.value.__cause__!r}"


def test_somebody_who_unticks_drive_is_told_what_to_tick(client: Path) -> None:
    def visit_elsewhere(address: str) -> bool:
        return visit(address.replace("auth%2Fdrive", "auth%2Fdrive.file"))

    with pytest.raises(UserError) as refused:
        login.authorise(
            login.read_client(client), Email(ME), tell=lambda text: None, browser=visit_elsewhere, paste=None, seconds=20
        )
    assert "tick" in refused.value.remedy


def test_nobody_who_agrees_ends_the_wait(client: Path) -> None:
    with pytest.raises(UserError, match="nobody agreed"):
        login.authorise(
            login.read_client(client), Email(ME), tell=lambda text: None, browser=None, paste=None, seconds=0.05
        )


@pytest.mark.parametrize(
    ("content", "words"),
    [(None, "no OAuth client file"), ("{", "not JSON"), ("{}", "not an OAuth client"), ('{"web": {}}', "web sites")],
)
def test_what_is_no_client_file_is_explained(tmp_path: Path, content: str | None, words: str) -> None:
    path = tmp_path / "x.json"
    if content is not None:
        path.write_text(content)
    with pytest.raises(UserError, match=words) as refused:
        login.read_client(path)
    assert "Desktop app" in refused.value.remedy


# -- commands -----------------------------------------------------------------------------------------------------------


def token_of(email: str, folder: Path) -> Path:
    path = folder / f"{email}.token.json"
    path.write_text(json.dumps({"type": "authorized_user", "token": email}))
    return path


def test_init_login_doctor_logout(
    syftd: Call, home: Path, tmp_path: Path, emulator: DriveEmulator, client: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = syftd("init", "--email", ME, "--transport", "gdrive", "--drive-endpoint", emulator.url)
    assert made.code == 0 and "syftd login" in made.err
    (transport,) = config.load(Places.at(home), env={}).transport
    assert (transport.kind, transport.name, transport.drive_endpoint) == ("gdrive", "gdrive", emulator.url)
    stored = home / "state" / "keys" / "gdrive-gdrive.json"

    found = syftd("doctor", json=True)
    (check,) = [one for one in found.json["checks"] if one["check"] == "transports"]
    assert check["state"] == "fail" and "nobody has logged in" in check["text"]
    without = syftd("login")
    assert without.code == 2 and "OAuth client" in without.err and "--client-secrets" in without.err

    wrong = syftd("login", "--token-file", str(token_of("other@example.org", tmp_path)))
    assert wrong.code == 2 and "other@example.org" in wrong.err and not stored.exists()

    monkeypatch.setattr("webbrowser.open", visit)
    assert syftd("login", "--client-secrets", str(client)).code == 0
    assert stored.stat().st_mode & 0o777 == 0o600
    for words in (("doctor",), ("config", "show"), ("status",)):
        said = syftd(*words)
        assert json.loads(stored.read_text())["refresh_token"] not in said.out + said.err
    (check,) = [one for one in syftd("doctor", json=True).json["checks"] if one["check"] == "transports"]
    assert check["state"] == "ok" and ME in check["text"]
    assert syftd("login").code == 0, "the client is remembered"

    assert syftd("logout").code == 0
    assert not stored.exists()
    assert "Nobody" in syftd("logout").out


def test_init_takes_a_token_and_writes_nothing_when_it_is_another_persons(
    syftd: Call, home: Path, tmp_path: Path, emulator: DriveEmulator
) -> None:
    words = ("init", "--email", ME, "--transport", "gdrive", "--drive-endpoint", emulator.url, "--token-file")
    refused = syftd(*words, str(token_of("other@example.org", tmp_path)))
    assert refused.code == 2 and "other@example.org" in refused.err
    assert not home.exists()
    assert syftd(*words, str(token_of(ME, tmp_path))).code == 0
    assert (home / "state" / "keys" / "gdrive-gdrive.json").exists()


@pytest.mark.parametrize(
    "words",
    [
        ("--transport", "gdrive", "--transport", "gdrive"),
        ("--token-file", "/x"),
        ("--transport", "gdrive", "--drive-endpoint", "http://drive.example.org"),
        ("--transport", "gdrive", "--drive-endpoint", "ftp://localhost"),
    ],
)
def test_what_makes_no_sense_is_refused(syftd: Call, home: Path, words: tuple[str, ...]) -> None:
    assert syftd("init", "--email", ME, *words).code == 2
    assert not home.exists()


def test_login_is_for_those_who_use_drive(syftd: Call) -> None:
    assert syftd("init", "--email", ME).code == 0
    refused = syftd("login")
    assert refused.code == 2 and "gdrive" in refused.err
