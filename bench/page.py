"""What every benchmark writes: its section of docs/performance.md, the machine, progress on the way."""

from __future__ import annotations

import os
import platform
import sys
from pathlib import Path

from foreword_dev.host_share import HostShare


def machine() -> str:
    text = Path("/proc/cpuinfo").read_text() if Path("/proc/cpuinfo").exists() else ""
    named = [line.partition(":")[2].strip() for line in text.splitlines() if line.startswith("model name")]
    cpu = named[0] if named else platform.processor() or platform.machine()
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    return f"{cpu}, {cores} cores, {platform.system()}, Python {platform.python_version()}"


class Surroundings:
    """What else had a part of the machine since this was made: load before, and what the host took away."""

    def __init__(self) -> None:
        self._load = os.getloadavg()[0]
        self._host = HostShare()

    def told(self) -> str:
        """Such as "load average before it 0.9; meanwhile the host gave 12% of the cores' time to others"."""
        load = f"load average before it {self._load:.1f}"
        taken = self._host.taken()
        if taken is None:
            return load
        return f"{load}; meanwhile the host gave {taken:.0%} of the cores' time to others"


def put_section(path: Path, name: str, text: str) -> None:
    """Write the part between the marks of `name` anew, or add it at the end."""
    begin, end = f"<!-- {name}:begin -->", f"<!-- {name}:end -->"
    marked = f"{begin}\n{text.strip()}\n{end}"
    old = path.read_text(encoding="utf-8") if path.exists() else "# What was measured\n"
    if begin in old and end in old:
        new = old[: old.index(begin)] + marked + old[old.index(end) + len(end) :]
    else:
        new = old.rstrip("\n") + "\n\n" + marked + "\n"
    path.write_text(new, encoding="utf-8")


def say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)
