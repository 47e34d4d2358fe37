"""Foreword from Python: a typed client of the public API, for threads and for asyncio, and its commands."""

from foreword_client.aio import AsyncClient
from foreword_client.answers import EmailBlock, Item, Recommendations, WebhookEndpoint
from foreword_client.client import Client, ForewordUnavailable, RequestRefused

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
