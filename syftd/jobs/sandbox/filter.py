"""The system call filter of a job, as a classic BPF program for `bwrap --seccomp`. Pure: no library, no kernel asked.

The shape is a deny list over what a data job never needs: every door to kernel surface that has no file name (io_uring,
bpf, perf, keyrings, userfaultfd), every way to make or enter namespaces and mounts, and memory that no watchdog can see
(memfd, System V IPC, shared mappings without a file, pages given to pipes). A refused call returns an error that
programs know how to live with; a call in a foreign instruction set kills, because its numbers mean something else.
"""

from __future__ import annotations

import errno
import functools
import platform
import struct
from typing import Final

from syftd.jobs.sandbox.spec import SandboxUnavailable
from syftd.jobs.sandbox.syscalls import AUDIT_ARCH, NEWEST_KNOWN, NUMBERS, Arch

# Opcodes of classic BPF (linux/bpf_common.h) as far as they are used.
LOAD: Final = 0x20  # A = the 32-bit word at offset k of struct seccomp_data
JUMP_EQUAL: Final = 0x15  # if A == k
JUMP_GREATER: Final = 0x25  # if A > k, unsigned
JUMP_ANY_BIT: Final = 0x45  # if A & k
AND: Final = 0x54  # A = A & k
RETURN: Final = 0x06

ALLOW: Final = 0x7FFF0000
KILL_PROCESS: Final = 0x80000000
REFUSE: Final = 0x00050000  # plus the errno in the low 16 bits

_NUMBER, _ARCH = 0, 4

# Absent calls: programs fall back to an older way, so they see "no such call".
_NO_SUCH_CALL: Final = (
    "clone3", "io_uring_setup", "io_uring_enter", "io_uring_register", "memfd_create", "memfd_secret", "userfaultfd",
    "shmget", "semget", "msgget", "modify_ldt", "cachestat", "statmount", "listmount", "uselib", "_sysctl", "sysfs",
    "nfsservctl", "vmsplice", "create_module", "get_kernel_syms", "query_module", "lookup_dcookie",
)  # fmt: skip

_NOT_PERMITTED: Final = (
    # Mounts and namespaces.
    "mount", "umount2", "pivot_root", "chroot", "move_mount", "open_tree", "fsopen", "fsconfig", "fsmount", "fspick",
    "mount_setattr", "setns", "unshare",
    # The machine itself.
    "kexec_load", "kexec_file_load", "init_module", "finit_module", "delete_module", "reboot", "swapon", "swapoff",
    "acct", "quotactl", "quotactl_fd", "sethostname", "setdomainname", "settimeofday", "clock_settime",
    "clock_adjtime", "adjtimex", "iopl", "ioperm", "syslog", "vhangup",
    # Other processes, which includes the sandbox's own first process.
    "ptrace", "process_vm_readv", "process_vm_writev", "kcmp", "pidfd_getfd", "process_madvise", "process_mrelease",
    # Keyrings, tracing, file handles, page placement.
    "keyctl", "add_key", "request_key", "bpf", "perf_event_open", "fanotify_init", "fanotify_mark", "open_by_handle_at",
    "name_to_handle_at", "migrate_pages", "move_pages", "mbind", "set_mempolicy", "set_mempolicy_home_node",
)  # fmt: skip

_CLONE_NEW_ANYTHING: Final = 0x7E020000  # NEWNS NEWCGROUP NEWUTS NEWIPC NEWUSER NEWPID NEWNET
_AF_UNIX, _AF_INET, _AF_INET6, _AF_NETLINK = 1, 2, 10, 16
_SOCK_STREAM, _SOCK_DGRAM = 1, 2
_SOCKET_TYPE_BITS: Final = 0xF
_INTERNET_PROTOCOLS: Final = (0, 1, 6, 17, 58)  # any, ICMP, TCP, UDP, ICMPv6
_TIOCSTI, _TIOCLINUX = 0x5412, 0x541C
_MAP_TYPE_AND_ANONYMOUS: Final = 0x2F
_SHARED_ANONYMOUS: Final = (0x21, 0x23)  # MAP_SHARED and MAP_SHARED_VALIDATE, each with MAP_ANONYMOUS
_PERSONALITY_QUERY: Final = 0xFFFFFFFF


class _Program:
    """Instructions in order; forward jumps are given as counts of instructions to skip."""

    def __init__(self) -> None:
        self.code = bytearray()

    def add(self, opcode: int, value: int, when_true: int = 0, when_false: int = 0) -> None:
        self.code += struct.pack("<HBBI", opcode, when_true, when_false, value)

    def splice(self, body: _Program) -> None:
        self.code += body.code

    @property
    def length(self) -> int:
        return len(self.code) // 8


def _argument(index: int) -> int:
    """The offset of an argument's low word; every argument inspected here is one that the kernel cuts to 32 bits."""
    return 16 + 8 * index


def _refuse(code: int) -> int:
    return REFUSE | code


def _only_for(number: int, body: _Program) -> _Program:
    """`body`, which must end in returns on every path, run only for one system call."""
    program = _Program()
    program.add(JUMP_EQUAL, number, 0, body.length)
    program.splice(body)
    return program


