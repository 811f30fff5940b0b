"""What the local API answers, on the control thread: reading through `queries`, changing through the engine."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from syftd.api.server import NotFound, Request, Response
from syftd.errors import ContentMissing, UserError
from syftd.names import PERMISSION_FILE, Digest, Email, RelPath
from syftd.state import events, files, outbox, problems

if TYPE_CHECKING:
    from syftd.api.queries import Queries
    from syftd.daemon.wiring import Daemon

Body = dict[str, Any]
Call = Callable[["Daemon", list[str], Body], dict[str, Any] | list[Any]]


def answer(daemon: Daemon, request: Request) -> Response:
    """Answers one request; raises SyftdError for what cannot be done."""
    if request.method == "GET":
        answered = queries(daemon).get(request.path, request.query)
        _remember_shown(daemon, request, answered)
        return Response(200, answered)
    if request.method != "POST":
        raise NotFound(f"{request.method} is not understood")
    for pattern, call in _CALLS:
        found = re.fullmatch(pattern, request.path)
        if found:
            result = call(daemon, list(found.groups()), request.body or {})
            daemon.engine.pump()
            return Response(200, result)
    raise NotFound(f"there is nothing at {request.path}")


def queries(daemon: Daemon) -> Queries:
    """The reading side, with what only a running daemon knows."""
    from syftd.api.queries import Live, Queries

    engine = daemon.engine
    live = Live(
        ready=daemon.started, since=daemon.since, safe_mode=daemon.safe_mode, paused=engine.paused,
        watcher_mode=daemon.watcher.mode, watcher_problem=daemon.watcher.problem or "",
        transports=[
            {
                "name": item.name, "state": item.state, "error": item.error, "remedy": item.remedy,
                "notes": list(item.notes),
            }
            for item in daemon.router.health()
        ],
        last_scan=engine.look.last_scan or None, last_poll=engine.inbox.last_poll or None,
        uploads=engine.upload.progress(), downloads=engine.fetch.progress(), scanning=engine.look.busy,
    )  # fmt: skip
    return Queries(
        daemon.db,
        daemon.settings.email,
        daemon.settings.data,
        live=live,
        state=daemon.places.state,
        settings=daemon.settings,
    )


# -- peers -------------------------------------------------------------------------------------------------------------


def _peer(daemon: Daemon, words: list[str], _: Body) -> dict[str, Any]:
    email, verb = Email.parse(words[0]), words[1]
    pairing = daemon.engine.pairing
    act = {"add": pairing.add, "accept": pairing.accept, "reject": pairing.reject, "remove": pairing.remove}[verb]
    peer = act(email)
    daemon.engine.inbox.poll()
    return {"email": peer.email, "state": peer.state}


# -- rules -------------------------------------------------------------------------------------------------------------


def _share(daemon: Daemon, _: list[str], body: Body) -> dict[str, Any]:
    from syftd.rules import edit

    path, is_directory = _place(daemon, _text(body, "path"))
    user = _text(body, "with")
    if daemon.parts.hidden(path) is not None:
        raise UserError(f"{path} cannot be shared: {daemon.parts.hidden(path)}", "Move a copy to a place that can.")
    directory, ruleset = edit.grant(
        _rulesets(daemon, path), path, is_directory, user, "write" if body.get("write") else "read"
    )
    written = _write_rules(daemon, [(directory, ruleset)])
    return {"path": path, "with": user, "files": written}


def _unshare(daemon: Daemon, _: list[str], body: Body) -> dict[str, Any]:
    from syftd.rules import edit

    path, is_directory = _place(daemon, _text(body, "path"))
    user = _text(body, "with")
    revocation = edit.revoke(_rulesets(daemon, path), path, is_directory, user)
    written = _write_rules(daemon, list(revocation.changed))
    return {"path": path, "with": user, "files": written, "still": list(revocation.still)}


def _place(daemon: Daemon, text: str) -> tuple[str, bool]:
    """The path in the own datasite that a person means, and whether it is a directory."""
    path = own_path(daemon, text)
    if not path:
        return "", True
    kind = daemon.disk.kind(daemon.settings.email, path)
    if kind is None:
        raise UserError(f"{text} does not exist in your datasite", f"Paths are relative to {daemon.settings.datasite}.")
    if kind not in ("file", "directory"):
        raise UserError(f"{text} is a {kind}, which is never shared", "Share an ordinary file or folder.")
    return path, kind == "directory"


def own_path(daemon: Daemon, text: str) -> str:
    """A path of the own datasite from what a person typed: absolute, or relative to the datasite."""
    site, path = any_path(daemon, text)
    if site != daemon.settings.email:
        raise UserError(f"{text} belongs to {site}", "Only the owner decides who may read it.")
    return path


def any_path(daemon: Daemon, text: str) -> tuple[Email, str]:
    """(datasite, path in it) from what a person typed."""
    from syftd.api.queries import locate

    return locate(daemon.settings.data, daemon.settings.email, text)


def _rulesets(daemon: Daemon, path: str) -> dict[str, Any]:
    from syftd.errors import Malformed
    from syftd.rules.ruleset import parse

    broken = daemon.parts.access.problems()
    found: dict[str, Any] = {}
    me = daemon.settings.email
    for directory in daemon.parts.access.directories():
        name = f"{directory}/{PERMISSION_FILE}" if directory else PERMISSION_FILE
        if directory in broken:
            if not directory or path == directory or path.startswith(directory + "/"):
                raise UserError(f"{name} is broken: {broken[directory]}", "Correct it first; sharing edits that file.")
            continue
        try:
            found[directory] = parse(daemon.disk.read(me, name, 256 * 1024)[0])
        except (Malformed, ContentMissing) as error:
            raise UserError(f"{name} cannot be read: {error}", "Correct it, then try again.") from error
    return found


def _write_rules(daemon: Daemon, changed: list[tuple[str, Any]]) -> list[str]:
    from syftd.rules.ruleset import render

    me = daemon.settings.email
    written = []
    for directory, ruleset in changed:
        path = f"{directory}/{PERMISSION_FILE}" if directory else PERMISSION_FILE
        daemon.disk.write_own(me, path, render(ruleset).encode())
        daemon.settle.touch(f"{me}/{path}", True)
        written.append(path)
    daemon.engine.due()
    return written


# -- files -------------------------------------------------------------------------------------------------------------


def _restore(daemon: Daemon, _: list[str], body: Body) -> dict[str, Any]:
    """Puts an earlier content back: from the trash, or wherever else this machine still has it."""
    site, path = any_path(daemon, _text(body, "path"))
    relative = RelPath.parse(path)
    sequence = body.get("seq")
    wanted: Digest | None = None
    if sequence is not None:
        if site != daemon.settings.email:
            raise UserError(
                "numbered versions exist in your own datasite only", "Leave @SEQ out to take the newest from the trash."
            )
        row = next((item for item in events.history(daemon.db, relative) if item["seq"] == sequence), None)
        if row is None:
            raise UserError(f"{path} has no version {sequence}", f"See `syftd history {path}`.")
        if row["sha256"] is None:
            raise UserError(f"version {sequence} of {path} is its deletion", f"See `syftd history {path}`.")
        wanted = Digest(row["sha256"])
    digest, content = _content(daemon, site, relative, wanted)
    now = daemon.disk.stat(site, relative)
    placed, trash = daemon.disk.write_own(site, relative, content)
    if trash is not None and now is not None:
        known = files.get(daemon.db, site, relative)
        before = known.sha256 if known else Digest("")
        problems.trashed(
            daemon.db,
            [problems.Trashed(trash, site, relative, before, now.size, daemon.clock.now(), "replaced by restore")],
        )
    daemon.parts.solved("not-taken", f"{site}/{relative}")
    daemon.parts.note("restored", relative, site=site, sha256=digest)
    daemon.settle.touch(f"{site}/{relative}", True)
    daemon.engine.due()
    return {"path": relative, "site": site, "sha256": digest, "size": placed.size}


def _content(daemon: Daemon, site: Email, path: RelPath, wanted: Digest | None) -> tuple[Digest, bytes]:
    rows = problems.trash_with(daemon.db, wanted) if wanted else problems.trash_of(daemon.db, site, path)
    for row in rows:
        try:
            content = daemon.disk.restore(row.id)
        except ContentMissing:
            continue
        if Digest.of(content) == row.sha256 or not row.sha256:
            return Digest.of(content), content
    for digest in [wanted] if wanted else _earlier(daemon, site, path):
        kept = daemon.versions.get(digest)
        if kept is not None:
            return digest, kept
    raise UserError(
        f"that content of {path} is not kept any more", f"See `syftd history {path}` for the versions that there were."
    )


def _earlier(daemon: Daemon, site: Email, path: RelPath) -> list[Digest]:
    """What a path of the own datasite held before, newest first, without what it holds now."""
    if site != daemon.settings.email:
        return []
    row = files.get(daemon.db, site, path)
    now = row.sha256 if row is not None and daemon.disk.stat(site, row.spelling) is not None else None
    past = [item["sha256"] for item in reversed(events.history(daemon.db, path)) if item["sha256"]]
    return [Digest(digest) for digest in dict.fromkeys(past) if digest != now]


def _plan(daemon: Daemon, words: list[str], _: Body) -> dict[str, Any]:
    plan, verb = words
    halt = next((row for row in problems.halts(daemon.db) if row.id == plan), None)
    if halt is None:
        raise NotFound(f"no plan {plan} waits", "See `syftd problems`.")
    if verb == "confirm":
        daemon.engine.confirm(halt)
        return {"plan": plan, "state": "confirmed"}
    return {"plan": plan, "state": "rejected", **daemon.engine.reject(halt)}


def _pause(daemon: Daemon, _: list[str], body: Body) -> dict[str, Any]:
    seconds = body.get("seconds")
    daemon.pause(None if seconds is None else float(seconds))
    return {"paused": True, "seconds": seconds}


def _resume(daemon: Daemon, _: list[str], __: Body) -> dict[str, Any]:
    daemon.resume()
    return {"paused": False}


def _scan(daemon: Daemon, _: list[str], __: Body) -> dict[str, Any]:
    daemon.engine.look.everything()
    daemon.engine.poll()
    return {"scanning": True}


# -- jobs --------------------------------------------------------------------------------------------------------------


def _submit(daemon: Daemon, _: list[str], body: Body) -> list[Any]:
    owners = [Email.parse(str(item)) for item in cast("list[Any]", body.get("to") or [])]
    if not owners:
        raise UserError("a job needs an owner to be sent to", "Name one with --to EMAIL.")
    datasets = [str(item) for item in cast("list[Any]", body.get("datasets") or [])]
    name = body.get("name")
    jobs = daemon.jobs.submit(owners, Path(_text(body, "dir")), str(name) if name else None, datasets)
    return [daemon.jobs.row(job) for job in jobs]


def _remember_shown(daemon: Daemon, request: Request, found: dict[str, Any] | list[Any]) -> None:
    """A job that was answered in detail counts as looked at, unless the asker only glances at its state (`glance`)."""
    words = request.path.strip("/").split("/")
    detail = words[:2] == ["v1", "jobs"] and (len(words) == 3 or words[3:] == ["diff"])
    if detail and isinstance(found, dict) and not request.query.get("glance"):
        daemon.jobs.shown(found["id"], found["digest"])


def _job(daemon: Daemon, words: list[str], body: Body) -> dict[str, Any]:
    id, verb = words
    desk = daemon.jobs
    job = desk.find(id)
    match verb:
        case "approve":
            digest = body.get("digest")
            job = desk.approve(
                job,
                release=bool(body.get("release")),
                digest=str(digest) if digest else None,
                unsafe=bool(body.get("unsafe_no_sandbox")),
            )
        case "deny":
            job = desk.deny(job, str(body.get("reason") or ""))
        case "cancel":
            job = desk.cancel(job)
        case "release":
            only = body.get("only")
            before = set(job.facts.get("released", []))
            job = desk.release(job, str(only) if only else None)
            released = job.facts.get("released", [])
            told = {"released": sorted(set(released) - before) or released, "releasing": job.facts.get("releasing", [])}
            return {**desk.row(job), **told}
        case "rerun":
            job = desk.rerun(job, release=bool(body.get("release")), unsafe=bool(body.get("unsafe_no_sandbox")))
        case _:
            raise NotFound(f"a job cannot be told to {verb}")
    return desk.row(job)


def _retry(daemon: Daemon, words: list[str], _: Body) -> dict[str, Any]:
    """A person has logged in, or mounted what was missing: a transport that is paused is tried at once."""
    name = words[0]
    if name not in daemon.router.names:
        raise NotFound(f"there is no transport “{name}”")
    daemon.router.retry(name)
    with daemon.db.commit():
        outbox.wake(daemon.db)
    daemon.engine.poll()
    return {"name": name}


def _text(body: Body, key: str) -> str:
    value = body.get(key)
    if not isinstance(value, str) or not value:
        raise UserError(f"“{key}” is missing", "This is a request for the local API; see `syftd --help`.")
    return value


_CALLS: list[tuple[str, Call]] = [
    (r"/v1/peers/([^/]+)/(add|accept|reject|remove)", _peer),
    (r"/v1/share", _share),
    (r"/v1/unshare", _unshare),
    (r"/v1/restore", _restore),
    (r"/v1/plans/([^/]+)/(confirm|reject)", _plan),
    (r"/v1/transports/([^/]+)/retry", _retry),
    (r"/v1/pause", _pause),
    (r"/v1/resume", _resume),
    (r"/v1/scan", _scan),
    (r"/v1/jobs", _submit),
    (r"/v1/jobs/([^/]+)/([a-z]+)", _job),
]
