"""`syftd service …`: start syftd at log-in and keep it running."""

from __future__ import annotations

import argparse
import sys
from typing import TYPE_CHECKING, Final

from syftd.cli.render import table, visible
from syftd.cli.session import Command, Parser, Session
from syftd.errors import UserError

if TYPE_CHECKING:
    from syftd.service import Step

_LINGER: Final = (
    "Without lingering it ends when you log out. To keep it running: syftd service install --linger\n"
    "  (this calls `loginctl enable-linger`; uninstalling undoes it)"
)


def _install_arguments(parser: Parser) -> None:
    _dry(parser)
    parser.add_argument("--linger", action="store_true", help="also keep it running after log-out (systemd)")


def _dry(parser: Parser) -> None:
    parser.add_argument("--dry-run", action="store_true", help="only show what would be done")


def _logs_arguments(parser: Parser) -> None:
    parser.add_argument("-f", "--follow", action="store_true", help="go on until Ctrl-C")


def _install(session: Session, args: argparse.Namespace) -> int:
    from syftd import service

    places = session.places
    if not places.config_file.exists():
        raise UserError(
            f"there is no configuration at {places.config_file}", "Run `syftd init --email YOU@EXAMPLE.ORG` first."
        )
    watched_by = service.supervisor(places)
    steps = watched_by.installing(service.program(places.home), args.linger)
    _do(session, steps, args.dry_run)
    if isinstance(watched_by, service.Systemd) and not args.linger and not args.dry_run and not watched_by.lingers():
        session.say(_LINGER)
    return 0


def _uninstall(session: Session, args: argparse.Namespace) -> int:
    from syftd import service

    _do(session, service.supervisor(session.places).uninstalling(), args.dry_run)
    if not args.dry_run:
        session.say("Your datasite, configuration and keys are untouched.")
    return 0


def _do(session: Session, steps: list[Step], dry_run: bool) -> None:
    from syftd import service

    if dry_run:
        lines = []
        for step in steps:
            lines.append(f"{step.what}{': ' + ' '.join(step.command) if step.command else ''}")
            if step.write is not None:
                lines += ["    " + line for line in step.write[1].decode().splitlines()]
        text = "\n".join(lines)
    else:
        session.places.ensure()
        service.carry_out(steps)
        text = "\n".join(f"done: {step.what}" for step in steps)
    session.answer({"done": not dry_run, "steps": [step.what for step in steps]}, text)


def _status(session: Session, _: argparse.Namespace) -> int:
    from syftd import service

    found = service.supervisor(session.places).status()
    session.answer(found, table([(key, visible(value)) for key, value in found.items() if value not in (None, "")]))
    return 0 if found["active"] else 4


def _logs(session: Session, args: argparse.Namespace) -> int:
    import subprocess

    from syftd import service

    command = service.supervisor(session.places).log_command(args.follow)
    try:
        if not session.as_json:
            return subprocess.run(command, check=False).returncode
        if args.follow:
            raise UserError("--follow and --json do not go together", "Leave one of them out.")
        found = subprocess.run(command, check=False, capture_output=True, text=True)
    except FileNotFoundError:
        raise UserError(f"{command[0]} is not installed", f"The daemon's own log: {session.places.log}") from None
    session.answer({"lines": found.stdout.splitlines()})
    sys.stderr.write(found.stderr)
    return found.returncode


COMMANDS: Final = {
    "service install": Command(_install_arguments, _install),
    "service uninstall": Command(_dry, _uninstall),
    "service status": Command(lambda parser: None, _status),
    "service logs": Command(_logs_arguments, _logs),
}
