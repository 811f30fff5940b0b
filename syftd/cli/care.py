"""Commands that look after the daemon: problems, confirm, reject, pause, resume, log."""

from __future__ import annotations

import argparse
import re
from typing import Any, Final

from syftd.cli.render import plural, span, table, visible, when
from syftd.cli.session import Command, Parser, Session, whole_id
from syftd.errors import UserError

_UNITS: Final = {"s": 1, "m": 60, "min": 60, "h": 3600, "d": 86400}


def _plan(parser: Parser) -> None:
    parser.add_argument("plan", metavar="PLAN", help="a plan's id from `syftd problems`, or its beginning")


def _pause_arguments(parser: Parser) -> None:
    parser.add_argument("--for", dest="length", metavar="TIME", help="like 30m, 2h, 1d; else until `syftd resume`")


def _log_arguments(parser: Parser) -> None:
    parser.add_argument("--after", metavar="SEQ", type=int, help="only what came after this line")


def problem_text(problem: dict[str, Any]) -> str:
    """A problem with its cause and the next step."""
    lines = [visible(problem.get("text", ""))]
    if problem.get("subject") and str(problem["subject"]) not in lines[0]:
        lines[0] = f"{visible(problem['subject'])}: {lines[0]}"
    if problem.get("remedy"):
        lines.append(f"    {visible(problem['remedy'])}")
    if problem.get("plan"):
        plan = visible(problem["plan"])
        lines.append(f"    syftd confirm {plan}   or   syftd reject {plan}")
    return "  " + "\n".join(lines)


def seconds(text: str) -> int:
    """A length of time like ``90``, ``30m``, ``2h`` or ``1d`` in seconds; raises UserError for anything else."""
    matched = re.fullmatch(r"\s*([0-9]{1,9}(?:\.[0-9]+)?)\s*(s|m|min|h|d)?\s*", text)
    if not matched or not float(matched[1]):
        raise UserError(f"“{text}” is not a length of time", "Write it like 30m, 2h or 1d.")
    return max(1, round(float(matched[1]) * _UNITS[matched[2] or "s"]))


def _problems(session: Session, _: argparse.Namespace) -> int:
    found = session.read("/v1/problems")
    session.answer(found, "\n".join(problem_text(p) for p in found) or "No problems.")
    return 0


def _decide(word: str, done: str) -> Command:
    def run(session: Session, args: argparse.Namespace) -> int:
        plans = [{"id": p["plan"], **{k: v for k, v in p.items() if k != "id"}} for p in session.read("/v1/problems")
                 if p.get("plan")]  # fmt: skip
        plan = whole_id(args.plan, plans, "plan")
        told = session.change(f"/v1/plans/{plan}/{word}")
        session.answer(told, done.format(visible(plan)))
        if missing := told.get("missing"):
            session.say(f"{plural(len(missing), 'file is', 'files are')} not kept here and could not be brought back:")
            session.say("\n".join(f"  {visible(path)}" for path in missing[:20]))
        return 0

    return Command(_plan, run)


def _pause(session: Session, args: argparse.Namespace) -> int:
    length = None if args.length is None else seconds(args.length)
    done = session.change("/v1/pause", **({} if length is None else {"seconds": length}))
    session.answer(done, f"Paused for {span(length)}." if length else "Paused. Go on with: syftd resume")
    return 0


def _resume(session: Session, _: argparse.Namespace) -> int:
    session.answer(session.change("/v1/resume"), "Going on.")
    return 0


def _log(session: Session, args: argparse.Namespace) -> int:
    lines = session.read("/v1/log", after=args.after)
    session.answer(lines, table([_record(line) for line in lines]) or "The record is empty.")
    return 0


def _record(line: Any) -> tuple[Any, ...]:
    """One line of the record: its number, when, what, and the rest as it is."""
    if not isinstance(line, dict):
        return (line,)
    rest = {k: v for k, v in line.items() if k not in ("seq", "at", "kind", "what", "text") and v not in (None, "", [])}
    words = line.get("text") or "  ".join(f"{key} {value}" for key, value in rest.items())
    return (line.get("seq", ""), when(line.get("at")), line.get("kind") or line.get("what", ""), words)


COMMANDS: Final = {
    "problems": Command(lambda parser: None, _problems),
    "confirm": _decide("confirm", "Confirmed {0}; it is carried out now."),
    "reject": _decide("reject", "Rejected {0}; nothing of it is carried out."),
    "pause": Command(_pause_arguments, _pause),
    "resume": Command(lambda parser: None, _resume),
    "log": Command(_log_arguments, _log),
}
