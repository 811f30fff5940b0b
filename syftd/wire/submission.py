"""The two small files of a job that the network knows: ``config.yaml`` from its author, ``state.yaml`` from the owner.

Neither decides who a job is from or where it lies: the folder does. Names found here are for people to read and must
never become part of a path, a pattern or a shell command.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Final, Literal, NamedTuple, get_args

from syftd.errors import Malformed
from syftd.wire import fields, plain_yaml

CONFIG_FILE: Final = "config.yaml"
STATE_FILE: Final = "state.yaml"
MAX_FILE_BYTES: Final = 256 * 1024

JobStatus = Literal["received", "pending", "approved", "rejected", "running", "done", "failed"]
"""The network's literals. `received` is never written by it: a job without a state file."""

_STATUSES: Final = frozenset(get_args(JobStatus))
_MAX_ITEMS: Final = 10_000
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)


class DatasetUse(NamedTuple):
    """A dataset that a job asks for; `owner` is '' when the job does not say whose (then: the owner it was sent to)."""

    owner: str
    name: str


@dataclass(frozen=True, slots=True)
class Submission:
    """What a job's author says about it. Everything may be missing; nothing of it is an identity."""

    name: str = ""
    type: Literal["", "python", "bash"] = ""
    submitted_at: str = ""
    entrypoint: str | None = None
    dependencies: tuple[str, ...] = ()
    files: tuple[str, ...] = ()
    is_folder_submission: bool = False
    job_type: str = "local"
    datasets: tuple[DatasetUse, ...] = ()
    headers: tuple[tuple[str, str], ...] = ()
    canonical_name: str | None = None
    version: str | None = None


@dataclass(frozen=True, slots=True)
class JobState:
    """What the owner's side says about a job. Times as `time_text` writes them."""

    status: JobStatus
    received_at: str | None = None
    approved_by: str | None = None
    approved_at: str | None = None
    approval_method: Literal["manual", "auto"] | None = None
    rejected_by: str | None = None
    rejected_at: str | None = None
    review_reason: str | None = None
    completed_at: str | None = None
    return_code: int | None = None
    canonical_name: str | None = None
    version: str | None = None


def time_text(seconds: float) -> str:
    """Seconds since the epoch as the network writes a time: UTC, microseconds, ``Z``."""
    moment = _EPOCH + timedelta(microseconds=round(seconds * 1_000_000))
    return moment.replace(tzinfo=None).isoformat(timespec="microseconds") + "Z"


def time_seconds(text: str) -> float:
    """Seconds since the epoch of an ISO-8601 time; one without an offset is UTC. Raises Malformed."""
    try:
        moment = datetime.fromisoformat(text[:64])
        if moment.tzinfo is None:
            moment = moment.replace(tzinfo=UTC)
        return (moment - _EPOCH).total_seconds()
    except (ValueError, OverflowError):
        raise Malformed(f"not a time: {text[:64]!r}") from None


def parse_submission(content: bytes) -> Submission:
    """What a ``config.yaml`` says; missing keys have their defaults, unknown ones are ignored. Raises Malformed or
    TooLarge."""
    raw = _mapping(plain_yaml.parse(content, CONFIG_FILE, MAX_FILE_BYTES), CONFIG_FILE)
    kind = _prose(raw, "type") or ""
    if kind not in ("", "python", "bash"):
        raise Malformed(f"type in {CONFIG_FILE} is neither python nor bash: {kind[:80]!r}")
    headers = _mapping(raw.get("headers"), "headers")
    return Submission(
        name=_prose(raw, "name") or "",
        type=kind,  # type: ignore[arg-type]  # Checked against the literal above.
        submitted_at=_prose(raw, "submitted_at") or "",
        entrypoint=_entry(raw, "entrypoint"),
        dependencies=_lines(raw.get("dependencies"), "dependencies"),
        files=_lines(raw.get("files"), "files"),
        is_folder_submission=_yes(raw, "is_folder_submission"),
        job_type=_prose(raw, "job_type") or "local",
        datasets=_datasets(raw.get("datasets")),
        # A header may be anything in the network; only plain ones can matter to us, and none decides anything.
        headers=tuple((fields.prose(key), fields.prose(text)) for key, text in headers.items() if type(text) is str),
        canonical_name=_prose(raw, "canonical_name"),
        version=_prose(raw, "version"),
    )


def render_submission(submission: Submission) -> str:
    """A ``config.yaml`` that the network can read. `code_path` stays empty: where a file lies on the author's machine
    is nobody else's business."""
    datasets: dict[str, list[str]] | list[str] | None = None
    if any(use.owner for use in submission.datasets):
        datasets = {}
        for use in submission.datasets:
            datasets.setdefault(use.owner, []).append(use.name)
    elif submission.datasets:
        datasets = [use.name for use in submission.datasets]
    written: dict[str, Any] = {
        "name": submission.name,
        "type": submission.type or "bash",
        "submitted_at": submission.submitted_at,
        "entrypoint": submission.entrypoint,
        "dependencies": list(submission.dependencies),
        "files": list(submission.files),
        "is_folder_submission": submission.is_folder_submission,
        "code_path": None,
        "job_type": submission.job_type,
        "datasets": datasets,
        "headers": dict(submission.headers),
    }
    return _render(written, submission.canonical_name, submission.version)


