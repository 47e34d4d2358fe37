"""Who says of itself that it is a bot."""

from __future__ import annotations

from functools import lru_cache

from crawleruseragents import is_crawler

_AGENT_CHARACTERS = 500


def is_bot(agent: str) -> bool:
    """Whether a user agent's name is a crawler's."""
    return _is_known(agent[:_AGENT_CHARACTERS])


@lru_cache(maxsize=4096)
def _is_known(agent: str) -> bool:
    """Hundreds of patterns are tried on a name, and a few names make up most of the traffic."""
    return bool(is_crawler(agent))
