"""One call of the command line: which instance, which form of answer, and whom to ask (the daemon, or its files)."""

from __future__ import annotations

import argparse
import difflib
import json
import os
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, NoReturn

from syftd.api.client import Client
from syftd.errors import NotRunning, UserError
from syftd.places import Places


class Parser(argparse.ArgumentParser):
    """An argument parser whose errors are ours: a UserError, printed the same way as every other."""

    def error(self, message: str) -> NoReturn:
        raise UserError(f"{self.prog}: {message}", f"See `{self.prog} --help`.")


@dataclass(frozen=True)
class Command:
    """How a command is carried out: `arguments` declares them, `run` does it and returns the exit code."""

    arguments: Callable[[Parser], None]
    run: Callable[[Session, argparse.Namespace], int]


@dataclass
class Session:
    """What every command is given."""

    home: Path | None
    as_json: bool
    live: bool = field(default=False)
    """Whether the last answer to `read` came from the daemon itself."""

    @cached_property
    def places(self) -> Places:
        """Where this instance keeps its things."""
        return Places.at(self.home)

    @cached_property
    def client(self) -> Client:
        """The daemon's API."""
        return Client(self.places.socket)

    @cached_property
    def _offline(self) -> Any:
        from syftd import config
        from syftd.api import queries

        return queries.open_readonly(self.places, config.load(self.places))

    def read(self, path: str, /, **query: Any) -> Any:
        """Asks the daemon, or its database and files when it is not running."""
        try:
            answer = self.client.get(path, **query)
        except NotRunning:
            self.live = False
            return self._offline.get(path, {k: str(v) for k, v in query.items() if v is not None})
        self.live = True
        return answer

    def change(self, path: str, /, **body: Any) -> Any:
        """Asks the daemon to do something; raises NotRunning when there is none."""
        return self.client.post(path, **body)

    def answer(self, document: Any, text: str = "") -> None:
        """Prints the answer: the document with --json, else the text for people."""
        if self.as_json:
            print(json.dumps(document))
        elif text:
            print(text)

    def say(self, text: str) -> None:
        """Tells people something that is not the answer (on stderr)."""
        print(text, file=sys.stderr)


def full_path(text: str) -> str:
    """What a person called a file, for the daemon: absolute, or relative to the own datasite.

    A word that begins with ``./`` or ``../`` means the working directory and is made absolute.
    """
    if not text:
        raise UserError("the path is empty", "Name a file or folder of your datasite.")
    if text in (".", "..") or text.startswith(("./", "../", "/")):
        return os.path.abspath(text)
    return text.rstrip("/") or text


def whole_id(given: str, rows: Sequence[Mapping[str, Any]], what: str = "job") -> str:
    """The one id that `given` is or begins; raises UserError that lists the ids that are near."""
    ids = [str(row["id"]) for row in rows]
    if given in ids:
        return given
    matching = [known for known in ids if given and known.startswith(given)]
    if len(matching) == 1:
        return matching[0]
    if matching:
        text = f"“{given}” is the beginning of {len(matching)} {what}s"
        raise UserError(text, "Which one?" + _listed(matching, rows))
    near = difflib.get_close_matches(given, ids, n=3, cutoff=0.5) or [
        str(row["id"]) for row in rows if given in (row.get("name"), row.get("subject"))
    ]
    if near:
        raise UserError(f"there is no {what} “{given}”", "Did you mean" + _listed(near, rows))
    if not ids:
        raise UserError(f"there is no {what} “{given}”", f"There are no {what}s at all.")
    raise UserError(f"there is no {what} “{given}”", f"The latest {what}s:" + _listed(ids[-5:], rows))


def _listed(ids: list[str], rows: Sequence[Mapping[str, Any]]) -> str:
    from syftd.cli.render import visible

    told = {str(row["id"]): f"  {row.get('state', '')}  {row.get('name') or row.get('text', '')}" for row in rows}
    return "".join(f"\n  {visible(known)}{visible(told[known])}" for known in ids)
