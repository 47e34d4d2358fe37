"""What the host of a virtual machine gives of the processor to others."""

from __future__ import annotations

import psutil


class HostShare:
    """Counts from when it is made."""

    def __init__(self) -> None:
        self._before = psutil.cpu_times()

    def taken(self) -> float | None:
        """The share of all cores' time, 0 to 1; None where the system does not count it or no time passed."""
        now = psutil.cpu_times()
        passed = sum(now) - sum(self._before)
        if not hasattr(now, "steal") or passed <= 0:
            return None
        return float((now.steal - self._before.steal) / passed)
