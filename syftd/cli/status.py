"""`syftd status`: one screen that says whether all is well, and an exit code that says it to scripts."""

from __future__ import annotations

import argparse
from typing import Any, Final

from syftd.cli.care import problem_text
from syftd.cli.peers import state_in_words
from syftd.cli.render import ago, plural, style, table, visible
from syftd.cli.session import Command, Parser, Session
from syftd.errors import NotRunning, SyftdError, UserError

HEALTHY: Final = 0
PROBLEMS: Final = 3
NOT_RUNNING: Final = 4
WATCH_SECONDS: Final = 2.0


def _arguments(parser: Parser) -> None:
    parser.add_argument("--watch", action="store_true", help="show it again every two seconds until Ctrl-C")


def _run(session: Session, args: argparse.Namespace) -> int:
    if not args.watch:
        found, code = look(session)
        session.answer(found, text(found, code))
        return code
    if session.as_json:
        raise UserError("--watch and --json do not go together", "Ask again and again: syftd status --json")
    return _watch(session)


def look(session: Session) -> tuple[dict[str, Any], int]:
    """The status and its exit code; without a daemon what its files tell."""
    try:
        found = session.client.get("/v1/status")
    except NotRunning as error:
        return _at_rest(session, error), NOT_RUNNING
    troubled = found.get("problems") or found.get("safe_mode") or not found.get("ready")
    return found, PROBLEMS if troubled else HEALTHY


def _at_rest(session: Session, why: NotRunning) -> dict[str, Any]:
    """What is known without a daemon. Whatever goes wrong in finding out is told, never raised: it is a status."""
    found: dict[str, Any] = {"email": None, "ready": False, "pid": None, "since": None, "peers": [], "problems": 0}
    found |= {"reason": str(why), "remedy": why.remedy}
    try:
        from syftd import config

        settings = config.glance(session.places)
        found["email"] = str(settings.email)
        from syftd.api import queries

        found |= queries.open_readonly(session.places, settings).get("/v1/status", {})
    except SyftdError as error:
        found |= {"reason": str(error), "remedy": error.remedy or why.remedy}
    return found | {"ready": False, "pid": None, "since": None}


def text(found: dict[str, Any], code: int) -> str:
    """The screen."""
    if code == NOT_RUNNING:
        lead = style("not running", "red")
    else:
        lead = style("healthy", "green") if code == HEALTHY else style("needs you", "yellow")
        lead += f" · pid {found.get('pid')} · started {ago(found.get('since'))}"
    parts = [f"{visible(found.get('email') or 'syftd')}  {lead}"]
    if code == NOT_RUNNING:
        parts[0] += f"\n  {visible(found['reason'])}\n  {visible(found['remedy'])}"
    facts = _facts(found)
    if facts:
        parts.append(table(facts, indent="  "))
    peers = [
        (p["email"], state_in_words(p), p.get("protection") or "", f"to send {p.get('to_send', 0)}",
         f"to fetch {p.get('to_fetch', 0)}", f"waiting for a verdict {p.get('waiting_verdict', 0)}")
        for p in found.get("peers") or []
    ]  # fmt: skip
    if peers:
        parts.append(_titled("Peers", table(peers, indent="  ")))
    transports = [
        (t["name"], t.get("state"), t.get("error"), " ".join((t.get("remedy") or "", *(t.get("notes") or ()))).strip())
        for t in found.get("transports") or []
    ]
    if transports:
        parts.append(_titled("Transports", table(transports, indent="  ")))
    if found.get("problems_list"):
        parts.append(_titled("Problems", "\n".join(problem_text(p) for p in found["problems_list"])))
    return "\n\n".join(parts)


def _facts(found: dict[str, Any]) -> list[tuple[str, str]]:
    watcher = found.get("watcher") or {}
    facts = []
    if found.get("safe_mode"):
        facts.append(("safe mode", "it crashed three times in a row; no jobs, no applying until the next start"))
    if found.get("paused"):
        facts.append(("paused", "nothing is sent, fetched or run; `syftd resume` goes on"))
    if watcher:
        problem = f" – {watcher['problem']}" if watcher.get("problem") else ""
        facts.append(("watching", f"{watcher.get('kind', '')}{problem}"))
    if "files" in found:
        facts.append(("files", str(found["files"])))
    if "jobs_waiting" in found:
        waiting = found["jobs_waiting"]
        facts.append(("jobs", f"{plural(waiting, 'waits', 'wait')} for you" if waiting else "none waits for you"))
    if found.get("last_scan") or found.get("last_poll"):
        facts.append(("last scan", ago(found.get("last_scan"))))
        facts.append(("last poll", ago(found.get("last_poll"))))
    return facts


def _watch(session: Session) -> int:
    import sys

    from syftd.seams import sleep_until

    tty = sys.stdout.isatty()
    shown = ""
    try:
        while True:
            found, code = look(session)
            screen = text(found, code)
            if tty:
                print(f"\x1b[H\x1b[2J{screen}", flush=True)
            elif screen != shown:
                print(screen + "\n", flush=True)
            shown = screen
            sleep_until(lambda: False, timeout=WATCH_SECONDS, every=WATCH_SECONDS)
    except KeyboardInterrupt:
        return code


def _titled(title: str, body: str) -> str:
    return f"{style(title, 'bold')}\n{body}"


COMMANDS: Final = {"status": Command(_arguments, _run)}
