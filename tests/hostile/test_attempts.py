"""Real jobs in the real sandbox: honest ones must work, hostile ones must not; judged by what the host can see."""

from __future__ import annotations

import os
import platform
import socket
import threading
from pathlib import Path

import pytest

from syftd.errors import UserError
from syftd.jobs.sandbox import Limits, Spec, run
from syftd.seams import SystemClock
from tests.hostile.worlds import SMALL, Ran, World, alive_with, python

NOT_FOUND_OR_FORBIDDEN = (1, 2, 13, 22, 38, 93, 97)


def tight(**changes: float) -> Limits:
    fields = {name: getattr(SMALL, name) for name in SMALL.__slots__}
    return Limits(**{**fields, **changes})


def call(world: World, *calls: str) -> list[tuple[int, int]]:
    """(result, errno) of raw system calls given as argument texts for ctypes' `syscall`."""
    lines = "\n".join(f"r=l.syscall({text}); print(r, ctypes.get_errno())" for text in calls)
    ran = world.run(
        python(f"import ctypes\nl=ctypes.CDLL(None,use_errno=True)\nb=ctypes.create_string_buffer(512)\n{lines}")
    )
    assert ran.result.exit_code == 0, ran.stderr
    return [(int(a), int(b)) for a, b in (line.split() for line in ran.stdout.splitlines())]


def may_set_floors() -> bool:
    """Whether we have CAP_SYS_RESOURCE; root in a container often does not."""
    status = Path("/proc/self/status").read_text()
    return bool(int(status.split("CapEff:")[1].split()[0], 16) >> 24 & 1)


