"""The `syftd` command: finds the command, imports only its module, and turns errors into words and exit codes."""

from __future__ import annotations

import difflib
import json
import os
import sys
from importlib import import_module
from pathlib import Path
from typing import Any

from syftd.cli import commands
from syftd.errors import SyftdError, TransportError, UserError

EXIT_INTERRUPTED = 130
EXIT_ITEM = 1
EXIT_TEMPORARY = 75
EXIT_BUG = 70


def main(argv: list[str] | None = None) -> int:
    """Runs one command and returns its exit code: 0 fine, 1 failed, 2 usage, and those of the error tree."""
    words = list(sys.argv[1:] if argv is None else argv)
    as_json = "--json" in words[: words.index("--")] if "--" in words else "--json" in words
    try:
        code = _dispatch(words)
        sys.stdout.flush()
        return code
    except SyftdError as error:
        _tell(error, as_json)
        return exit_code(error)
    except KeyboardInterrupt:
        return EXIT_INTERRUPTED
    except BrokenPipeError:
        # The reader has seen enough; the flush at exit must not complain about it again.
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
        return 0
    except Exception as error:  # noqa: BLE001 - the border of the program: a bug shows its trace and has its own exit code.
        import traceback

        traceback.print_exc()
        if as_json:
            remedy = "This is a bug in syftd; please report it with what is on stderr."
            print(_error_document(type(error).__name__, str(error), remedy, EXIT_BUG))
        print("syftd: this is a bug in syftd; please report it with the lines above", file=sys.stderr)
        return EXIT_BUG


def exit_code(error: SyftdError) -> int:
    """The exit code of an error: the tree's own, 75 for what may work later, 1 for one item."""
    if error.exit_code != EXIT_BUG:
        return error.exit_code
    return EXIT_TEMPORARY if isinstance(error, TransportError) else EXIT_ITEM


def _dispatch(words: list[str]) -> int:
    from syftd.cli.session import Parser, Session

    home, as_json, rest = _shared(words)
    if not rest and as_json:
        raise UserError("no command was given", "See `syftd --help`.")
    if not rest or rest[0] in ("-h", "--help", "help"):
        _help(commands.overview(), as_json)
        return 0 if rest else 2
    if rest[0] in ("--version", "-V"):
        rest = ["version"]
    name, rest = _named(rest, as_json)
    if name is None:
        return 0
    entry = commands.TABLE[name]
    session = Session(home, as_json)
    module: Any = import_module(f"syftd.cli.{entry.module}")
    parser = Parser(
        prog=f"syftd {name}",
        description=entry.summary[0].upper() + entry.summary[1:] + ".",
        epilog="--home DIR and --json may stand anywhere.",
        allow_abbrev=False,
    )
    if entry.module == "sandbox_run":
        module.add_arguments(parser)
        return int(module.main(parser.parse_args(rest)))
    command = module.COMMANDS[name]
    command.arguments(parser)
    return int(command.run(session, parser.parse_args(rest)))


def _shared(words: list[str]) -> tuple[Path | None, bool, list[str]]:
    """Takes --home and --json out, wherever they stand before a ``--``."""
    home: Path | None = None
    as_json = False
    rest: list[str] = []
    position = 0
    while position < len(words):
        word = words[position]
        position += 1
        if word == "--":
            rest += words[position - 1 :]
            break
        if word == "--json":
            as_json = True
        elif word == "--home" or word.startswith("--home="):
            if word == "--home" and position == len(words):
                raise UserError("--home needs a directory", "For example: syftd --home /tmp/one status")
            home = Path(word[7:] if word != "--home" else words[position])
            position += word == "--home"
            if str(home) in ("", "."):
                raise UserError("--home needs a directory", "For example: syftd --home /tmp/one status")
        else:
            rest.append(word)
    return home, as_json, rest


def _named(words: list[str], as_json: bool) -> tuple[str | None, list[str]]:
    """Splits the command's name off; None when help for a group was asked for and given."""
    first = words[0]
    for planned in (first, " ".join(words[:2])):
        if planned in commands.PLANNED:
            raise UserError(f"“{planned}” is not in this version of syftd yet", commands.PLANNED[planned])
    actions = commands.second_words(first)
    if not actions:
        if first in commands.TABLE:
            return first, words[1:]
        raise _unknown(first, commands.first_words(), "")
    if len(words) == 1:
        if not as_json:
            print(commands.overview(first))
        raise UserError(f"what about {first}?", f"One of: {', '.join(actions)}.")
    if words[1] in ("-h", "--help", "help"):
        _help(commands.overview(first), as_json)
        return None, []
    if words[1] not in actions:
        raise _unknown(words[1], actions, first + " ")
    return f"{first} {words[1]}", words[2:]


def _unknown(word: str, known: list[str], prefix: str) -> UserError:
    # An action without its group is a likelier slip than a misspelling of something else.
    meant_names = [] if prefix else [name for name in commands.TABLE if name.split(" ")[-1] == word]
    meant_names = meant_names or [prefix + near for near in difflib.get_close_matches(word, known, n=2, cutoff=0.6)]
    meant = " or ".join(f"`syftd {name}`" for name in meant_names)
    return UserError(
        f"“{prefix}{word}” is not a command",
        f"Did you mean {meant}?" if meant else f"See `syftd {prefix}--help`.",
    )


def _tell(error: SyftdError, as_json: bool) -> None:
    from syftd.cli.render import visible

    if as_json:
        print(_error_document(type(error).__name__, str(error), error.remedy, exit_code(error)))
    print(f"syftd: {visible(error, lines=True)}", file=sys.stderr)
    if error.remedy:
        print(f"  {visible(error.remedy, lines=True)}", file=sys.stderr)


def _error_document(kind: str, text: str, remedy: str, code: int) -> str:
    return json.dumps({"error": {"kind": kind, "text": text, "remedy": remedy, "exit_code": code}})


def _help(text: str, as_json: bool) -> None:
    print(json.dumps({"help": text}) if as_json else text)


if __name__ == "__main__":
    sys.exit(main())
