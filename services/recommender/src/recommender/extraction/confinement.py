"""What a worker takes away from itself before it touches a file from outside. Linux only in part.

Three fences, each of which holds alone against most mischief: resource limits of the kernel, an audit hook
that refuses files, sockets and processes to Python code, and an environment without secrets (which the parent
sees to).
"""

from __future__ import annotations

import contextlib
import os
import resource
import signal
import sys
import sysconfig
from pathlib import Path

from recommender.extraction.limits import Limits

# Standard streams, the pipe to the parent, and a few so that a module may still be imported late.
_OPEN_FILES = 12
_STATM = "/proc/self/statm"
_WRITING = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_TRUNC
_REFUSED = (
    "socket.",
    "subprocess.",
    "os.system",
    "os.exec",
    "os.posix_spawn",
    "os.spawn",
    "os.fork",
    "os.kill",
    "os.remove",
    "os.rename",
    "os.mkdir",
    "os.rmdir",
    "os.symlink",
    "os.link",
    "os.chmod",
    "os.chown",
    "os.putenv",
    "shutil.",
    "urllib.",
    "http.",
    "ftplib.",
    "smtplib.",
    "webbrowser.",
)


class Refused(PermissionError):
    """Code that reads files tried to reach out of the worker."""


def confine_process() -> None:
    """No core dumps, no files written, few files open, no reaching out; there is no way back."""
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))
    resource.setrlimit(resource.RLIMIT_NOFILE, (_OPEN_FILES, _OPEN_FILES))
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    _install_audit_hook()


def prefer_as_victim() -> None:
    """Let the kernel end this process, and not the service, when the container's memory runs out."""
    with contextlib.suppress(OSError):
        Path("/proc/self/oom_score_adj").write_text("1000")


def allow_for_job(limits: Limits) -> None:
    """CPU seconds and memory for the next job, counted from what the process has used until now.

    The kernel ends the process at the soft CPU limit (SIGXCPU); the alarm ends it when the parent is no
    longer there to watch the clock.
    """
    usage = resource.getrusage(resource.RUSAGE_SELF)
    used = int(usage.ru_utime + usage.ru_stime) + 1
    _lower(resource.RLIMIT_CPU, used + limits.cpu_seconds)
    _lower(resource.RLIMIT_AS, _address_space() + limits.memory_bytes)
    signal.setitimer(signal.ITIMER_REAL, limits.wall_seconds + 5.0)


def job_is_over() -> None:
    signal.setitimer(signal.ITIMER_REAL, 0.0)


def _lower(kind: int, soft: int) -> None:
    _, hard = resource.getrlimit(kind)
    resource.setrlimit(kind, (soft if hard == resource.RLIM_INFINITY else min(soft, hard), hard))


def _address_space() -> int:
    try:
        pages = int(Path(_STATM).read_text().split()[0])
    except OSError:
        return 1024 * 1024 * 1024  # no /proc: an idle worker's address space, generously
    return pages * resource.getpagesize()


def _install_audit_hook() -> None:
    roots = {sys.prefix, sys.base_prefix, sys.exec_prefix, *sysconfig.get_paths().values(), *sys.path}
    folders = {os.path.join(form, "") for root in roots if root for form in (root, os.path.realpath(root))}
    readable = (*folders, _STATM, "/usr/share/zoneinfo/")

    def refuse(event: str, arguments: tuple[object, ...]) -> None:
        if event == "open":
            path, flags = arguments[0], arguments[2]
            if isinstance(flags, int) and flags & _WRITING:
                raise Refused("a worker writes no files")
            if isinstance(path, str | bytes) and not os.path.abspath(os.fsdecode(path)).startswith(readable):
                raise Refused("a worker reads no files but the modules of its own programs")
        elif event.startswith(_REFUSED):
            raise Refused(f"a worker may not: {event}")

    sys.addaudithook(refuse)
