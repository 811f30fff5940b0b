"""What runs as process 1 inside the sandbox: a bash script that unpacks the job, runs it, and streams its outputs out.

Nothing rests on this script's honesty: a job can write to its memory, so it is as confined and as limited as the job,
and whatever it says is treated as the job's own word. Being process 1 it cannot be signalled away from inside, and
when it ends the kernel ends everything else.
"""

from __future__ import annotations

from typing import Final

from syftd.jobs.sandbox.spec import Limits

BASH: Final = "/bin/bash"

# Arguments: the archive to unpack ('-' for none), where outputs go, where progress is told, then words for `ulimit`.
# Progress is told in lines: ready · exit N · collected N · fault TEXT · anything else is a complaint of tar.
# The supervisor's own stderr is closed once the job has it, or bash's obituaries would be mixed into the job's log.
# A shell may make background commands deaf to SIGINT, which `env` rules out; a session of its own keeps a job's
# `kill 0` from process 1. Job control would do both, but then `wait` ends when the job is merely stopped, and `wait -f`
# was seen to spin.
_SCRIPT: Final = r"""
set -f; umask 022
archive=$1 export=$2 tell=$3; shift 3
{ echo 1000 >/proc/self/oom_score_adj; } 2>/dev/null
if ! ulimit "$@" 2>&"$tell"; then echo "fault the limits could not be set" >&"$tell"; exit 125; fi
if [[ $archive != - ]]; then
  if ! tar -xpf - -C /job --no-same-owner <&"$archive" 2>&"$tell"; then
    echo "fault the job could not be unpacked" >&"$tell"; exit 125
  fi
  exec {archive}<&-
fi
cd /job || exit 125
unset OLDPWD
stopped=
trap 'trap "" TERM; stopped=1; kill -KILL -1' TERM
echo ready >&"$tell"
( exec {export}>&- {tell}>&-; exec setsid env --default-signal=INT,QUIT /bin/bash run.sh ) &
job=$!
exec >/dev/null 2>&1
wait "$job"; code=$?
if [[ $stopped ]]; then wait "$job"; code=$?; fi
trap '' TERM
kill -KILL -1
for ((i = 0; i < 5000; i++)); do kill -0 -1 || break; done
echo "exit $code" >&"$tell"
cd /
chmod -R u+rwX /job/outputs
shopt -s nullglob dotglob; set +f
from=/job/outputs; entries=("$from"/*)
if ((${#entries[@]} == 0)) && [[ -d /job/code/outputs ]]; then
  from=/job/code/outputs; chmod -R u+rwX "$from"; entries=("$from"/*)
fi
status=0
if ((${#entries[@]})); then tar -cf - --format=gnu --sort=name -C "$from" . >&"$export" 2>&"$tell"; status=$?; fi
echo "collected $status" >&"$tell"
"""


def rlimits(limits: Limits) -> list[str]:
    """The words for bash's `ulimit` in process 1 and so in all others: what the kernel checks one process at a time.

    The address space is not limited: many runtimes reserve far more than they use. The data limit only catches a single
    process that grows faster than anybody can look; the sum is the watchdog's business. The number of processes is
    counted per user namespace and so is the job's alone; process 1 is one of them.
    """
    largest_file_kb = max(limits.output_mb, limits.memory_mb) * 1024
    words = ["-c", "0", "-n", "4096", "-u", str(limits.pids + 1), "-f", str(largest_file_kb)]
    words += ["-d", str((limits.memory_mb + 1024) * 1024), "-l", "64", "-q", "65536", "-i", "1024"]
    if limits.cpu_seconds is not None:
        words += ["-t", str(limits.cpu_seconds)]
    return words


def command(archive: int | None, export: int, tell: int, limits: Limits) -> list[str]:
    """The argument vector of process 1, given the descriptors it inherits."""
    first = "-" if archive is None else str(archive)
    return [BASH, "--norc", "--noprofile", "-c", _SCRIPT, "syftd-init", first, str(export), str(tell), *rlimits(limits)]
