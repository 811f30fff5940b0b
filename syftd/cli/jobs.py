"""`syftd jobs …`: submit, review, follow. Ids may be given as any unambiguous beginning."""

from __future__ import annotations

import argparse
import os
import sys
from typing import Any, Final

from syftd.cli.job_text import diff_text, list_text, show_text
from syftd.cli.render import visible
from syftd.cli.session import Command, Parser, Session, whole_id
from syftd.errors import NotRunning, UserError
from syftd.names import Email

ENDED: Final = frozenset({"done", "failed", "rejected", "cancelled"})
EXIT_NOT_DONE: Final = 1
EXIT_TIMEOUT: Final = 75
POLL_SECONDS: Final = 0.2


def _id(parser: Parser) -> None:
    parser.add_argument("id", metavar="ID", help="a job's id, or its beginning")


def _submit_arguments(parser: Parser) -> None:
    parser.add_argument("dir", metavar="DIR", help="a folder with a run.sh")
    parser.add_argument("--to", metavar="EMAIL", action="append", required=True, help="whose data; several with commas")
    parser.add_argument("--name", help="what the job is called (default: the folder's name)")
    parser.add_argument("--data", metavar="NAME", action="append", default=[], help="a dataset it reads; repeatable")


def _run_arguments(parser: Parser) -> None:
    _id(parser)
    parser.add_argument("--release", action="store_true", help="send the results without looking at them first")
    parser.add_argument("--unsafe-no-sandbox", action="store_true", help="run it with all your rights (recorded)")


def _approve_arguments(parser: Parser) -> None:
    _run_arguments(parser)
    parser.add_argument("--digest", help="approve only if the job's digest is still this one")


def _deny_arguments(parser: Parser) -> None:
    _id(parser)
    parser.add_argument("--reason", required=True, help="what its author reads")


def _logs_arguments(parser: Parser) -> None:
    _id(parser)
    parser.add_argument("-f", "--follow", action="store_true", help="go on until the job has ended")


def _wait_arguments(parser: Parser) -> None:
    _id(parser)
    parser.add_argument("--timeout", metavar="S", type=float, help="give up after S seconds (exit 75)")


def _release_arguments(parser: Parser) -> None:
    _id(parser)
    parser.add_argument("--only", metavar="GLOB", help="only the outputs that match")


def _resolve(session: Session, given: str) -> str:
    return whole_id(given, session.read("/v1/jobs"))


def _submit(session: Session, args: argparse.Namespace) -> int:
    directory = os.path.abspath(args.dir)
    if not os.path.isdir(directory):
        raise UserError(f"there is no folder {directory}", "Name the folder that holds run.sh.")
    if not os.path.isfile(os.path.join(directory, "run.sh")):
        raise UserError(f"{directory} has no run.sh", "A job is a folder whose run.sh says what to do.")
    to = [str(Email.parse(one)) for given in args.to for one in given.split(",") if one.strip()]
    name = args.name or os.path.basename(directory)
    made = session.change("/v1/jobs", to=to, dir=directory, name=name, datasets=args.data)
    lines = [f"{visible(row['id'])}  sent to {visible(row.get('to', ''))}" for row in made]
    lines += [f"\nFollow it: syftd jobs wait {visible(made[0]['id'])}"] if made else []
    session.answer(made, "\n".join(lines))
    return 0


def _list(session: Session, _: argparse.Namespace) -> int:
    rows = session.read("/v1/jobs")
    session.answer(rows, list_text(rows) or "No jobs.")
    return 0


def _show(session: Session, args: argparse.Namespace) -> int:
    found = session.read(f"/v1/jobs/{_resolve(session, args.id)}")
    session.answer(found, show_text(found))
    return 0


def _diff(session: Session, args: argparse.Namespace) -> int:
    found = session.read(f"/v1/jobs/{_resolve(session, args.id)}/diff")
    session.answer(found, diff_text(found))
    return 0


def _approve(session: Session, args: argparse.Namespace) -> int:
    rows = session.read("/v1/jobs")
    job = whole_id(args.id, rows)
    row = next(row for row in rows if row["id"] == job)
    # What is approved is what the person looked at, and otherwise what the list says now; other files are refused. The
    # detail is not asked for here, since that would count as their having looked.
    digest = args.digest or row.get("shown_digest") or row.get("digest")
    body = {"release": args.release, "unsafe_no_sandbox": args.unsafe_no_sandbox}
    done = session.change(f"/v1/jobs/{job}/approve", **body, **({"digest": digest} if digest else {}))
    after = "Its results are sent as soon as it is done." if args.release else f"Then: syftd jobs release {job}"
    session.answer(done, f"Approved {visible(row.get('name', job))}, digest {visible(digest or '')[:16]}. {after}")
    return 0


