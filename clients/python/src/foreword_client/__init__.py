"""Foreword from Python: a typed client of the public API, for threads and for asyncio, and its commands."""

from __future__ import annotations

from typing import TYPE_CHECKING

from foreword_client.answers import EmailBlock, Item, Recommendations, WebhookEndpoint
from foreword_client.client import Client, ForewordUnavailable, RequestRefused

if TYPE_CHECKING:
    from foreword_client.aio import AsyncClient

__all__ = [
    "AsyncClient",
    "Client",
    "EmailBlock",
    "ForewordUnavailable",
    "Item",
    "Recommendations",
    "RequestRefused",
    "WebhookEndpoint",
]
__version__ = "0.1.0"


def __getattr__(name: str) -> object:
    """asyncio is imported by who uses it: a command would start a tenth later for it."""
    if name == "AsyncClient":
        from foreword_client.aio import AsyncClient

        return AsyncClient
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
