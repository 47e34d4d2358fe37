"""How often somebody may try to sign in: per address they come from, and per e-mail address they try."""

from __future__ import annotations

import limits
from limits.storage import MemoryStorage
from limits.strategies import MovingWindowRateLimiter

from servicekit.errors import TooManyRequests

_PER_EMAIL = limits.parse("8/5minutes")
_PER_ADDRESS = limits.parse("40/5minutes")


class SignInThrottle:
    """Counts attempts in memory. Raises `TooManyRequests`."""

    def __init__(self) -> None:
        self._window = MovingWindowRateLimiter(MemoryStorage())

    def attempt(self, address: str, email: str) -> None:
        by_address = self._window.hit(_PER_ADDRESS, "address", address)
        by_email = self._window.hit(_PER_EMAIL, "email", email)
        if not (by_address and by_email):
            raise TooManyRequests(
                "Too many attempts. Wait five minutes, then try again.",
                retry_after_seconds=300,
                code="sign_in_limited",
            )