def parse_state(content: bytes) -> JobState:
    """What a ``state.yaml`` says; only the status must be there. Raises Malformed or TooLarge."""
    raw = _mapping(plain_yaml.parse(content, STATE_FILE, MAX_FILE_BYTES), STATE_FILE)
    status = _prose(raw, "status")
    if status not in _STATUSES:
        raise Malformed(f"status in {STATE_FILE} is not known: {fields.shown(status)}")
    method = _prose(raw, "approval_method")
    if method not in (None, "manual", "auto"):
        raise Malformed(f"approval_method in {STATE_FILE} is not known: {fields.shown(method)}")
    return JobState(
        status=status,  # type: ignore[arg-type]  # It is one of the literal's own arguments.
        received_at=_prose(raw, "received_at"),
        approved_by=_prose(raw, "approved_by"),
        approved_at=_prose(raw, "approved_at"),
        approval_method=method,  # type: ignore[arg-type]  # Checked against the literal above.
        rejected_by=_prose(raw, "rejected_by"),
        rejected_at=_prose(raw, "rejected_at"),
        review_reason=_prose(raw, "review_reason"),
        completed_at=_prose(raw, "completed_at"),
        return_code=_exit_code(raw.get("return_code")),
        canonical_name=_prose(raw, "canonical_name"),
        version=_prose(raw, "version"),
    )


def render_state(state: JobState) -> str:
    """A ``state.yaml``: all ten keys in alphabetical order, nulls explicit."""
    written: dict[str, Any] = {
        "status": state.status,
        "received_at": state.received_at,
        "approved_by": state.approved_by,
        "approved_at": state.approved_at,
        "approval_method": state.approval_method,
        "rejected_by": state.rejected_by,
        "rejected_at": state.rejected_at,
        "review_reason": state.review_reason,
        "completed_at": state.completed_at,
        "return_code": state.return_code,
    }
    return _render(written, state.canonical_name, state.version)


def _render(written: dict[str, Any], canonical_name: str | None, version: str | None) -> str:
    import yaml

    if canonical_name is not None:
        written["canonical_name"] = canonical_name
    if version is not None:
        written["version"] = version
    text: str = yaml.safe_dump(_plain(written), sort_keys=True, allow_unicode=True, default_flow_style=False)
    return text


def _plain(value: Any) -> Any:
    """The value in types that YAML's safe writer knows: our `Email` and `RelPath` are strings to everybody else."""
    if isinstance(value, str):
        return str(value)
    if isinstance(value, dict):
        return {_plain(key): _plain(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_plain(item) for item in value]
    return value


def _mapping(value: object, what: str) -> dict[str, object]:
    if value is None:
        return {}
    if not isinstance(value, dict):
        raise Malformed(f"{what} is not a YAML mapping: {fields.shown(value)}")
    return value


def _entry(raw: Mapping[str, object], key: str) -> str | None:
    """A value that must be taken as it is: a cut or mended one would mean something else."""
    return None if raw.get(key) is None else fields.line(raw[key], key)


def _prose(raw: Mapping[str, object], key: str) -> str | None:
    """A value for people to read."""
    value = raw.get(key)
    if value is None:
        return None
    if not isinstance(value, str):
        raise Malformed(f"{key} is not text: {fields.shown(value)}")
    return fields.prose(value)


def _lines(value: object, what: str) -> tuple[str, ...]:
    return tuple(fields.line(item, f"an item of {what}") for item in fields.items(value, what, _MAX_ITEMS))


def _datasets(value: object) -> tuple[DatasetUse, ...]:
    """A list of names, or a mapping: from an owner's address to names, or from a name to anything."""
    if value is None or isinstance(value, list):
        return tuple(DatasetUse("", name) for name in _lines(value, "datasets"))
    uses: list[DatasetUse] = []
    for key, item in _mapping(value, "datasets").items():
        if "@" in key:
            names = _lines([item] if isinstance(item, str) else item, "datasets")
            uses.extend(DatasetUse(fields.email(key, "an owner in datasets"), name) for name in names)
        else:
            uses.append(DatasetUse("", fields.line(key, "a name in datasets")))
    return tuple(uses)


def _yes(raw: Mapping[str, object], key: str) -> bool:
    value = (_prose(raw, key) or "false").lower()
    if value not in ("true", "false"):
        raise Malformed(f"{key} is neither true nor false: {value[:80]!r}")
    return value == "true"


def _exit_code(value: object) -> int | None:
    if value is None:
        return None
    if isinstance(value, str) and len(value) <= 11 and value.removeprefix("-").isdecimal() and value.isascii():
        return int(value)
    raise Malformed(f"return_code is not a whole number: {fields.shown(value)}")