def _one_of(values: tuple[int, ...], otherwise: int) -> _Program:
    """Allows when A is one of `values`, else returns `otherwise`."""
    program = _Program()
    for place, value in enumerate(values):
        program.add(JUMP_EQUAL, value, len(values) - place, 0)
    program.add(RETURN, otherwise)
    program.add(RETURN, ALLOW)
    return program


def _socket_rules() -> _Program:
    """Unix sockets, TCP/UDP/ICMP over IP, and the one netlink protocol that lists interfaces; nothing else exists."""
    netlink = _Program()
    netlink.add(LOAD, _argument(2))
    netlink.splice(_one_of((0,), _refuse(errno.EPROTONOSUPPORT)))

    internet = _Program()
    internet.add(LOAD, _argument(1))
    internet.add(AND, _SOCKET_TYPE_BITS)
    internet.add(JUMP_EQUAL, _SOCK_STREAM, 2, 0)
    internet.add(JUMP_EQUAL, _SOCK_DGRAM, 1, 0)
    internet.add(RETURN, _refuse(errno.EPERM))
    internet.add(LOAD, _argument(2))
    internet.splice(_one_of(_INTERNET_PROTOCOLS, _refuse(errno.EPROTONOSUPPORT)))

    program = _Program()
    program.add(LOAD, _argument(0))
    program.add(JUMP_EQUAL, _AF_UNIX, 0, 1)
    program.add(RETURN, ALLOW)
    program.add(JUMP_EQUAL, _AF_NETLINK, 0, netlink.length)
    program.splice(netlink)
    program.add(JUMP_EQUAL, _AF_INET, 2, 0)
    program.add(JUMP_EQUAL, _AF_INET6, 1, 0)
    program.add(RETURN, _refuse(errno.EAFNOSUPPORT))
    program.splice(internet)
    return program


def _socketpair_rules() -> _Program:
    program = _Program()
    program.add(LOAD, _argument(0))
    program.splice(_one_of((_AF_UNIX,), _refuse(errno.EAFNOSUPPORT)))
    return program


def _clone_rules() -> _Program:
    program = _Program()
    program.add(LOAD, _argument(0))
    program.add(JUMP_ANY_BIT, _CLONE_NEW_ANYTHING, 0, 1)
    program.add(RETURN, _refuse(errno.EPERM))
    program.add(RETURN, ALLOW)
    return program


def _ioctl_rules() -> _Program:
    """Typing into a terminal that somebody else reads."""
    program = _Program()
    program.add(LOAD, _argument(1))
    program.add(JUMP_EQUAL, _TIOCSTI, 1, 0)
    program.add(JUMP_EQUAL, _TIOCLINUX, 0, 1)
    program.add(RETURN, _refuse(errno.EPERM))
    program.add(RETURN, ALLOW)
    return program


def _personality_rules() -> _Program:
    program = _Program()
    program.add(LOAD, _argument(0))
    program.splice(_one_of((0, _PERSONALITY_QUERY), _refuse(errno.EPERM)))
    return program


def _mmap_rules() -> _Program:
    """Shared memory must have a file in /dev/shm or /tmp, where it is counted even when no process shows its pages."""
    program = _Program()
    program.add(LOAD, _argument(3))
    program.add(AND, _MAP_TYPE_AND_ANONYMOUS)
    for flags in _SHARED_ANONYMOUS:
        program.add(JUMP_EQUAL, flags, 0, 1)
        program.add(RETURN, _refuse(errno.EPERM))
    program.add(RETURN, ALLOW)
    return program


@functools.cache
def program(arch: Arch) -> bytes:
    """The filter for `arch`: an array of struct sock_filter, as `bwrap --seccomp` reads it."""
    numbers = NUMBERS[arch]
    whole = _Program()
    whole.add(LOAD, _ARCH)
    whole.add(JUMP_EQUAL, AUDIT_ARCH[arch], 1, 0)
    whole.add(RETURN, KILL_PROCESS)
    whole.add(LOAD, _NUMBER)
    # The x32 calls carry bit 30 in their number, so this refuses them too.
    whole.add(JUMP_GREATER, NEWEST_KNOWN, 0, 1)
    whole.add(RETURN, _refuse(errno.ENOSYS))
    for names, code in ((_NO_SUCH_CALL, errno.ENOSYS), (_NOT_PERMITTED, errno.EPERM)):
        for name in names:
            if name in numbers:
                whole.add(JUMP_EQUAL, numbers[name], 0, 1)
                whole.add(RETURN, _refuse(code))
    whole.splice(_only_for(numbers["socket"], _socket_rules()))
    whole.splice(_only_for(numbers["socketpair"], _socketpair_rules()))
    whole.splice(_only_for(numbers["clone"], _clone_rules()))
    whole.splice(_only_for(numbers["ioctl"], _ioctl_rules()))
    whole.splice(_only_for(numbers["mmap"], _mmap_rules()))
    whole.splice(_only_for(numbers["personality"], _personality_rules()))
    whole.add(RETURN, ALLOW)
    return bytes(whole.code)


def machine_arch() -> Arch:
    """This machine's architecture; raises SandboxUnavailable when no filter was written for it."""
    machine = platform.machine().lower()
    if machine in ("x86_64", "amd64"):
        return "x86_64"
    if machine in ("aarch64", "arm64"):
        return "aarch64"
    raise SandboxUnavailable(
        f"there is no system call filter for the processor type “{machine}”",
        "Run jobs on an x86-64 or 64-bit ARM machine.",
    )