class TestHonestJobs:
    def test_reads_its_dataset_writes_outputs_and_reports(self, world: World) -> None:
        ran = world.run(
            "wc -l < /data/named/rows.csv | tee outputs/n.txt; mkdir outputs/d; echo x > outputs/d/y; echo e >&2"
        )
        assert ran.result.ok and ran.result.reason == "exit 0" and ran.result.mode == "bubblewrap"
        assert ran.stdout.strip() == "2" and ran.stderr == "e\n"
        assert ran.kept() == ["d/y", "n.txt"] and not ran.result.refused
        assert (ran.out / "returncode.txt").read_text() == "0\n"
        assert all(path.stat().st_mode & 0o077 == 0 for path in ran.out.rglob("*"))

    def test_exit_code_and_signal(self, world: World) -> None:
        assert world.run("exit 3").result.exit_code == 3
        ran = world.run("kill -SEGV $$")
        assert ran.result.signal == 11 and "SIGSEGV" in ran.result.reason

    def test_works_as_programs_expect(self, world: World) -> None:
        ran = world.run(
            python(
                "import multiprocessing as mp, socket, subprocess, tempfile, threading, signal, os, getpass\n"
                "with mp.get_context('fork').Pool(4) as p: assert sum(p.map(abs, range(50))) == 1225\n"
                "s=socket.create_server(('127.0.0.1',0)); c=socket.create_connection(s.getsockname()); s.accept()\n"
                "t=[threading.Thread(target=print) for _ in range(8)]; [x.start() for x in t]; [x.join() for x in t]\n"
                "tempfile.NamedTemporaryFile().write(b'x'); assert subprocess.run(['true']).returncode == 0\n"
                "assert signal.getsignal(signal.SIGINT) is signal.default_int_handler\n"
                "open('/dev/stderr','w').write('named'); open('/dev/stdout','w').write('too')\n"
                "open('/dev/shm/x','w'); open('scratch','w').write('y')\n"
                "assert getpass.getuser() == 'job' and socket.gethostname() == 'job'"
            )
        )
        assert ran.result.exit_code == 0, ran.stderr
        assert ran.stderr == "named" and ran.stdout.startswith("too")

    def test_outputs_of_the_existing_network_lie_below_code(self, world: World) -> None:
        assert world.run("mkdir -p code/outputs; echo x > code/outputs/r.txt").kept() == ["r.txt"]

    def test_memory_that_is_shared_is_counted_once(self, world: World) -> None:
        body = (
            "import os,time\nx=bytearray(120<<20)\nfor i in range(6):\n  if os.fork()==0: time.sleep(.5); os._exit(0)\n"
        )
        ran = world.run(python(body + "for i in range(6): os.wait()"))
        assert ran.result.exit_code == 0, ran.result.reason
        assert ran.result.peak_memory_mb > 100

    def test_starting_programs_does_not_count_memory_twice(self, world: World) -> None:
        body = "import subprocess\nx=bytearray(140<<20)\nfor i in range(150): subprocess.run(['true'])"
        assert world.run(python(body)).result.exit_code == 0

    def test_a_child_before_its_exec_is_not_counted_on_top(self, world: World) -> None:
        """Opening a pipe that nobody writes to holds the child in that moment for as long as we like."""
        body = (
            "import os, threading, time\n"
            "x=bytearray(140<<20); os.mkfifo('/tmp/p')\n"
            "if os.fork()==0: time.sleep(.7); open('/tmp/p','w'); os._exit(0)\n"
            "wait=[(os.POSIX_SPAWN_OPEN, 0, '/tmp/p', os.O_RDONLY, 0)]\n"
            "os.posix_spawn('/bin/true', ['true'], {}, file_actions=wait)\n"
            "os.wait(); os.wait()"
        )
        ran = world.run(python(body))
        assert ran.result.exit_code == 0, ran.result.reason
        assert ran.result.wall_seconds > 0.6

    def test_two_datasets_the_owners_path_and_extra_binds(self, world: World) -> None:
        prefix = world.top / "prefix"
        prefix.mkdir()
        (prefix / "tool").write_text("tool\n")
        script = "cat /syftbox/a@b.org/private/syft_datasets/named/rows.csv /data/single /env/tool; touch /env/x"
        job = world.job(script)
        spec = Spec(job=job, data={"named": world.rows.parent, "single": world.rows}, limits=SMALL, owner="a@b.org")
        ran = Ran(run(spec, out=world.top / "out", extra_binds={"/env": prefix}), world.top / "out")
        assert ran.stdout == "a,b\n1,2\na,b\n1,2\ntool\n"
        assert ran.result.exit_code == 1 and not (prefix / "x").exists()

    def test_a_large_job_is_bound_read_only_and_still_writes_outputs(self, world: World) -> None:
        job = world.job("head -c 4 model.bin > outputs/head; echo x >> run.sh; echo y > scratch; cat scratch")
        with (job / "model.bin").open("wb") as file:
            file.truncate(70 << 20)
        ran = Ran(run(Spec(job=job, limits=SMALL), out=world.top / "out"), world.top / "out")
        assert ran.kept() == ["head"] and ran.stdout == "y\n"
        assert "echo x" in (job / "run.sh").read_text() and (job / "run.sh").read_text().count("\n") == 0
        assert any("64 MB" in note for note in ran.result.notes)

    def test_secret_modes_are_read_without_changing_them(self, world: World) -> None:
        world.rows.chmod(0o600)
        world.rows.parent.chmod(0o700)
        ran = world.run("cat /data/named/rows.csv")
        assert ran.stdout == "a,b\n1,2\n"
        assert world.rows.stat().st_mode & 0o777 == 0o600
        assert world.rows.stat().st_uid == os.getuid()
        assert bool(ran.result.notes) == (os.getuid() == 0)
        assert not list(world.top.glob(".syftd-copy-*"))

    def test_partial_outputs_survive_the_wall_clock(self, world: World) -> None:
        ran = world.run("echo step1 > outputs/checkpoint; sleep 60", tight(wall_seconds=0.7))
        assert ran.kept() == ["checkpoint"]
        assert ran.result.exit_code is None and ran.result.reason == "killed: wall clock of 0.7 s"