def _deny(session: Session, args: argparse.Namespace) -> int:
    if not args.reason.strip():
        raise UserError("the reason is empty", "Its author reads it: --reason TEXT.")
    job = _resolve(session, args.id)
    session.answer(session.change(f"/v1/jobs/{job}/deny", reason=args.reason), f"Denied {job}.")
    return 0


def _cancel(session: Session, args: argparse.Namespace) -> int:
    job = _resolve(session, args.id)
    session.answer(session.change(f"/v1/jobs/{job}/cancel"), f"Cancelled {job}.")
    return 0


def _rerun(session: Session, args: argparse.Namespace) -> int:
    job = _resolve(session, args.id)
    body = {"release": args.release, "unsafe_no_sandbox": args.unsafe_no_sandbox}
    session.answer(session.change(f"/v1/jobs/{job}/rerun", **body), f"{job} runs again.")
    return 0


def _release(session: Session, args: argparse.Namespace) -> int:
    job = _resolve(session, args.id)
    done = session.change(f"/v1/jobs/{job}/release", only=args.only)
    sent = done.get("released", []) if isinstance(done, dict) else []
    lines = [f"  {visible(one.get('path', one) if isinstance(one, dict) else one)}" for one in sent]
    under_way = done.get("releasing", []) if isinstance(done, dict) else []
    head = f"Releasing {len(under_way)} results of {job}; they are large." if under_way else f"Released {job}."
    session.answer(done, "\n".join([head, *lines]))
    return 0


def _logs(session: Session, args: argparse.Namespace) -> int:
    from syftd.seams import sleep_until

    job = _resolve(session, args.id)
    seen = {"stdout": 0, "stderr": 0}
    kept = {"stdout": "", "stderr": ""}
    last: dict[str, Any] = {}

    def more() -> bool:
        """Prints what is new; true when the job has ended and nothing came any more."""
        last.clear()
        last.update(session.read(f"/v1/jobs/{job}/logs", **seen))
        fresh = bool(last["stdout"] or last["stderr"])
        for name, stream in (("stdout", sys.stdout), ("stderr", sys.stderr)):
            kept[name] += last[name] if session.as_json else ""
            if last[name] and not session.as_json:
                stream.write(visible(last[name], lines=True) if stream.isatty() else last[name])
                stream.flush()
        seen.update(last["next"])
        return not fresh if last["finished"] or not args.follow else False

    # Without -f the log is read to its present end, which may take several answers.
    sleep_until(more, timeout=float("inf"), every=POLL_SECONDS if args.follow else 0.0)
    if session.as_json:
        session.answer({**last, **kept, "id": job})
    elif not any(seen.values()):
        mine = session.read(f"/v1/jobs/{job}", glance=1).get("mine", True)
        session.say("It has printed nothing." if mine else "Nothing that it printed was released to you.")
    return 0


def _wait(session: Session, args: argparse.Namespace) -> int:
    from syftd.seams import sleep_until

    job = _resolve(session, args.id)
    # Nobody reads what a loop asks for, so it must not count as a look at the job.
    found: dict[str, Any] = session.read(f"/v1/jobs/{job}", glance=1)
    if not session.live and found["state"] not in ENDED:
        raise NotRunning(
            f"job {job} is {found['state']}, and syftd is not running", "It cannot get on: start it with `syftd run`."
        )

    def ended() -> bool:
        found.update(session.read(f"/v1/jobs/{job}", glance=1))
        return found["state"] in ENDED

    limit = float("inf") if args.timeout is None else args.timeout
    in_time = found["state"] in ENDED or sleep_until(ended, timeout=limit, every=POLL_SECONDS)
    reason = f": {found['reason']}" if found.get("reason") else ""
    session.answer(found, f"{job} is {visible(found['state'])}{visible(reason)}")
    if not in_time:
        session.say(f"syftd: still {visible(found['state'])} after {limit:g} s")
        return EXIT_TIMEOUT
    return 0 if found["state"] == "done" else EXIT_NOT_DONE


COMMANDS: Final = {
    "jobs submit": Command(_submit_arguments, _submit),
    "jobs list": Command(lambda parser: None, _list),
    "jobs show": Command(_id, _show),
    "jobs diff": Command(_id, _diff),
    "jobs approve": Command(_approve_arguments, _approve),
    "jobs deny": Command(_deny_arguments, _deny),
    "jobs logs": Command(_logs_arguments, _logs),
    "jobs wait": Command(_wait_arguments, _wait),
    "jobs cancel": Command(_id, _cancel),
    "jobs release": Command(_release_arguments, _release),
    "jobs rerun": Command(_run_arguments, _rerun),
}
