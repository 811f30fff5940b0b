"""System call numbers per architecture, for the calls that the filter treats specially.

Each line is `name x86-64 aarch64`; '-' where the architecture lacks the call. From 424 on both share one numbering.
"""

from __future__ import annotations

from typing import Final, Literal

Arch = Literal["x86_64", "aarch64"]

AUDIT_ARCH: Final[dict[Arch, int]] = {"x86_64": 0xC000003E, "aarch64": 0xC00000B7}

NEWEST_KNOWN: Final = 462
"""The highest number this table was written against; calls above it do not exist for a job."""

_TABLE: Final = """
_sysctl 156 -
acct 163 89
add_key 248 217
adjtimex 159 171
bpf 321 280
cachestat 451 451
chroot 161 51
clock_adjtime 305 266
clock_settime 227 112
clone 56 220
clone3 435 435
create_module 174 -
delete_module 176 106
fanotify_init 300 262
fanotify_mark 301 263
finit_module 313 273
fsconfig 431 431
fsmount 432 432
fsopen 430 430
fspick 433 433
get_kernel_syms 177 -
init_module 175 105
io_uring_enter 426 426
io_uring_register 427 427
io_uring_setup 425 425
ioctl 16 29
ioperm 173 -
iopl 172 -
kcmp 312 272
kexec_file_load 320 294
kexec_load 246 104
keyctl 250 219
listmount 458 458
lookup_dcookie 212 18
mbind 237 235
memfd_create 319 279
memfd_secret 447 447
migrate_pages 256 238
modify_ldt 154 -
mmap 9 222
mount 165 40
mount_setattr 442 442
move_mount 429 429
move_pages 279 239
msgget 68 186
name_to_handle_at 303 264
nfsservctl 180 42
open_by_handle_at 304 265
open_tree 428 428
perf_event_open 298 241
personality 135 92
pidfd_getfd 438 438
pivot_root 155 41
process_madvise 440 440
process_mrelease 448 448
process_vm_readv 310 270
process_vm_writev 311 271
ptrace 101 117
query_module 178 -
quotactl 179 60
quotactl_fd 443 443
reboot 169 142
request_key 249 218
semget 64 190
set_mempolicy 238 237
set_mempolicy_home_node 450 450
setdomainname 171 162
sethostname 170 161
setns 308 268
settimeofday 164 170
shmget 29 194
socket 41 198
socketpair 53 199
statmount 457 457
swapoff 168 225
swapon 167 224
sysfs 139 -
syslog 103 116
umount2 166 39
unshare 272 97
uselib 134 -
userfaultfd 323 282
vhangup 153 58
vmsplice 278 75
"""


def _parse(column: int) -> dict[str, int]:
    rows = (line.split() for line in _TABLE.strip().splitlines())
    return {row[0]: int(row[column]) for row in rows if row[column] != "-"}


NUMBERS: Final[dict[Arch, dict[str, int]]] = {"x86_64": _parse(1), "aarch64": _parse(2)}
