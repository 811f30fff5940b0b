"""Everything that can be asked: one class that the daemon and, without a daemon, the commands use alike.

The answers come from the database and from the files, which nothing here changes. What only a running daemon knows is
given to it as `Live`.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from syftd.api.live import Live
from syftd.api.locate import locate
from syftd.api.offline import DATABASE, opened, transports_written, unreadable
from syftd.errors import UserError
from syftd.names import Email
from syftd.state import contacts, events, files, jobs, overview, problems
from syftd.state.db import Db
from syftd.wire.submission import time_text

if TYPE_CHECKING:
    from syftd.api.folder import Folder
    from syftd.config import Settings, TransportSettings
    from syftd.places import Places

__all__ = ["Live", "Queries", "locate", "open_readonly"]

RECORD_LINES: Final = 1000
"""The most lines of the record in one answer."""

Answer = dict[str, Any] | list[Any]
Query = Mapping[str, str]


def open_readonly(places: Places, settings: Settings) -> Queries:
    """The questions without a daemon. Before the daemon's first start everything is empty rather than wrong.

    Raises StateCorrupt for a database that cannot be read, UserError for one that an older syftd left behind.
    """
    transports = settings.transport or transports_written(places)
    db = opened(places.state / DATABASE)
    return Queries(
        db, settings.email, settings.data, live=None, state=places.state, settings=settings, transports=transports
    )


class Queries:
    """The GET side of the local API. `data` is the data folder, `state` the instance's own (default: where the database
    lies). `settings` brings the limits of jobs and, unless given, the transports."""

    def __init__(
        self, db: Db, me: Email, data: Path, *, live: Live | None, state: Path | None = None,
        settings: Settings | None = None, transports: tuple[TransportSettings, ...] = (),
    ) -> None:  # fmt: skip
        self._db = db
        self._me = me
        self._data = data
        self._live = live
        self._state = state if state is not None else db.path.parent
        self._settings = settings
        self._transports = transports or (settings.transport if settings is not None else ())

    def get(self, path: str, query: Query) -> Answer:
        """Answers `GET path`; raises UserError for a wrong question, NotFound for what there is not."""
        try:
            match path.strip("/").split("/"):
                case ["v1", "jobs", id, *rest]:
                    return self._job(id, rest, query)
                case ["v1", name] if name in _ROUTES:
                    return _ROUTES[name](self, query)
        except sqlite3.DatabaseError as error:
            if self._live is not None:
                raise  # The daemon knows what to do about its own database.
            raise unreadable(self._db.path, error) from error
        raise _not_found(f"there is nothing at {path}", "See the list of routes in the documentation.")

    # -- all in one screen -----------------------------------------------------------------------------------------

    def status(self, _: Query) -> dict[str, Any]:
        """One screen: whether all is well, for every peer how far it got, and what a person should know."""
        live = self._live
        told = self._problems({})
        return {
            "email": self._me,
            "ready": live is not None and live.ready,
            "pid": live.pid if live is not None else None,
            "since": _moment(live.since if live is not None else None),
            "safe_mode": live is not None and live.safe_mode,
            "paused": live is not None and live.paused,
            "watcher": {"kind": live.watcher_mode, "problem": live.watcher_problem} if live is not None else None,
            "transports": self._transport_health(),
            "peers": self._peer_status(),
            "files": files.count(self._db, self._me),
            "jobs_waiting": overview.jobs_waiting(self._db, self._me),
            "problems": len(told),
            "problems_list": told,
            "last_scan": _moment(live.last_scan if live is not None else None),
            "last_poll": _moment(live.last_poll if live is not None else None),
            "scanning": live is not None and live.scanning,
            "files_seen": live.files_seen if live is not None else 0,
            "uploads": [dict(one) for one in live.uploads] if live is not None else [],
            "downloads": [dict(one) for one in live.downloads] if live is not None else [],
        }

    def _transport_health(self) -> list[dict[str, Any]]:
        if self._live is not None:
            return [dict(one) for one in self._live.transports]
        return [{"name": one.name, "state": "unknown", "error": "", "remedy": ""} for one in self._transports]

    def _peer_status(self) -> list[dict[str, Any]]:
        db = self._db
        sending, behind = overview.on_their_way(db), overview.readers_behind(db)
        fetching, drafts = overview.to_fetch(db), overview.drafts_waiting(db)
        return [
            {
                **self._peer(peer),
                "to_send": sending.get(peer.email, 0) + (peer.email in behind),
                "to_fetch": fetching.get(peer.email, 0),
                "waiting_verdict": drafts.get(peer.email, 0),
            }
            for peer in contacts.all_peers(db)
        ]

    def _problems(self, _: Query) -> list[dict[str, Any]]:
        return [{**problem, "since": time_text(problem["since"])} for problem in problems.problems(self._db)]

    def _peers(self, _: Query) -> list[dict[str, Any]]:
        return [self._peer(peer) for peer in contacts.all_peers(self._db)]

    def _peer(self, peer: contacts.Peer) -> dict[str, Any]:
        return {
            "email": peer.email,
            "state": peer.state,
            "since": time_text(peer.since),
            "protection": self._protection(peer.email),
            "note": peer.note,
        }

    def _protection(self, peer: Email) -> str:
        """How what travels to and from a peer is protected, in words."""
        used = [one for one in self._transports if not one.peers or peer in one.peers]
        if not used:
            return "none (no transport reaches them)" if self._transports else "unsealed"
        words = [
            "Google Drive"
            if one.kind == "gdrive" and not one.drive_id
            else ("" if one.trusted else "un") + f"trusted {'shared drive' if one.kind == 'gdrive' else one.kind}"
            for one in used
        ]
        told = ", ".join(dict.fromkeys(words))
        return f"none ({told})" if any(one.carries_private for one in used) else f"none ({told}: only what is public)"

    # -- paths -----------------------------------------------------------------------------------------------------

    def _access(self, query: Query) -> dict[str, Any]:
        from syftd.api import access_view

        site, path = self._located(query)
        if site != self._me:
            raise UserError(f"{query['path']} belongs to {site}", "Only the owner decides who may read it.")
        whom = Email.parse(query["for"]) if query.get("for") else None
        with self._sites() as sites:
            return access_view.view(self._db, self._me, sites, path, whom)

    def _why(self, query: Query) -> dict[str, Any]:
        from syftd.api.why import Why

        site, path = self._located(query)
        with self._sites() as sites:
            return Why(self._db, self._me, sites, self._live, self._transports).answer(site, path)

    def _history(self, query: Query) -> list[dict[str, Any]]:
        site, path = self._located(query)
        if site == self._me:
            return [{**version, "at": time_text(version["at"])} for version in events.history(self._db, path)]
        kept = problems.trash_of(self._db, site, path)
        return [
            {"seq": None, "sha256": one.sha256, "size": one.size, "at": time_text(one.at), "by": "", "why": one.why}
            for one in reversed(kept)
        ]

    def _located(self, query: Query) -> tuple[Email, str]:
        if not query.get("path"):
            raise UserError("“path” is missing", "Name a file or folder.")
        return locate(self._data, self._me, query["path"])

    # -- jobs and the record ---------------------------------------------------------------------------------------

    def _jobs(self, _: Query) -> list[dict[str, Any]]:
        from syftd.jobs import show

        return [show.row(job) for job in jobs.all_jobs(self._db)]

    def _job(self, id: str, rest: list[str], query: Query) -> dict[str, Any]:
        from syftd.api.folder import Folder
        from syftd.jobs import compare, show

        job = self._found(id)
        with self._sites() as sites, Folder(self._state / "jobs") as kept:
            sources = show.Sources(self._db, self._me, sites, kept, self._limits())
            match rest:
                case []:
                    return show.describe(sources, job)
                case ["diff"]:
                    return compare.differences(sources, job)
                case ["logs"]:
                    return show.logs(sources, job, _offset(query, "stdout"), _offset(query, "stderr"))
        raise _not_found(f"a job has no “{'/'.join(rest)}”", "Ask for diff or logs.")

    def _found(self, id: str) -> jobs.JobRow:
        """The job whose id `id` is or begins."""
        import difflib

        rows = jobs.all_jobs(self._db)
        found = [job for job in rows if job.id == id] or [job for job in rows if job.id.startswith(id)]
        if len(found) == 1:
            return found[0]
        if found:
            raise _not_found(f"“{id}” could be {', '.join(job.id for job in found[:5])}", "Give more of the id.")
        near = difflib.get_close_matches(id, [job.id for job in rows], n=3, cutoff=0.5)
        near += [job.id for job in rows if job.name == id and job.id not in near]
        named = ", ".join(f"{job.id} ({job.name})" for job in rows if job.id in near)
        raise _not_found(f"there is no job {id}", f"Did you mean {named}?" if named else "See `syftd jobs list`.")

    def _limits(self) -> dict[str, Any]:
        if self._settings is None:
            return {}
        return {key: value for key, value in asdict(self._settings.jobs).items() if key != "concurrency"}

    def _log(self, query: Query) -> list[dict[str, Any]]:
        """Lines of the record, oldest first: those after a number, else the last ones."""
        if query.get("after"):
            lines = events.record_after(self._db, _offset(query, "after"), RECORD_LINES)
        else:
            lines = overview.record_end(self._db, RECORD_LINES)
        return [
            {"seq": line["n"], "at": time_text(line["at"]), **{k: v for k, v in line.items() if k not in ("n", "at")}}
            for line in lines
        ]

    def _sites(self) -> Folder:
        from syftd.api.folder import Folder

        return Folder(self._data / "datasites")


_ROUTES: Final[dict[str, Callable[[Queries, Query], Answer]]] = {
    "status": Queries.status,
    "problems": Queries._problems,
    "peers": Queries._peers,
    "access": Queries._access,
    "why": Queries._why,
    "history": Queries._history,
    "jobs": Queries._jobs,
    "log": Queries._log,
}


def _moment(seconds: float | None) -> str | None:
    return None if seconds is None else time_text(seconds)


def _offset(query: Query, name: str) -> int:
    text = query.get(name) or "0"
    if not (text.isascii() and text.isdigit() and len(text) <= 18):
        raise UserError(f"“{name}” is {text[:40]!r}, which is not a whole number", "Give a number from 0 on.")
    return int(text)


def _not_found(text: str, remedy: str) -> UserError:
    from syftd.api.server import NotFound  # Loads logging, which a question that has an answer does not need.

    return NotFound(text, remedy)
