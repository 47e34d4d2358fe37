"""How many CPUs there are to use. In a container that is not how many the machine has."""

from __future__ import annotations

import os
import platform
from pathlib import Path


def available_cpus() -> int:
    """CPUs this process may use: its affinity, lowered to the quota of its cgroup (version 2), if any."""
    allowed = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    try:
        quota, period = Path("/sys/fs/cgroup/cpu.max").read_text().split()
    except (OSError, ValueError):
        return allowed
    return allowed if quota == "max" else max(1, min(allowed, int(quota) // int(period)))


def cpu_signature() -> str:
    """What kind of CPU this is and what instructions it knows: the same text where the same is fastest."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return f"{platform.machine()} {platform.processor()}"
    wanted = ("model name", "flags", "Features", "CPU part")
    told = {line.partition(":")[0].strip(): line.partition(":")[2].strip() for line in lines}
    return " ".join([platform.machine(), *(told[name] for name in wanted if name in told)])
