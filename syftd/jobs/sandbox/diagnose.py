"""Why bubblewrap could not make a sandbox, in words and with the cure, read from what it wrote to stderr."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from syftd.jobs.sandbox.spec import SandboxUnavailable

_APPARMOR_SWITCH: Final = Path("/proc/sys/kernel/apparmor_restrict_unprivileged_userns")
_DEBIAN_SWITCH: Final = Path("/proc/sys/kernel/unprivileged_userns_clone")
_NAMESPACE_COUNT: Final = Path("/proc/sys/user/max_user_namespaces")

INSTALL: Final = (
    "Install it: `sudo apt install bubblewrap` (Debian, Ubuntu), `sudo dnf install bubblewrap` (Fedora), "
    "`sudo pacman -S bubblewrap` (Arch). Then run `syftd doctor`."
)
_APPARMOR_CURE: Final = (
    "Let AppArmor allow bubblewrap: `sudo apt install apparmor-profiles && sudo cp "
    "/usr/share/apparmor/extra-profiles/bwrap-userns-restrict /etc/apparmor.d/ && sudo apparmor_parser -r "
    "/etc/apparmor.d/bwrap-userns-restrict`. Then run `syftd doctor`."
)
_USER_NAMESPACE_WORDS: Final = (
    "RTM_NEWADDR", "uid map", "gid map", "No permissions to create", "Creating new namespace failed", "unshare",
)  # fmt: skip


def missing(program: str) -> SandboxUnavailable:
    """The error for a program that is not installed."""
    other = f"Install {program} with your system's package tool, then run `syftd doctor`."
    cure = INSTALL if program == "bwrap" else other
    name = "bubblewrap (the command bwrap)" if program == "bwrap" else program
    return SandboxUnavailable(f"jobs cannot run: {name} is not installed", cure)


def explain(said: str) -> SandboxUnavailable:
    """The error for a sandbox that was tried and did not come up; `said` is what its programs wrote."""
    lines = [line for line in said.splitlines() if line.startswith("bwrap: ")] or said.strip().splitlines()
    last = lines[-1][:300] if lines else "no reason was given"
    return SandboxUnavailable(f"jobs cannot run: the sandbox could not be made ({last})", _cure(last))


def _cure(said: str) -> str:
    if "Unknown option" in said or "unknown option" in said:
        return "This bubblewrap is too old; version 0.8 or newer is needed. " + INSTALL
    if any(word in said for word in _USER_NAMESPACE_WORDS):
        if _switch(_APPARMOR_SWITCH) == "1":
            return _APPARMOR_CURE
        if _switch(_DEBIAN_SWITCH) == "0":
            return "Allow them: `sudo sysctl -w kernel.unprivileged_userns_clone=1`. Then run `syftd doctor`."
        if _switch(_NAMESPACE_COUNT) == "0":
            return "Allow them: `sudo sysctl -w user.max_user_namespaces=10000`. Then run `syftd doctor`."
        return "This machine forbids user namespaces (a container often does); allow them, then run `syftd doctor`."
    if "mount proc" in said or "Can't mount" in said:
        return "A container around syftd masks /proc or forbids mounts; allow both, then run `syftd doctor`."
    return "Run `syftd doctor`; it tries a sandbox and shows what happens."


def _switch(path: Path) -> str:
    try:
        return path.read_text(encoding="ascii").strip()
    except OSError:
        # Kernels without this switch do not have the file either.
        return ""
