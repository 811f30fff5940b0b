"""The configuration: defaults < ``syftd.toml`` < ``SYFTD_*`` < flags, checked once and frozen.

The settings are plain frozen dataclasses so that naming their type costs nothing at start-up; pydantic checks and
converts what people wrote, and is imported only when that happens.
"""

from __future__ import annotations

import difflib
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, field, fields, is_dataclass
from pathlib import Path
from typing import Annotated, Any, Final, Literal

from annotated_types import Ge, Gt, Le

from syftd.errors import UserError
from syftd.names import Email
from syftd.places import HOME_VARIABLE, Places

_STRICT: Final = {"extra": "forbid", "arbitrary_types_allowed": True, "allow_inf_nan": False}
"""What pydantic is told about every class below; an `Email` is parsed by its own rules before pydantic sees it."""
_PREFIX: Final = "SYFTD_"

Count = Annotated[int, Ge(1)]
Percent = Annotated[int, Ge(0), Le(100)]
Seconds = Annotated[float, Gt(0), Le(10 * 365 * 86400)]


@dataclass(frozen=True, slots=True)
class TransportSettings:
    """One way for messages to travel. `peers` empty means: for everybody.

    A folder has a `path` and may be `trusted`; Google Drive may have a `drive_endpoint` (another server than Google's),
    a `quota_share`, the part of the account's quota that may be used, and a `drive_id`, a shared drive, which may be
    `trusted` like a folder.
    """

    __pydantic_config__ = _STRICT
    kind: Literal["folder", "gdrive"]
    path: Path = Path()
    name: str = "folder"
    trusted: bool = False
    peers: tuple[Email, ...] = ()
    drive_endpoint: str = ""
    drive_id: str = ""
    quota_share: Annotated[float, Gt(0), Le(1)] = 0.5

    @property
    def carries_private(self) -> bool:
        """Whether content that not everybody may read may travel this way."""
        return self.trusted or (self.kind == "gdrive" and not self.drive_id)


@dataclass(frozen=True, slots=True)
class SyncSettings:
    """Times in seconds, sizes in the unit that the name ends with (KiB, MiB)."""

    __pydantic_config__ = _STRICT
    quiet_seconds: Annotated[float, Ge(0), Le(3600)] = 0.5
    rescan_seconds: Seconds = 3600.0
    poll_seconds: Seconds = 5.0
    inline_kb: Annotated[int, Ge(0), Le(32 * 1024)] = 256
    trash_days: Annotated[int, Ge(0)] = 7
    trash_mb: Annotated[int, Ge(0)] = 1024
    history_mb: Annotated[int, Ge(0)] = 256
    max_delete_count: Annotated[int, Ge(0)] = 20
    max_delete_percent: Percent = 30
    workers: Annotated[int, Ge(1), Le(64)] = 4


@dataclass(frozen=True, slots=True)
class JobSettings:
    """The limits of one job, and how many run at the same time."""

    __pydantic_config__ = _STRICT
    wall_seconds: Count = 300
    memory_mb: Annotated[int, Ge(16)] = 1024
    pids: Count = 256
    output_mb: Count = 256
    output_files: Count = 10_000
    log_kb: Count = 1024
    concurrency: Annotated[int, Ge(1), Le(64)] = 1


@dataclass(frozen=True, slots=True)
class LogSettings:
    """What is logged and how; `auto` chooses the journal, the console or JSON by where stderr goes."""

    __pydantic_config__ = _STRICT
    level: Literal["debug", "info", "warning", "error"] = "info"
    format: Literal["auto", "journal", "json", "console"] = "auto"
    file: bool = False


@dataclass(frozen=True, slots=True)
class Settings:
    """Everything a person can set. `data` is absolute."""

    __pydantic_config__ = _STRICT
    email: Email
    data: Path
    transport: tuple[TransportSettings, ...] = ()
    sync: SyncSettings = field(default_factory=SyncSettings)
    jobs: JobSettings = field(default_factory=JobSettings)
    log: LogSettings = field(default_factory=LogSettings)

    @property
    def datasite(self) -> Path:
        """The folder of the own datasite."""
        return self.data / "datasites" / self.email


