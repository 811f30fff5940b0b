"""A job's stdout and stderr: kept in two files up to one common limit, drained to the end whatever it writes."""

from __future__ import annotations

import errno
import os
from collections.abc import Callable
from pathlib import Path
from typing import Final

from syftd.errors import DiskFull
from syftd.jobs.sandbox.spec import Limits, Stream

OnOutput = Callable[[str, bytes], None]

STREAMS: Final[tuple[Stream, Stream]] = ("stdout", "stderr")


class JobLog:
    """Writes `stdout.txt` and `stderr.txt` (mode 0600) into `out`; both must not exist yet."""

    def __init__(self, out: Path, limits: Limits, on_output: OnOutput | None) -> None:
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
        self._files = {stream: os.open(out / f"{stream}.txt", flags, 0o600) for stream in STREAMS}
        self._left = limits.log_kb * 1024
        self._limit_kb = limits.log_kb
        self._on_output = on_output
        self.kept_bytes = 0
        self.truncated = False

    def take(self, stream: Stream, content: bytes) -> None:
        """Keeps what the limit leaves room for and forgets the rest; says so once, in the stream that was cut first."""
        kept = content[: self._left]
        if kept:
            self._keep(stream, kept)
            self._left -= len(kept)
            self.kept_bytes += len(kept)
        if len(kept) < len(content) and not self.truncated:
            self.truncated = True
            self._keep(stream, f"\n[syftd: the log was cut here, its limit is {self._limit_kb} KB]\n".encode())

    def _keep(self, stream: Stream, content: bytes) -> None:
        left = memoryview(content)
        try:
            while left:
                left = left[os.write(self._files[stream], left) :]
        except OSError as error:
            if error.errno in (errno.ENOSPC, errno.EDQUOT):
                raise DiskFull("no space is left to keep the job's log", "Free some space, then rerun.") from error
            raise
        if self._on_output is not None:
            self._on_output(stream, content)

    def close(self) -> None:
        for descriptor in self._files.values():
            os.close(descriptor)
        self._files = {}
