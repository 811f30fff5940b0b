"""Every command: its name, the module that carries it out, and one line of help.

The table is all that ``syftd --help``, completion and suggestions need, so none of them imports a command.
"""

from __future__ import annotations

from typing import Final, NamedTuple


class Entry(NamedTuple):
    """`module` is the name inside ``syftd.cli``; `words` is what follows the name."""

    module: str
    words: str
    summary: str


TABLE: Final[dict[str, Entry]] = {
    "init": Entry("init", "--email ME [--data DIR] [--transport folder:PATH|gdrive]", "write a config and the datasite"),
    "run": Entry("run", "", "the daemon in the foreground (what the service runs)"),
    "status": Entry("status", "[--watch]", "one screen: is all well? exit 0 yes, 3 problems, 4 not running"),
    "peers list": Entry("peers", "", "who you know, and how far you got with them"),
    "peers add": Entry("peers", "EMAIL", "ask somebody to be your peer"),
    "peers accept": Entry("peers", "EMAIL", "accept somebody who asked"),
    "peers reject": Entry("peers", "EMAIL", "refuse somebody who asked"),
    "peers remove": Entry("peers", "EMAIL", "end a contact; nothing more is sent or taken in"),
    "share": Entry("files", "PATH --with EMAIL|*@domain|* [--write]", "let somebody read (or write) a file or folder"),
    "unshare": Entry("files", "PATH --with EMAIL|*@domain|*", "take that back"),
    "access": Entry("files", "PATH [--for EMAIL]", "who may read and write, and which rule says so"),
    "jobs submit": Entry("jobs", "--to EMAIL[,EMAIL…] DIR [--name N] [--data NAME]", "send a folder with a run.sh"),
    "jobs list": Entry("jobs", "", "the jobs sent to you and by you"),
    "jobs show": Entry("jobs", "ID", "everything about one job: files, script, limits, results"),
    "jobs diff": Entry("jobs", "ID", "what changed since the last version you approved"),
    "jobs approve": Entry("jobs", "ID [--release]", "let exactly these bytes run"),
    "jobs deny": Entry("jobs", "ID --reason TEXT", "refuse a job; its author reads the reason"),
    "jobs logs": Entry("jobs", "ID [-f]", "what a job printed"),
    "jobs wait": Entry("jobs", "ID [--timeout S]", "wait until a job has ended; exit 0 done, 1 not, 75 too long"),
    "jobs cancel": Entry("jobs", "ID", "stop a job, or take an approval back"),
    "jobs release": Entry("jobs", "ID [--only GLOB]", "send results to the job's author"),
    "jobs rerun": Entry("jobs", "ID", "run an approved job again"),
    "why": Entry("files", "PATH", "why a file is, or is not, where you expect it"),
    "history": Entry("files", "PATH", "the versions of a file"),
    "restore": Entry("files", "PATH[@SEQ]", "bring a version back"),
    "problems": Entry("care", "", "what a person should know, with the next step"),
    "confirm": Entry("care", "PLAN", "carry out a plan that waits for your word"),
    "reject": Entry("care", "PLAN", "do not carry it out, and put things back"),
    "pause": Entry("care", "[--for 2h]", "stop sending, fetching and running jobs for a while"),
    "resume": Entry("care", "", "go on"),
    "log": Entry("care", "[--after SEQ]", "the record: what came in, what ran, what went out"),
    "login": Entry("login", "[--client-secrets FILE] [--no-browser]", "log in to Google Drive"),
    "logout": Entry("login", "", "remove that login from this machine"),
    "doctor": Entry("doctor", "", "look for what could be wrong, and say what to do"),
    "config show": Entry("settings", "[--origin]", "the settings in force, and where each came from"),
    "service install": Entry("service", "[--linger] [--dry-run]", "start syftd at log-in, and keep it running"),
    "service uninstall": Entry("service", "[--dry-run]", "undo that"),
    "service status": Entry("service", "", "what the service supervisor says"),
    "service logs": Entry("service", "[-f]", "the daemon's log"),
    "demo": Entry("run", "[--keep]", "two daemons and a job, on this machine, in a temporary folder"),
    "sandbox-run": Entry("sandbox_run", "JOB --data DIR …", "run a job folder in the sandbox, without a daemon"),
    "completion": Entry("settings", "bash|zsh|fish", "print the completion script of a shell"),
    "version": Entry("settings", "", "print the version"),
}

PLANNED: Final[dict[str, str]] = {
    "datasets": "Put a table into private/NAME/ and a made-up sample of it into public/; jobs ask for it with --data NAME.",
    "policy": "Each job is approved by a person: `syftd jobs show ID`, then `syftd jobs approve ID`.",
    "lease": "Each job is approved by a person: `syftd jobs show ID`, then `syftd jobs approve ID`.",
    "web": "The terminal shows the same: `syftd status`, `syftd jobs list`, `syftd jobs show ID`.",
    "support-bundle": "Until then `syftd doctor`, `syftd problems` and `syftd log` tell what a report needs.",
    "peers verify": "Nothing is sealed yet, so there is no key to compare.",
}
"""Commands that are designed and not in this version, with what to do instead."""

EXAMPLES: Final = """\
examples:
  syftd init --email me@example.org --transport folder:/mnt/shared/syft
  syftd service install
  syftd peers add colleague@example.org
  syftd share public/sample.csv --with '*@example.org'
  syftd jobs submit --to colleague@example.org ./analysis --data trial
"""


def first_words() -> list[str]:
    """The first word of every command, once each, in the table's order."""
    return list(dict.fromkeys(name.split(" ")[0] for name in TABLE))


def second_words(group: str) -> list[str]:
    """The actions of a group, empty when `group` is a whole command."""
    return [name.split(" ")[1] for name in TABLE if name.startswith(group + " ")]


def overview(group: str = "") -> str:
    """The help text of the program, or of one group."""
    names = [name for name in TABLE if not group or name.startswith(group + " ")]
    width = max(len(name) for name in names)
    lines = [f"usage: syftd [--home DIR] [--json] {group + ' ' if group else ''}COMMAND …", ""]
    if not group:
        lines += ["Shares datasites and runs reviewed jobs beside private data.", ""]
    lines += [f"  {name:<{width}}  {TABLE[name].summary}" for name in names]
    lines += ["", "options, before or after the command:"]
    lines += ["  --home DIR  everything of one instance lies under DIR (also: SYFTD_HOME)"]
    lines += ["  --json      print exactly one JSON document", "  -h, --help  help for a command", ""]
    if not group:
        lines += [EXAMPLES.rstrip(), ""]
    return "\n".join(lines)