_SECTIONS: Final[dict[str, Any]] = {"sync": SyncSettings, "jobs": JobSettings, "log": LogSettings}
_TOP: Final = ("email", "data", "transport", *_SECTIONS)
_KEYS: Final = ("email", "data", *(f"{name}.{item.name}" for name, kind in _SECTIONS.items() for item in fields(kind)))
_TRANSPORT_KEYS: Final = tuple(item.name for item in fields(TransportSettings))
_ONLY: Final = {"path": "folder", "drive_endpoint": "gdrive", "drive_id": "gdrive", "quota_share": "gdrive"}
"""The kind of transport that alone has a key."""
TRANSPORT_NAME: Final = re.compile(r"[A-Za-z0-9_-][A-Za-z0-9_.-]{0,63}", re.ASCII)
"""What a transport may be called: files are named after it."""
_NEEDS_RESTART: Final = ("email", "data", "transport", "sync.workers", "log.format", "log.file")


@dataclass(frozen=True, slots=True)
class Value:
    """One setting in force and where it came from: ``default``, the file's path, ``SYFTD_…`` or ``flag``."""

    key: str
    value: Any
    origin: str


@dataclass(frozen=True, slots=True)
class Difference:
    """The dotted keys that differ between two settings, and those of them that only a restart puts in force."""

    changed: tuple[str, ...]
    restart: tuple[str, ...]


def load(
    places: Places, overrides: Mapping[str, Any] | None = None, env: Mapping[str, str] | None = None
) -> Settings:
    """The settings in force. `overrides` (flags) maps dotted keys to values.

    Raises UserError that names the file or variable, the key, what is wrong with it and the nearest valid key.
    """
    given, origins = _gather(places, overrides, env)
    return _check(given, origins, places)


def values(
    places: Places, overrides: Mapping[str, Any] | None = None, env: Mapping[str, str] | None = None
) -> list[Value]:
    """Every setting in force with its origin, in the order of the documentation."""
    given, origins = _gather(places, overrides, env)
    settings = _check(given, origins, places)
    return [Value(key, value, _origin(key, origins)) for key, value in _flat(settings).items()]


def glance(places: Places, env: Mapping[str, str] | None = None) -> Settings:
    """Only who and where, everything else at its default: enough for a status line, without loading the checker."""
    given, _ = _gather(places, None, env)
    if not isinstance(given.get("email"), str):
        raise _missing_email(places)
    return Settings(Email.parse(given["email"]), _absolute(str(given.get("data", places.data_default))))


def difference(old: Settings, new: Settings) -> Difference:
    """What a reload would change."""
    before, after = _flat(old), _flat(new)
    changed = tuple(key for key in {**before, **after} if before.get(key) != after.get(key))
    return Difference(changed, tuple(k for k in changed if k in _NEEDS_RESTART or k.split("[")[0] in _NEEDS_RESTART))


def nearest(word: str, known: tuple[str, ...] | list[str]) -> str:
    """The known word that `word` was probably meant to be, '' when none is close."""
    found = difflib.get_close_matches(word, known, n=1, cutoff=0.6)
    return found[0] if found else ""


def _gather(
    places: Places, overrides: Mapping[str, Any] | None, env: Mapping[str, str] | None
) -> tuple[dict[str, Any], dict[str, str]]:
    """Lays the layers over each other without checking values; returns the nested values and dotted key → origin."""
    given: dict[str, Any] = {}
    origins: dict[str, str] = {}
    _take_file(places.config_file, given, origins)
    _take_environment(os.environ if env is None else env, given, origins)
    for key, value in (overrides or {}).items():
        if key not in _KEYS:
            raise UserError(f"“{key}” is not a setting", _did_you_mean(key, _KEYS))
        _put(given, key, value)
        origins[key] = "flag"
    return given, origins


