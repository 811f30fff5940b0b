"""Commands about one path: share, unshare, access, why, history, restore."""

from __future__ import annotations

import argparse
import re
from typing import Any, Final

from syftd.cli.render import size, table, visible, when
from syftd.cli.session import Command, Parser, Session, full_path
from syftd.errors import UserError
from syftd.names import Email

_WHOM: Final = "an address, all of a domain ('*@example.org'), or everybody ('*')"


def _path(parser: Parser) -> None:
    parser.add_argument("path", metavar="PATH", help="absolute, or relative to your datasite")


def _share_arguments(parser: Parser) -> None:
    _unshare_arguments(parser)
    parser.add_argument("--write", action="store_true", help="they may also propose changes")


def _unshare_arguments(parser: Parser) -> None:
    _path(parser)
    parser.add_argument("--with", dest="whom", metavar="WHOM", required=True, help=_WHOM)


def _access_arguments(parser: Parser) -> None:
    _path(parser)
    parser.add_argument("--for", dest="whom", metavar="EMAIL", help="ask for one person")


def _restore_arguments(parser: Parser) -> None:
    parser.add_argument("path", metavar="PATH[@SEQ]", help="without SEQ: the version before the present one")
    parser.add_argument("--seq", type=int, help="the version, for a path that itself ends in @ and digits")


def _whom(text: str) -> str:
    """Checks an address or a pattern before it is written into a permission file."""
    if text == "*":
        return text
    if "*" in text or "?" in text:
        if not re.fullmatch(r"[a-z0-9._+*?-]+@[a-z0-9.*?-]+", text.lower()):
            raise UserError(f"“{text}” is not a pattern for addresses", "Write it like '*@example.org'.")
        return text.lower()
    return Email.parse(text)


def _share(session: Session, args: argparse.Namespace) -> int:
    whom = _whom(args.whom)
    done = session.change("/v1/share", path=full_path(args.path), **{"with": whom, "write": args.write})
    right = "read and write" if args.write else "read"
    session.answer(done, f"{_name(whom)} may now {right} {visible(args.path)}.")
    if "*" not in whom and "?" not in whom and all(p["email"] != whom for p in session.read("/v1/peers")):
        session.say(f"{visible(whom)} is not a peer of yours, so nothing is sent yet: syftd peers add {visible(whom)}")
    return 0


def _unshare(session: Session, args: argparse.Namespace) -> int:
    whom = _whom(args.whom)
    done = session.change("/v1/unshare", path=full_path(args.path), **{"with": whom})
    still = [visible(entry) for entry in done.get("still", [])]
    if still:
        # What was asked for is done, and yet not what was wanted: say so instead of claiming the opposite.
        text = f"The entry is gone, but {_name(whom)} may still read {visible(args.path)} through {', '.join(still)}."
        session.answer(done, f"{text}\n  Take that back too: syftd unshare {visible(args.path)} --with '{still[0]}'")
    else:
        session.answer(done, f"{_name(whom)} may no longer read {visible(args.path)}.")
        if "*" in whom or "?" in whom:
            session.say("  Whom other entries name keeps what those give: see `syftd access PATH`.")
    return 0


def _access(session: Session, args: argparse.Namespace) -> int:
    whom = Email.parse(args.whom) if args.whom else None
    found = session.read("/v1/access", path=full_path(args.path), **{"for": whom})
    entries = found.get("entries", [])
    rows = [(e["who"], _yes(e["read"]), _yes(e["write"]), _yes(e["admin"]), e.get("why", "")) for e in entries]
    governing = found.get("governing") or "no permission file, so nobody but you"
    lines = [f"{visible(found.get('path', args.path))}: governed by {visible(governing)}"]
    session.answer(found, "\n".join([*lines, table(rows, ("WHO", "READ", "WRITE", "ADMIN", "WHY"))]).rstrip())
    return 0


def _why(session: Session, args: argparse.Namespace) -> int:
    found = session.read("/v1/why", path=full_path(args.path))
    lines = [visible(found.get("path", args.path)), *(f"  {visible(line)}" for line in found.get("lines", []))]
    session.answer(found, "\n".join(lines))
    return 0


def _history(session: Session, args: argparse.Namespace) -> int:
    found = session.read("/v1/history", path=full_path(args.path))
    rows = [
        (v["seq"], when(v.get("at")), v.get("by", ""), size(v.get("size")) if v.get("sha256") else "deleted",
         (v.get("sha256") or "")[:12])
        for v in found
    ]  # fmt: skip
    session.answer(found, table(rows, ("SEQ", "WHEN", "BY", "SIZE", "SHA-256")) or "No version of that path is known.")
    return 0


def _restore(session: Session, args: argparse.Namespace) -> int:
    path, seq = args.path, args.seq
    if seq is None and (matched := re.fullmatch(r"(.+)@([0-9]{1,18})", path)):
        # An address in the path also holds an @, but what follows it is never digits alone.
        path, seq = matched[1], int(matched[2])
    done = session.change("/v1/restore", path=full_path(path), **({} if seq is None else {"seq": seq}))
    session.answer(done, f"Restored {visible(done.get('path', path))} ({(done.get('sha256') or '')[:12]}).")
    return 0


def _name(whom: str) -> str:
    return "Everybody" if whom == "*" else visible(whom)


def _yes(value: Any) -> str:
    return "yes" if value else "no"


COMMANDS: Final = {
    "share": Command(_share_arguments, _share),
    "unshare": Command(_unshare_arguments, _unshare),
    "access": Command(_access_arguments, _access),
    "why": Command(_path, _why),
    "history": Command(_path, _history),
    "restore": Command(_restore_arguments, _restore),
}
