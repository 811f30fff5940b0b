"""The system call filter, judged by an interpreter of classic BPF, for both architectures, without a kernel."""

from __future__ import annotations

import errno
import re
import struct
from pathlib import Path

import pytest

from syftd.jobs.sandbox.filter import ALLOW, KILL_PROCESS, REFUSE, program
from syftd.jobs.sandbox.syscalls import AUDIT_ARCH, NEWEST_KNOWN, NUMBERS, Arch

ARCHES: tuple[Arch, ...] = ("x86_64", "aarch64")
_WORD = 0xFFFFFFFF


def interpret(code: bytes, arch: int, number: int, *arguments: int) -> int:
    """What the kernel would do; also checks what the kernel's verifier checks about jumps and the end."""
    seen = struct.pack("<iIQ6Q", number if number < 2**31 else number - 2**32, arch, 0, *(arguments + (0,) * 6)[:6])
    instructions = list(struct.iter_unpack("<HBBI", code))
    place = accumulator = 0
    while True:
        opcode, when_true, when_false, value = instructions[place]
        place += 1
        if opcode == 0x20:
            (accumulator,) = struct.unpack_from("<I", seen, value)
        elif opcode == 0x54:
            accumulator &= value
        elif opcode == 0x06:
            return int(value)
        else:
            holds = {0x15: accumulator == value, 0x25: accumulator > value, 0x45: bool(accumulator & value)}[opcode]
            place += when_true if holds else when_false


def decide(arch: Arch, name: str, *arguments: int) -> int:
    return interpret(program(arch), AUDIT_ARCH[arch], NUMBERS[arch][name], *arguments)


def refused(code: int) -> int:
    return REFUSE | code


@pytest.mark.parametrize("arch", ARCHES)
def test_every_path_of_the_program_ends_in_a_return(arch: Arch) -> None:
    instructions = list(struct.iter_unpack("<HBBI", program(arch)))
    assert len(instructions) < 4096
    for place, (opcode, when_true, when_false, _) in enumerate(instructions):
        if opcode & 7 == 5:
            assert place + 1 + max(when_true, when_false) < len(instructions)
    assert instructions[-1][0] == 0x06


@pytest.mark.parametrize("arch", ARCHES)
def test_every_call_of_the_table_is_refused_unless_its_arguments_decide(arch: Arch) -> None:
    by_argument = {"mmap", "socket", "socketpair", "clone", "ioctl", "personality"}
    for name in NUMBERS[arch]:
        verdict = decide(arch, name)
        if name not in by_argument:
            assert verdict in (refused(errno.EPERM), refused(errno.ENOSYS)), name


@pytest.mark.parametrize("arch", ARCHES)
@pytest.mark.parametrize(
    ("name", "code"),
    [
        ("keyctl", errno.EPERM), ("add_key", errno.EPERM), ("request_key", errno.EPERM), ("ptrace", errno.EPERM),
        ("bpf", errno.EPERM), ("perf_event_open", errno.EPERM), ("mount", errno.EPERM), ("umount2", errno.EPERM),
        ("pivot_root", errno.EPERM), ("setns", errno.EPERM), ("unshare", errno.EPERM), ("kexec_load", errno.EPERM),
        ("init_module", errno.EPERM), ("finit_module", errno.EPERM), ("open_by_handle_at", errno.EPERM),
        ("pidfd_getfd", errno.EPERM), ("process_vm_writev", errno.EPERM), ("fsopen", errno.EPERM),
        ("clone3", errno.ENOSYS), ("io_uring_setup", errno.ENOSYS), ("io_uring_enter", errno.ENOSYS),
        ("io_uring_register", errno.ENOSYS), ("userfaultfd", errno.ENOSYS), ("memfd_secret", errno.ENOSYS),
        ("memfd_create", errno.ENOSYS), ("shmget", errno.ENOSYS),
    ],
)  # fmt: skip
def test_named_calls(arch: Arch, name: str, code: int) -> None:
    assert decide(arch, name) == refused(code)


@pytest.mark.parametrize("arch", ARCHES)
def test_a_foreign_instruction_set_kills(arch: Arch) -> None:
    i386, arm = 0x40000003, 0x40000028
    other = AUDIT_ARCH["aarch64" if arch == "x86_64" else "x86_64"]
    for foreign in (i386, arm, other, 0):
        assert interpret(program(arch), foreign, 20) == KILL_PROCESS


@pytest.mark.parametrize("arch", ARCHES)
def test_numbers_beyond_the_table_do_not_exist(arch: Arch) -> None:
    x32 = 0x40000000
    for number in (NEWEST_KNOWN + 1, 600, x32 + 39, x32 + 425, 2**31, _WORD):
        assert interpret(program(arch), AUDIT_ARCH[arch], number) == refused(errno.ENOSYS)


