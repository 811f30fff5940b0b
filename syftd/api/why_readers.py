"""The part of `why` that is about others: who may read a path of mine, and what each of them has been shown."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Final

from syftd.api.access_view import Rules
from syftd.state import contacts, files, outbox, overview, problems, views
from syftd.state.db import Db
from syftd.sync.parts import Tuning

if TYPE_CHECKING:
    from syftd.api.live import Live
    from syftd.config import TransportSettings

UP_TO_DATE: Final = "up to date"
WAITING: Final = "waiting"
TOO_LARGE: Final = "too large"
NOT_ALLOWED: Final = "not allowed"
NOTHING: Final = "nothing"
"""There is nothing to be shown."""


def readers(
    db: Db, rules: Rules, row: files.FileRow | None, live: Live | None, transports: Sequence[TransportSettings]
) -> list[dict[str, Any]]:
    """{email, allowed, shown, rule, line} for every accepted peer; `line` is the sentence for people. `shown` is one of
    the words above. `row` is the path as last accepted, None for a folder or a path that is not accepted."""
    return [_Reader(db, rules, row, live, transports, peer).told() for peer in _accepted(db)]


def _accepted(db: Db) -> list[contacts.Peer]:
    return [peer for peer in contacts.all_peers(db) if peer.state == "accepted"]


class _Reader:
    """One peer and one path."""

    def __init__(
        self, db: Db, rules: Rules, row: files.FileRow | None, live: Live | None,
        transports: Sequence[TransportSettings], peer: contacts.Peer,
    ) -> None:  # fmt: skip
        self._db, self._rules, self._row, self._live = db, rules, row, live
        self._peer, self._email = peer, peer.email
        self._transports = [one for one in transports if not one.peers or peer.email in one.peers]

    def told(self) -> dict[str, Any]:
        entry = self._rules.entry(self._email)
        allowed, rule = bool(entry["read"]), str(entry["why"])
        shown, words = self._folder(allowed) if self._rules.is_directory else self._file(allowed)
        may = "may read it" if allowed else "may not read it"
        line = f"{self._email} {may} ({rule}){f': {words}' if words else ''}."
        return {"email": self._email, "allowed": allowed, "shown": shown, "rule": rule, "line": line}

    def _folder(self, allowed: bool) -> tuple[str, str]:
        path = self._rules.path
        count = overview.files_below(self._db, self._rules.owner, path)
        done = overview.up_to_date_below(self._db, self._rules.owner, self._email, path)
        words = f"{done} of {count} files below it have been told as they are"
        if not allowed:
            return NOT_ALLOWED, words if done else ""
        return (WAITING if done < count else UP_TO_DATE), words

    def _file(self, allowed: bool) -> tuple[str, str]:
        path, row = self._rules.path, self._row
        shown = next(iter(views.shown(self._db, self._email, [path]).values()), None)
        letter = overview.carrying(self._db, self._email, path)
        if not allowed:
            if shown is None:
                on = letter is not None
                return NOT_ALLOWED, "the word that it is gone for them is on its way" if on else ""
            if self._rules.hidden is not None:
                return NOT_ALLOWED, "they were shown it before, and that is left alone"
            return NOT_ALLOWED, "they were shown it before; taking it back waits to be told"
        if row is None:
            return (WAITING, "they still have it, and are about to be told") if shown else (NOTHING, "")
        if shown is None or (shown.sha256, shown.executable) != (row.sha256, row.executable):
            return self._untold()
        if letter is None:
            return UP_TO_DATE, "they have this version"
        if letter.state == "sent":
            return WAITING, f"the message lies on {letter.transport}, and they have not read it yet"
        return WAITING, f"the message is not sent yet{f', since {letter.error}' if letter.error else ''}"

    def _untold(self) -> tuple[str, str]:
        """Why an accepted version that may be read has not been told."""
        path = self._rules.path
        known = {problem["id"]: problem for problem in problems.problems(self._db)}
        large = known.get(problems.problem_id("too-large", f"{self._email}:{path}"))
        if large is not None:
            return TOO_LARGE, str(large["text"]).rstrip(".")
        if not self._peer.client_version:
            return WAITING, "what their program understands is not known yet"
        if self._transports and not any(one.trusted for one in self._transports) and not self._public():
            return WAITING, "no transport that they use is trusted with what not everybody may read"
        lifts = self._live.uploads if self._live is not None else []
        lift = next((one for one in lifts if one.get("path") == path), None)
        if lift is not None:
            return WAITING, f"{lift['done']:,} of {lift['size']:,} bytes are uploaded"
        count, size = outbox.unread(self._db, self._email)
        tuning = Tuning()
        if count >= tuning.window_messages or size >= tuning.window_bytes:
            return WAITING, f"they have {count} messages unread, and it is told when they have read some"
        return WAITING, "they have not been told of this version yet"

    def _public(self) -> bool:
        return self._rules.access.public(self._rules.path)

