"""`syftd config show`, `syftd completion` and `syftd version`."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any, Final

from syftd.cli import commands
from syftd.cli.render import table
from syftd.cli.session import Command, Parser, Session


def _show_arguments(parser: Parser) -> None:
    parser.add_argument("--origin", action="store_true", help="also where each value came from")


def _completion_arguments(parser: Parser) -> None:
    parser.add_argument("shell", choices=tuple(_SCRIPTS))


def _show(session: Session, args: argparse.Namespace) -> int:
    from syftd import config

    found = config.values(session.places)
    plain = {one.key: _plain(one.value) for one in found}
    if args.origin:
        document: dict[str, Any] = {one.key: {"value": plain[one.key], "origin": one.origin} for one in found}
    else:
        document = plain
    rows = [(one.key, _written(plain[one.key]), one.origin if args.origin else "") for one in found]
    session.answer(document, table(rows))
    return 0


def _version(session: Session, _: argparse.Namespace) -> int:
    from syftd import __version__

    session.answer({"version": __version__}, f"syftd {__version__}")
    return 0


def _completion(session: Session, args: argparse.Namespace) -> int:
    script = _SCRIPTS[args.shell]()
    session.answer({"shell": args.shell, "script": script}, script.rstrip("\n"))
    return 0


def _plain(value: Any) -> Any:
    if isinstance(value, Path):
        return str(value)
    return [_plain(one) for one in value] if isinstance(value, tuple) else value


def _written(value: Any) -> str:
    import json

    return json.dumps(value, ensure_ascii=False)


def _bash() -> str:
    cases = "".join(
        f'        {group}) words="{" ".join(commands.second_words(group))}" ;;\n'
        for group in commands.first_words()
        if commands.second_words(group)
    )
    return f"""\
_syftd() {{
    local word="${{COMP_WORDS[COMP_CWORD]}}" words=""
    if [ "$COMP_CWORD" -eq 1 ]; then
        words="{" ".join(commands.first_words())} --home --json --help"
    elif [ "$COMP_CWORD" -eq 2 ]; then
        case "${{COMP_WORDS[1]}}" in
{cases}        esac
    fi
    COMPREPLY=($(compgen -W "$words" -- "$word"))
}}
complete -o default -F _syftd syftd
"""


def _zsh() -> str:
    firsts = " ".join(f"'{word}:{_summary(word)}'" for word in commands.first_words())
    cases = "".join(
        f"        {group}) actions=({' '.join(commands.second_words(group))}); _describe action actions; return ;;\n"
        for group in commands.first_words()
        if commands.second_words(group)
    )
    return f"""\
#compdef syftd
_syftd() {{
    local -a firsts actions
    firsts=({firsts})
    if (( CURRENT == 2 )); then
        _describe command firsts
        return
    elif (( CURRENT == 3 )); then
        case "$words[2]" in
{cases}        esac
    fi
    _files
}}
compdef _syftd syftd
"""


def _fish() -> str:
    lines = ["complete -c syftd -l json -d 'print one JSON document'", "complete -c syftd -l home -r -d 'one instance'"]
    for word in commands.first_words():
        lines.append(f"complete -c syftd -n __fish_use_subcommand -a {word} -d '{_summary(word)}'")
        lines += [
            f"complete -c syftd -n '__fish_seen_subcommand_from {word}' -a {action} "
            f"-d '{_quoted(commands.TABLE[f'{word} {action}'].summary)}'"
            for action in commands.second_words(word)
        ]
    return "\n".join(lines) + "\n"


def _summary(word: str) -> str:
    entry = commands.TABLE.get(word)
    return _quoted(entry.summary) if entry else ", ".join(commands.second_words(word))


def _quoted(text: str) -> str:
    return text.replace("'", "").replace(":", " –")


_SCRIPTS: Final = {"bash": _bash, "zsh": _zsh, "fish": _fish}

COMMANDS: Final = {
    "config show": Command(_show_arguments, _show),
    "completion": Command(_completion_arguments, _completion),
    "version": Command(lambda parser: None, _version),
}