class TestLaunch:
    def test_no_environment_of_the_host(self, world: World, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", world.canary)
        ran = world.run("env; for p in /proc/[0-9]*; do tr '\\0' '\\n' < $p/environ; done", env={"MINE": "yes"})
        assert world.canary not in ran.stdout and "MINE=yes" in ran.stdout
        names = {line.partition("=")[0] for line in ran.stdout.splitlines() if line}
        assert names <= {"PATH", "HOME", "LANG", "TZ", "MINE", "PWD", "SHLVL", "_", "OLDPWD"}, names

    def test_no_descriptors_of_the_host(self, world: World) -> None:
        leaked = os.open(world.key, os.O_RDONLY)
        os.set_inheritable(leaked, True)
        try:
            ran = world.run("ls /proc/self/fd | wc -l; for fd in /proc/[0-9]*/fd/*; do timeout 1 head -c 99 $fd; done")
        finally:
            os.close(leaked)
        assert world.canary not in ran.stdout
        assert ran.stdout.splitlines()[0] == "4"

    def test_not_root_inside_or_outside(self, world: World) -> None:
        ran = world.run(f"sleep 1 {world.token} & id -u; cat /proc/self/uid_map; grep Cap /proc/self/status; wait")
        assert ran.stdout.splitlines()[0] == "1000"
        assert "0000000000000000" in ran.stdout and set(ran.stdout.split("CapEff:")[1].split()[0]) == {"0"}
        with pytest.raises(UserError):
            world.run("true", run_as=0)

    def test_kernel_uid_is_never_root(self, world: World) -> None:
        seen: list[int] = []

        def hear(_stream: str, content: bytes) -> None:
            if b"up" in content:
                seen.extend(Path(f"/proc/{pid}").stat().st_uid for pid in alive_with(world.token))

        job = world.job(f"/usr/bin/python3 -c 'import time; print(\"up\", flush=True); time.sleep(.4)' {world.token}")
        run(Spec(job=job, limits=SMALL), out=world.top / "out", on_output=hear)
        assert seen and 0 not in seen

    def test_oom_killer_takes_the_job_first(self, world: World) -> None:
        ran = world.run("echo -900 > /proc/self/oom_score_adj; cat /proc/1/oom_score_adj")
        assert ran.stdout.strip() == "1000"
        if may_set_floors():
            ran = world.run("echo 0 > /proc/self/oom_score_adj; cat /proc/self/oom_score_adj")
            assert ran.stdout.strip() == "1000"

    def test_no_process_of_a_run_carries_our_environment(self, world: World, monkeypatch: pytest.MonkeyPatch) -> None:
        """Bubblewrap's own process, too, which stands outside and lives as long as the job."""
        monkeypatch.setenv("SYFTD_TEST_SECRET", world.canary)
        seen: dict[int, bytes] = {}

        def hear(*_: object) -> None:
            for pid in alive_with("syftd-init"):
                seen[pid] = Path(f"/proc/{pid}/environ").read_bytes()

        run(Spec(job=world.job("echo up; sleep .3"), limits=SMALL), out=world.top / "out", on_output=hear)
        assert len(seen) >= 2
        assert not any(world.canary.encode() in content for content in seen.values())


class TestFiles:
    def test_home_and_unnamed_data_do_not_exist(self, world: World) -> None:
        script = (
            f"cat {world.key} {world.unnamed}/rows.csv; find / -xdev -name 'id_ed25519' 2>/dev/null; ls /home /root"
        )
        assert world.canary not in world.run(script).stdout

    def test_proc_links_stay_inside(self, world: World) -> None:
        assert (
            world.canary
            not in world.run(f"for p in /proc/[0-9]*; do cat $p/root{world.key} $p/cwd/../{world.key}; done").stdout
        )

    def test_dataset_and_frozen_job_cannot_be_changed(self, world: World) -> None:
        script = "for f in /data/named/rows.csv /usr/bin/true; do echo x >> $f; rm -f $f; chmod 777 $f; done\n"
        script += "echo evil >> run.sh"
        job = world.job(script)
        run(Spec(job=job, data={"named": world.rows.parent}, limits=SMALL), out=world.top / "out")
        assert world.rows.read_text() == "a,b\n1,2\n"
        assert (job / "run.sh").read_text() == script

    def test_a_link_in_the_job_folder_leads_nowhere(self, world: World) -> None:
        job = world.job("cat stolen; ls -l stolen")
        (job / "stolen").symlink_to(world.key)
        result = run(Spec(job=job, limits=SMALL), out=world.top / "out")
        assert world.canary not in (world.top / "out" / "stdout.txt").read_text()
        assert any("left out: stolen" in note for note in result.notes)

    def test_writable_places_are_few_and_small(self, world: World) -> None:
        places = "/ /etc /usr /var /run /dev /data /sys /proc /home /tmp /dev/shm /var/tmp /job"
        script = f"for d in {places}; do touch $d/x 2>/dev/null && echo $d; done"
        assert world.run(script).stdout.split() == ["/tmp", "/dev/shm", "/var/tmp", "/job"]

    def test_kernel_files_cannot_be_opened_for_writing(self, world: World) -> None:
        places = "/proc/sys/kernel/core_pattern /proc/sysrq-trigger /proc/sys/vm/drop_caches /proc/sys/kernel/hostname"
        places += " /proc/1/mem"
        ran = world.run(
            f"for f in {places} /proc/kcore /dev/mem /dev/kmsg; do (exec 3<>$f) 2>/dev/null && echo $f; done"
        )
        assert set(ran.stdout.split()) <= {"/proc/1/mem"}


class TestLimits:
    def test_memory_of_one(self, world: World) -> None:
        ran = world.run(python("x=[]\nwhile True: x.append(bytearray(8<<20))"))
        assert ran.result.reason.startswith("killed: memory 200 MB exceeded after")
        assert ran.result.exit_code is None

    def test_memory_of_many(self, world: World) -> None:
        body = (
            "import os,time\nfor i in range(6):\n  if os.fork()==0: x=bytearray(90<<20); time.sleep(20); os._exit(0)\n"
        )
        body += "time.sleep(20)"
        ran = world.run(python(body))
        assert ran.result.reason.startswith("killed: memory") and ran.result.wall_seconds < 8

    @pytest.mark.parametrize(
        "body",
        [
            "for p in ('/tmp/f','/dev/shm/f','/job/f'):\n  f=open(p,'wb')\n  for i in range(90): f.write(bytes(1<<20))",
            "import ctypes\nctypes.CDLL(None).prctl(4,0)\nx=[]\nwhile True: x.append(bytearray(8<<20))",
            "x=[]\nimport threading\ndef g():\n  while True: x.append(bytearray(4<<20))\n"
            "[threading.Thread(target=g).start() for i in range(4)]",
        ],
        ids=["memory-files", "not-dumpable", "threads"],
    )
    def test_memory_by_other_doors(self, world: World, body: str) -> None:
        ran = world.run(python("import mmap,os,time\n" + body + "\ntime.sleep(20)"))
        assert ran.result.reason.startswith("killed: memory"), (ran.result.reason, ran.stderr)

    def test_shared_memory_without_a_file_cannot_be_had(self, world: World) -> None:
        """Its pages stay when every process has dropped them from its tables; no sum over processes would show them."""
        body = (
            "import mmap, os\n"
            "def attempt(*a, **k):\n"
            "  try: mmap.mmap(*a, **k); print('mapped', a, k)\n"
            "  except OSError as e: print('refused')\n"
            "attempt(-1, 1<<20); attempt(-1, 1<<20, flags=0x8021)\n"
            "for mode in (os.O_RDWR, os.O_RDONLY): attempt(os.open('/dev/zero', mode), 1<<20, prot=1)\n"
            "assert open('/dev/zero','rb').read(5) == bytes(5)\n"
            "from multiprocessing import shared_memory, Array\n"
            "s=shared_memory.SharedMemory(create=True, size=1<<20); s.buf[0]=1; s.close(); s.unlink(); Array('d', 10)"
        )
        ran = world.run(python(body))
        assert ran.stdout == "refused\n" * 4 and ran.result.exit_code == 0, (ran.stdout, ran.stderr)

    @pytest.mark.parametrize("name", ["memfd_create", "shmget", "msgget", "semget"])
    def test_memory_that_cannot_be_counted_cannot_be_had(self, world: World, name: str) -> None:
        from syftd.jobs.sandbox.filter import machine_arch
        from syftd.jobs.sandbox.syscalls import NUMBERS

        assert call(world, f"{NUMBERS[machine_arch()][name]}, b, 4096, 0o1600") == [(-1, 38)]

    def test_empty_files_are_memory_too(self, world: World) -> None:
        ran = world.run(
            python("import os\ni=0\nwhile True:\n  os.close(os.open(f'/tmp/{i}',64)); i+=1"), tight(memory_mb=40)
        )
        assert ran.result.reason.startswith("killed: memory")

    def test_fork_bomb(self, world: World) -> None:
        body = (
            "import os,time\nn=0\ntry:\n  while n<300:\n    if os.fork()==0: time.sleep(30); os._exit(0)\n    n+=1\n"
            "except OSError: pass\nprint(n)"
        )
        ran = world.run(python(body))
        assert 20 < int(ran.stdout) <= SMALL.pids and ran.result.exit_code == 0

    def test_process_one_is_as_limited_as_the_job(self, world: World) -> None:
        """The job may write to its memory and make it fork, so it must not have more."""
        ours = world.run("grep -E 'processes|files|core|data' /proc/self/limits").stdout
        its = world.run("grep -E 'processes|files|core|data' /proc/1/limits").stdout
        assert ours == its and f" {SMALL.pids + 1} " in its

    def test_sum_of_outputs(self, world: World) -> None:
        ran = world.run("for i in 1 2 3 4 5 6; do head -c 3M /dev/zero > outputs/$i; done; du -sm outputs | cut -f1")
        assert int(ran.stdout) <= SMALL.output_mb
        assert sum(output.size for output in ran.result.outputs) <= SMALL.output_mb << 20

    def test_flood_of_output_files(self, world: World) -> None:
        ran = world.run(python("import os\ni=0\nwhile True:\n  os.close(os.open(f'outputs/{i}',64)); i+=1"))
        assert "far more than 200 files" in ran.result.reason
        assert len(list((ran.out / "outputs").rglob("*"))) <= SMALL.output_files

    def test_processor_time(self, world: World) -> None:
        ran = world.run("for i in 1 2 3; do (while :; do :; done) & done; wait", tight(cpu_seconds=1))
        assert "processor time of 1 s" in ran.result.reason and ran.result.wall_seconds < 6

    def test_sparse_outputs_do_not_fill_the_disk(self, world: World) -> None:
        ran = world.run(
            "for i in $(seq 50); do truncate -s 100M outputs/$i; done; echo x > outputs/a; truncate -s 1T outputs/t"
        )
        assert sum(path.stat().st_size for path in (ran.out / "outputs").rglob("*")) <= SMALL.output_mb << 20
        assert ran.result.refused


class TestTime:
    @pytest.mark.parametrize(
        "script",
        [
            "trap '' TERM INT HUP; while :; do sleep 1; done", "printf partial; sleep 60", "kill -STOP $$",
            "exec >&- 2>&- <&-; sleep 60",
        ],
        ids=["ignores-signals", "no-newline", "stops-itself", "closes-its-log"],
    )  # fmt: skip
    def test_the_wall_clock_cannot_be_talked_out_of(self, world: World, script: str) -> None:
        ran = world.run(f"sleep 99 {world.token} 2>/dev/null & {script}", tight(wall_seconds=0.6))
        assert ran.result.reason == "killed: wall clock of 0.6 s"
        assert ran.result.wall_seconds < 3 and not alive_with(world.token)

    def test_cancel(self, world: World) -> None:
        cancel = threading.Event()
        job = world.job("echo begun; echo x > outputs/x; sleep 60")
        result = run(Spec(job=job, limits=SMALL), out=world.top / "o", cancel=cancel, on_output=lambda *_: cancel.set())
        assert result.reason == "cancelled" and result.exit_code is None and result.wall_seconds < 5

    def test_forging_the_end_gains_nothing(self, world: World) -> None:
        """An ordinary user's job can open process 1's pipes by name, say that it ended, and go on."""
        script = f"for f in /proc/1/fd/*; do echo exit 0 > $f; done 2>/dev/null; exec -a {world.token} sleep 60"
        began = SystemClock().monotonic()
        world.run(script, tight(output_mb=1, wall_seconds=1))
        assert SystemClock().monotonic() - began < 9 and not alive_with(world.token)


class TestProcesses:
    def test_nothing_survives(self, world: World) -> None:
        body = (
            "import os,sys,time,signal\n"
            "if os.fork(): time.sleep(.3); sys.exit()\n"
            "os.setsid()\nif os.fork(): os._exit(0)\n"
            "[signal.signal(s, signal.SIG_IGN) for s in (1,2,15)]\n"
            f"os.execv('/usr/bin/python3', ['python3', '-c', 'import time; time.sleep(60)', '{world.token}'])"
        )
        ran = world.run(python(body))
        assert ran.result.exit_code == 0 and ran.result.wall_seconds < 5 and not alive_with(world.token)

    def test_process_one_cannot_be_killed_from_inside(self, world: World) -> None:
        ran = world.run("kill -9 1; kill -STOP 1; kill -HUP 1; kill -QUIT 1; echo still > outputs/x; exit 5")
        assert ran.result.exit_code == 5 and ran.kept() == ["x"]

    def test_the_host_is_not_signalled_or_seen(self, world: World) -> None:
        ran = world.run(
            f"kill -9 {os.getpid()}; kill -9 -{os.getpgrp()}; ls -d /proc/[0-9]* | wc -l; kill -9 -1; exit 4"
        )
        assert int(ran.stdout) < 8 and ran.result.exit_code == 4

    def test_an_error_of_ours_ends_the_job(self, world: World) -> None:
        def fail(*_: object) -> None:
            raise RuntimeError("the listener broke")

        job = world.job(f"echo x; exec -a {world.token} sleep 60")
        with pytest.raises(RuntimeError, match="listener"):
            run(Spec(job=job, limits=SMALL), out=world.top / "out", on_output=fail)
        assert not alive_with(world.token)

    def test_the_job_ends_with_its_runner(self, world: World) -> None:
        import signal
        import subprocess
        import sys

        from syftd.seams import sleep_until

        job = world.job(f"exec -a {world.token} sleep 60")
        command = [sys.executable, "-m", "syftd.cli.sandbox_run", str(job)]
        runner = subprocess.Popen(command, stdout=subprocess.DEVNULL, env={**os.environ, "TMPDIR": str(world.top)})
        assert sleep_until(lambda: bool(alive_with(world.token)), timeout=10)
        runner.send_signal(signal.SIGKILL)
        runner.wait()
        assert sleep_until(lambda: not alive_with(world.token), timeout=5)


class TestNetwork:
    def test_the_host_cannot_be_reached(self, world: World) -> None:
        with (
            socket.create_server(("0.0.0.0", 0)) as tcp,
            socket.socket(socket.AF_UNIX) as path,
            socket.socket(socket.AF_UNIX) as abstract,
        ):
            path.bind(str(world.top / "s"))
            os.chmod(world.top / "s", 0o777)
            abstract.bind("\0" + world.token)
            for listener in (path, abstract):
                listener.listen()
            for listener in (tcp, path, abstract):
                listener.setblocking(False)
            body = (
                "import socket\n"
                f"aims=((2,('127.0.0.1',{tcp.getsockname()[1]})),(1,'{world.top}/s'),(1,'\\0{world.token}'))\n"
                "for f,a in (*aims,(2,('192.0.2.1',9))):\n"
                "  s=socket.socket(f); s.settimeout(1)\n"
                "  try: s.connect(a); print('reached', a)\n"
                "  except OSError as e: print(e)\n"
                "print(socket.if_nameindex())"
            )
            ran = world.run(python(body))
            for listener in (tcp, path, abstract):
                with pytest.raises(BlockingIOError):
                    listener.accept()
        assert "reached" not in ran.stdout and "[(1, 'lo')]" in ran.stdout

    def test_odd_families(self, world: World) -> None:
        ran = world.run(
            python(
                "import socket\n"
                "odd=((40,1,0),(17,3,0),(38,5,0),(16,3,9),(16,3,16),(2,3,1),(31,1,0),(44,3,0),(30,1,0),(2,5,132))\n"
                "for f,t,p in odd:\n"
                "  try: socket.socket(f,t,p); print('got', f, t, p)\n"
                "  except OSError: pass"
            )
        )
        assert ran.result.exit_code == 0 and ran.stdout == ""


@pytest.mark.skipif(platform.machine() != "x86_64", reason="the numbers are those of x86-64")
class TestSystemCalls:
    def test_refused_calls(self, world: World) -> None:
        calls = [
            "425, 4, b",
            "321, 0, b, 72",
            "298, b, 0, -1, -1, 0",
            "323, 1",
            "447, 0",
            "250, 0, -3, 0",
            "248, b, b, b, 1, -3",
        ]
        calls += [
            "272, 0x10000000",
            "308, 0, 0",
            "165, b, b, b, 0, 0",
            "430, b, 0",
            "428, -100, b, 0",
            "304, 3, b, 0",
            "101, 0, 0, 0, 0",
        ]
        calls += [
            "135, 0x40000",
            "438, 3, 0, 0",
            "311, 1, b, 1, b, 1, 0",
            "435, b, 88",
            "56, 0x10000011, 0, 0, 0, 0",
            "16, 0, 0x5412, b",
        ]
        calls += ["0x40000000 + 39", "600"]
        for text, (result, code) in zip(calls, call(world, *calls), strict=True):
            assert result == -1 and code in (1, 38), (text, result, code)

    def test_the_32_bit_door_kills(self, world: World) -> None:
        body = (
            "import ctypes, mmap\n"
            "m=mmap.mmap(-1,4096,flags=0x22,prot=7)\n"
            "m.write(bytes.fromhex('b814000000cd80c3'))\n"
            "f=ctypes.CFUNCTYPE(ctypes.c_int)(ctypes.addressof(ctypes.c_char.from_buffer(m)))\nprint('pid', f())"
        )
        ran = world.run(python(body))
        assert "pid" not in ran.stdout and ran.result.signal == 31


class TestOutputs:
    def test_what_is_turned_away_is_named(self, world: World) -> None:
        script = (
            f"cd outputs; ln -s {world.key} link; mkfifo pipe; echo x > a; ln a b; cp a su; chmod 4755 su\n"
            "echo p > syft.pub.yaml; touch $'\\xff' $'bell\\a' ; mkdir -p sub; ln -s / sub/root\n"
            "mkdir closed; echo z > closed/z; chmod 000 closed\n"
            "/usr/bin/python3 -c 'import socket; socket.socket(1).bind(\"sock\")'"
        )
        ran = world.run(script)
        assert ran.kept() == ["a", "closed/z"]
        refused = ran.refused()
        for name in ("link", "pipe", "b", "su", "syft.pub.yaml", "sub/root", "sock"):
            assert name in refused, (name, refused)
        assert len(refused) == 9

    def test_outputs_cannot_be_swapped(self, world: World) -> None:
        ran = world.run(
            f"rm -rf outputs; mv outputs old; ln -s {world.home}/.ssh outputs; rm -rf code; ln -s {world.home} code"
        )
        assert not ran.kept()

    def test_depth(self, world: World) -> None:
        body = "import os\nos.chdir('outputs'); open('top','w')\nfor i in range(150): os.mkdir('d'); os.chdir('d')\n"
        body += "open('x','w')"
        ran = world.run(python(body))
        assert ran.kept() == ["top"] and any("folders deep" in reason for reason in ran.refused().values())

    def test_nobody_writes_while_outputs_are_collected(self, world: World) -> None:
        writer = "i=0; while :; do i=$((i+1)); echo $i >> outputs/a; echo $i >> outputs/z; done"
        ran = world.run(f"head -c 6M /dev/zero > outputs/m; (setsid bash -c '{writer}' &); sleep .3; exit 0")
        assert ran.kept() == ["a", "m", "z"] and ran.result.exit_code == 0
        # They are collected in this order, with megabytes in between, while the writer keeps them in step.
        first, last = ((ran.out / "outputs" / name).read_text().count("\n") for name in "az")
        assert 0 < first - 1 <= last <= first
        assert not ran.result.refused


class TestLogs:
    def test_flood_is_cut_and_drained(self, world: World) -> None:
        ran = world.run("head -c 40M /dev/zero | tr '\\0' A; head -c 40M /dev/zero >&2; echo done > outputs/done")
        assert ran.result.log_truncated and ran.result.log_bytes == SMALL.log_kb * 1024
        size = sum((ran.out / name).stat().st_size for name in ("stdout.txt", "stderr.txt"))
        assert size < SMALL.log_kb * 1024 + 200 and "cut here" in ran.stdout + ran.stderr
        assert ran.kept() == ["done"]

    def test_bytes_that_are_no_text(self, world: World) -> None:
        ran = world.run("printf 'a\\xff\\xfe\\0b'")
        assert (ran.out / "stdout.txt").read_bytes() == b"a\xff\xfe\0b"

    def test_nothing_of_ours_is_in_the_log(self, world: World) -> None:
        ran = world.run("kill -KILL $$")
        assert ran.stdout == "" and ran.stderr == "" and ran.result.exit_code == 137