def _take_file(path: Path, given: dict[str, Any], origins: dict[str, str]) -> None:
    import tomllib

    try:
        raw = path.read_bytes()
    except FileNotFoundError:
        return
    except OSError as error:
        raise UserError(f"{path} cannot be read: {error.strerror}", "Make it readable for you.") from error
    try:
        parsed = tomllib.loads(raw.decode("utf-8"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise UserError(f"{path} is not valid TOML: {error}", "Correct that place and try again.") from error
    for key, value in parsed.items():
        if key not in _TOP:
            raise UserError(f"{path}: “{key}” is not a setting", _did_you_mean(key, (*_TOP, *_KEYS)))
        if key in _SECTIONS:
            if not isinstance(value, dict):
                raise UserError(f"{path}: “{key}” is a section", f"Write it as [{key}] with its keys below.")
            for inner in value:
                if f"{key}.{inner}" not in _KEYS:
                    raise UserError(
                        f"{path}: “{key}.{inner}” is not a setting", _did_you_mean(f"{key}.{inner}", _KEYS)
                    )
                origins[f"{key}.{inner}"] = str(path)
        else:
            origins[key] = str(path)
    given.update(parsed)
    _name_transports(path, given)


def _name_transports(path: Path, given: dict[str, Any]) -> None:
    """Checks the keys of the transports; an unknown kind is left for the value check."""
    listed = given.get("transport", [])
    if not isinstance(listed, list) or not all(isinstance(item, dict) for item in listed):
        raise UserError(f"{path}: “transport” is a list of blocks", "Write each one as [[transport]].")
    for position, item in enumerate(listed, start=1):
        for key in item:
            if key not in _TRANSPORT_KEYS:
                raise UserError(
                    f"{path}: “{key}” is not a setting of a transport (block {position})",
                    _did_you_mean(key, _TRANSPORT_KEYS),
                )
            if item.get("kind") in _ONLY.values() and _ONLY.get(key, item["kind"]) != item["kind"]:
                raise UserError(
                    f"{path}: a transport of kind “{item['kind']}” has no “{key}” (block {position})",
                    f"Remove that line; “{key}” is for kind “{_ONLY[key]}”.",
                )
        if item.get("kind") == "gdrive" and "trusted" in item and not item.get("drive_id"):
            raise UserError(
                f"{path}: “trusted” is for folders and shared drives (transport {position})",
                "Remove that line: on Google Drive everybody has folders of their own, which only the two parties see.",
            )
        if item.get("kind") in _ONLY.values():
            item.setdefault("name", item["kind"])
    names = [item.get("name", "folder") for item in listed]
    for name in names:
        if names.count(name) > 1:
            raise UserError(f"{path}: two transports are called “{name}”", "Give each transport a name of its own.")


def _take_environment(env: Mapping[str, str], given: dict[str, Any], origins: dict[str, str]) -> None:
    variables = {_PREFIX + key.upper().replace(".", "__"): key for key in _KEYS}
    for variable, value in env.items():
        if not variable.startswith(_PREFIX) or variable == HOME_VARIABLE:
            continue
        if variable in variables:
            _put(given, variables[variable], value)
            origins[variables[variable]] = variable
            continue
        # Other programs may use the prefix for names of their own; only what looks like a setting of ours is an error.
        meant = nearest(variable, list(variables))
        if "__" in variable or (meant and difflib.SequenceMatcher(None, variable, meant).ratio() > 0.8):
            raise UserError(
                f"the environment variable {variable} is not a setting",
                f"Did you mean {meant}?" if meant else "See `syftd config show` for the settings.",
            )


def _put(given: dict[str, Any], key: str, value: Any) -> None:
    section, _, name = key.rpartition(".")
    if section:
        given[section] = {**given.get(section, {}), name: value}
    else:
        given[name] = value


def _check(given: dict[str, Any], origins: Mapping[str, str], places: Places) -> Settings:
    from pydantic import TypeAdapter, ValidationError

    if "email" not in given:
        raise _missing_email(places)
    prepared = {"data": str(places.data_default), **given}
    try:
        settings: Settings = TypeAdapter(Settings).validate_python(_converted(prepared, origins))
    except ValidationError as error:
        lines = []
        for problem in error.errors(include_url=False):
            key = _dotted(problem["loc"])
            lines.append(f"{_origin(key, origins)}: “{key}”: {problem['msg']} (found {problem['input']!r:.80})")
        raise UserError("\n".join(lines), "Correct it; `syftd config show` lists the settings.") from error
    return settings


def _converted(given: dict[str, Any], origins: Mapping[str, str]) -> dict[str, Any]:
    """Parses addresses and paths with our own rules, so that the errors speak our words."""
    out = dict(given)
    where = _origin("email", origins)
    try:
        out["email"] = Email.parse(str(given["email"]))
        where = _origin("data", origins)
        out["data"] = _absolute(str(given["data"]))
        where = _origin("transport", origins)
        blocks: list[dict[str, Any]] = []
        for block in given.get("transport", []):
            block = dict(block)
            if "path" in block:
                block["path"] = _absolute(str(block["path"]))
            elif block.get("kind") == "folder":
                raise UserError(
                    f"“transport[{len(blocks) + 1}].path” is missing", 'Add a line such as path = "/mnt/shared/syft".'
                )
            if "drive_endpoint" in block:
                block["drive_endpoint"] = endpoint(str(block["drive_endpoint"]))
            if not re.fullmatch(r"[A-Za-z0-9_-]{0,128}", str(block.get("drive_id", "")), re.ASCII):
                raise UserError(
                    f"“{block['drive_id']}” is not the id of a shared drive",
                    "Open the drive in a browser: its id is the last part of the address.",
                )
            if not TRANSPORT_NAME.fullmatch(str(block.get("name", "folder"))):
                raise UserError(
                    f"“{block['name']}” cannot be the name of a transport", "Use up to 64 letters, digits, “-”, “_” and “.”."
                )
            if isinstance(block.get("peers"), list):
                block["peers"] = tuple(Email.parse(str(peer)) for peer in block["peers"])
            blocks.append(block)
    except UserError as error:
        raise UserError(f"{where}: {error}", error.remedy) from None
    out["transport"] = tuple(blocks)
    return out


def endpoint(text: str) -> str:
    """The address of a server that speaks Drive's interface, '' for Google. A login goes over the wire with every call,
    so nothing but https is taken, except on this machine. Raises UserError."""
    from urllib.parse import urlsplit

    if not text:
        return ""
    parsed = urlsplit(text)
    here = parsed.hostname in ("localhost", "127.0.0.1", "::1")
    if not parsed.hostname or parsed.scheme not in ("http", "https") or (parsed.scheme == "http" and not here):
        raise UserError(f"“{text}” is not an address that syftd uses for Google Drive", "Write it like https://host[:port].")
    return text.rstrip("/")


def _absolute(text: str) -> Path:
    path = Path(text).expanduser()
    if not path.is_absolute() or "\0" in text:
        raise UserError(f"the path “{text}” is not absolute", "Write the whole path, or begin it with ~/.")
    return Path(os.path.normpath(path))


def _missing_email(places: Places) -> UserError:
    if not places.config_file.exists():
        text = f"there is no configuration at {places.config_file}"
        return UserError(text, "Run `syftd init --email YOU@EXAMPLE.ORG`.")
    return UserError(f"{places.config_file}: “email” is missing", 'Add a line: email = "you@example.org".')


def _did_you_mean(key: str, known: tuple[str, ...]) -> str:
    meant = nearest(key, known) or nearest(key.rpartition(".")[2], [k.rpartition(".")[2] for k in known])
    if meant not in known:
        meant = next((k for k in known if meant and k.endswith("." + meant)), "")
    return f"Did you mean “{meant}”?" if meant else "`syftd config show` lists the settings."


def _dotted(location: tuple[int | str, ...]) -> str:
    text = ""
    for part in location:
        text += f"[{part + 1}]" if isinstance(part, int) else f".{part}" if text else part
    return text


def _origin(key: str, origins: Mapping[str, str]) -> str:
    return origins.get(key) or origins.get(key.split("[")[0]) or "default"


def _flat(settings: Settings) -> dict[str, Any]:
    """Dotted key → value; the transports as one ``transport[N].key`` each."""
    out: dict[str, Any] = {}
    for item in fields(settings):
        value = getattr(settings, item.name)
        if item.name == "transport":
            for position, block in enumerate(value, start=1):
                shown = [f.name for f in fields(block) if _ONLY.get(f.name, block.kind) == block.kind]
                out.update({f"transport[{position}].{key}": getattr(block, key) for key in shown})
        elif is_dataclass(value):
            out.update({f"{item.name}.{f.name}": getattr(value, f.name) for f in fields(value)})
        else:
            out[item.name] = value
    return out