@pytest.mark.parametrize("arch", ARCHES)
def test_ordinary_calls_are_allowed(arch: Arch) -> None:
    ordinary = {
        "x86_64": (0, 1, 2, 3, 10, 11, 39, 57, 59, 61, 202, 257, 302, 332),
        "aarch64": (56, 57, 63, 64, 98, 221, 215),
    }
    for number in ordinary[arch]:
        assert interpret(program(arch), AUDIT_ARCH[arch], number) == ALLOW


@pytest.mark.parametrize("arch", ARCHES)
def test_sockets_by_family_type_and_protocol(arch: Arch) -> None:
    cloexec = 0o2000000
    for family, kind, protocol in ((1, 1, 0), (1, 2, 0), (2, 1, 0), (2, 1 | cloexec, 6), (10, 2, 17), (16, 3, 0)):
        assert decide(arch, "socket", family, kind, protocol) == ALLOW, (family, kind, protocol)
    # Packet, vsock, ALG, Bluetooth, CAN, TIPC, XDP, key, qrtr, SMC.
    for family in (17, 40, 38, 31, 29, 30, 44, 15, 42, 43):
        assert decide(arch, "socket", family, 3, 0) == refused(errno.EAFNOSUPPORT)
    for protocol in (2, 4, 9, 16):
        assert decide(arch, "socket", 16, 3, protocol) == refused(errno.EPROTONOSUPPORT)
    assert decide(arch, "socket", 2, 3, 1) == refused(errno.EPERM)
    assert decide(arch, "socket", 2, 10, 0) == refused(errno.EPERM)
    for protocol in (132, 136, 262):
        assert decide(arch, "socket", 2, 1, protocol) == refused(errno.EPROTONOSUPPORT)
    assert decide(arch, "socketpair", 1, 1, 0) == ALLOW
    assert decide(arch, "socketpair", 30, 1, 0) == refused(errno.EAFNOSUPPORT)


@pytest.mark.parametrize("arch", ARCHES)
def test_high_halves_of_arguments_change_nothing(arch: Arch) -> None:
    high = 0xDEADBEEF << 32
    assert decide(arch, "socket", high | 40, 1, 0) == refused(errno.EAFNOSUPPORT)
    assert decide(arch, "ioctl", 0, high | 0x5412) == refused(errno.EPERM)
    assert decide(arch, "clone", high | 0x10000000) == refused(errno.EPERM)


@pytest.mark.parametrize("arch", ARCHES)
def test_clone_makes_threads_and_children_but_no_namespaces(arch: Arch) -> None:
    thread = 0x3D0F00
    assert decide(arch, "clone", thread) == ALLOW
    assert decide(arch, "clone", 17) == ALLOW
    for bit in (0x00020000, 0x02000000, 0x04000000, 0x08000000, 0x10000000, 0x20000000, 0x40000000):
        assert decide(arch, "clone", 17 | bit) == refused(errno.EPERM), hex(bit)


@pytest.mark.parametrize("arch", ARCHES)
def test_shared_memory_needs_a_file(arch: Arch) -> None:
    shared, private, validated, anonymous, fixed = 1, 2, 3, 0x20, 0x10
    for flags in (private | anonymous, private, shared, validated, private | anonymous | fixed | 0x4000):
        assert decide(arch, "mmap", 0, 4096, 3, flags) == ALLOW
    for flags in (shared | anonymous, validated | anonymous, shared | anonymous | fixed | 0x8000, (9 << 32) | 0x21):
        assert decide(arch, "mmap", 0, 4096, 3, flags) == refused(errno.EPERM)


@pytest.mark.parametrize("arch", ARCHES)
def test_terminal_injection_and_personality(arch: Arch) -> None:
    assert decide(arch, "ioctl", 0, 0x5412) == refused(errno.EPERM)
    assert decide(arch, "ioctl", 0, 0x541C) == refused(errno.EPERM)
    assert decide(arch, "ioctl", 0, 0x5413) == ALLOW
    assert decide(arch, "personality", 0xFFFFFFFF) == ALLOW
    assert decide(arch, "personality", 0x0040000) == refused(errno.EPERM)


@pytest.mark.parametrize(
    ("arch", "header", "prefix"),
    [
        ("x86_64", "/usr/include/x86_64-linux-gnu/asm/unistd_64.h", "__NR_"),
        ("aarch64", "/usr/include/asm-generic/unistd.h", "__NR_"),
    ],
)
def test_numbers_agree_with_the_kernel_headers(arch: Arch, header: str, prefix: str) -> None:
    if not Path(header).exists():
        pytest.skip("no kernel headers here")
    known = dict(re.findall(rf"#define {prefix}(\w+)\s+(\d+)", Path(header).read_text()))
    compared = {name: int(known[name]) for name in NUMBERS[arch] if name in known}
    assert len(compared) > 60
    assert compared == {name: NUMBERS[arch][name] for name in compared}
