"""One worker process as its parent sees it: start, one job at a time under a clock, stop."""

from __future__ import annotations

import os
import select
import signal
import subprocess
import sys
import time

from recommender.extraction.errors import (
    ExtractionError,
    Interrupted,
    Malformed,
    ReaderFailed,
    TooMuchMemory,
    TooSlow,
)
from recommender.extraction.wire import LENGTH, Answer, JobHead, decode_answer, encode_head, frame

_MODULE = "recommender.extraction.worker"
_START_SECONDS = 60.0
_CHUNK = 256 * 1024
_READY_BYTES = 64
_KEPT_VARIABLES = ("PATH", "LANG", "LC_ALL", "TZ", "LD_LIBRARY_PATH", "SYSTEMROOT")


class _Gone(Exception):
    """The worker closed its pipe."""


class _Late(Exception):
    """The deadline passed."""


class ReaderProcess:
    """Not thread-safe: the sandbox hands it to one thread at a time. It starts in the constructor."""

    def __init__(self) -> None:
        self.jobs_done = 0
        self._ready = False
        # A session of its own: Ctrl-C in a terminal must not end it in the middle of a job. It ends by itself
        # when this side of its standard input closes, which the kernel does when this process dies.
        try:
            self._process = subprocess.Popen(  # noqa: S603 - our own interpreter and module
                [sys.executable, "-m", _MODULE],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                bufsize=0,
                close_fds=True,
                start_new_session=True,
                env=_environment(),
            )
        except OSError as error:
            raise ReaderFailed("The file reader could not be started; try again later.") from error
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._jobs = self._process.stdin.fileno()
        self._answers = self._process.stdout.fileno()
        os.set_blocking(self._jobs, False)
        os.set_blocking(self._answers, False)

    @property
    def pid(self) -> int:
        return self._process.pid

    def is_alive(self) -> bool:
        return self._process.poll() is None

    def wait_until_ready(self) -> None:
        """Return once the worker has read in its parts; raises ReaderFailed when it does not come up."""
        if self._ready:
            return
        try:
            self._receive(_READY_BYTES, time.monotonic() + _START_SECONDS)
        except (_Gone, _Late) as error:
            raise ReaderFailed("The file reader could not be started; try again later.") from error
        self._ready = True

    def run(self, data: bytes, head: JobHead) -> Answer:
        """Have one file read. After any error but those in the answer the process is of no more use."""
        limits = head.limits
        deadline = time.monotonic() + limits.wall_seconds
        try:
            self._send(frame(encode_head(head)), deadline)
            self._send(LENGTH.pack(len(data)), deadline)
            self._send(data, deadline)
            answer = decode_answer(self._receive(limits.max_answer_bytes + 1_024, deadline))
        except _Late as error:
            self.kill()
            raise _too_slow() from error
        except _Gone as error:
            raise self._cause_of_death() from error
        self.jobs_done += 1
        return answer

    def stop(self) -> None:
        """Close its input so that it ends by itself; kill it when it does not within a second."""
        self._close_pipes()
        try:
            self._process.wait(timeout=1.0)
        except subprocess.TimeoutExpired:
            self.kill()

    def kill(self) -> None:
        self._process.kill()
        self._close_pipes()
        self._process.wait()

    def _close_pipes(self) -> None:
        for pipe in (self._process.stdin, self._process.stdout):
            if pipe is not None:
                pipe.close()

    def _send(self, payload: bytes, deadline: float) -> None:
        rest = memoryview(payload)
        while rest:
            _wait(self._jobs, select.POLLOUT, deadline)
            try:
                rest = rest[os.write(self._jobs, rest[:_CHUNK]) :]
            except BlockingIOError:
                continue
            except BrokenPipeError as error:
                raise _Gone from error

    def _receive(self, most: int, deadline: float) -> bytes:
        size = LENGTH.unpack(self._read_exactly(LENGTH.size, deadline))[0]
        if size > most:
            self.kill()
            raise ReaderFailed("The reader gave no usable answer; upload the file again.")
        return self._read_exactly(size, deadline)

    def _read_exactly(self, size: int, deadline: float) -> bytes:
        got = bytearray()
        while len(got) < size:
            _wait(self._answers, select.POLLIN, deadline)
            try:
                piece = os.read(self._answers, min(_CHUNK, size - len(got)))
            except BlockingIOError:
                continue
            if not piece:
                raise _Gone
            got += piece
        return bytes(got)

    def _cause_of_death(self) -> ExtractionError:
        """What the way it ended says about the file."""
        self._close_pipes()
        try:
            ended = -self._process.wait(timeout=2.0)
        except subprocess.TimeoutExpired:
            self.kill()
            ended = 0
        if ended in (signal.SIGXCPU, signal.SIGALRM):
            return _too_slow()
        if ended in (signal.SIGSEGV, signal.SIGBUS, signal.SIGILL, signal.SIGFPE):
            return Malformed("The file made the reader fail; open it, save it again and upload the new copy.")
        if ended == signal.SIGABRT:  # C code that cannot go on without memory
            return TooMuchMemory("Reading the file takes too much memory; split it or simplify it.")
        return Interrupted("Reading was interrupted from outside; upload the file again.")


def _too_slow() -> TooSlow:
    return TooSlow("Reading the file takes too long; split it or upload it in a simpler form.")


def _wait(descriptor: int, event: int, deadline: float) -> None:
    """Until the pipe is ready, or its other end is closed, or the deadline (monotonic seconds) has passed."""
    poll = select.poll()
    poll.register(descriptor, event)
    left = deadline - time.monotonic()
    if left <= 0 or not poll.poll(left * 1_000):
        raise _Late


def _environment() -> dict[str, str]:
    """No secrets, for a worker that a file has taken over; one thread, for each costs address space."""
    kept = {name: os.environ[name] for name in _KEPT_VARIABLES if name in os.environ}
    path = os.pathsep.join(entry for entry in sys.path if entry)
    return {
        **kept,
        "PYTHONPATH": path,
        "PYTHONDONTWRITEBYTECODE": "1",
        "OPENBLAS_NUM_THREADS": "1",
        "OMP_NUM_THREADS": "1",
        "MALLOC_ARENA_MAX": "1",
    }
