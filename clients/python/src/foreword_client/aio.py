"""The same client for asyncio: each call runs in a thread, so that nothing else has to be installed."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any, ParamSpec, TypeVar

from foreword_client.answers import EmailBlock, Recommendations
from foreword_client.client import Client

Given = ParamSpec("Given")
Result = TypeVar("Result")


class AsyncClient:
    """`await client.recommend(user_id="u-1")`; the rest with `await client.run(client.sync.…)`.

    A cancelled call is not waited for; it may still arrive.
    """

    def __init__(self, base_url: str, key: str, **options: Any) -> None:
        self.sync = Client(base_url, key, **options)

    async def run(self, call: Callable[Given, Result], *args: Given.args, **kwargs: Given.kwargs) -> Result:
        return await asyncio.to_thread(call, *args, **kwargs)

    async def recommend(self, **request: Any) -> Recommendations:
        return await asyncio.to_thread(self.sync.recommend, **request)

    async def recommend_batch(self, requests: list[dict[str, Any]], **limits: Any) -> list[dict[str, Any]]:
        return await asyncio.to_thread(self.sync.recommend_batch, requests, **limits)

    async def search(self, text: str, **options: Any) -> list[dict[str, Any]]:
        return await asyncio.to_thread(self.sync.search, text, **options)

    async def track(self, event: str, **what: Any) -> None:
        await asyncio.to_thread(self.sync.track, event, **what)

    async def identify(self, **what: Any) -> None:
        await asyncio.to_thread(self.sync.identify, **what)

    async def put_asset(self, asset: dict[str, Any]) -> dict[str, Any]:
        return await asyncio.to_thread(self.sync.put_asset, asset)

    async def buyer(self, user_id: str) -> dict[str, Any]:
        return await asyncio.to_thread(self.sync.buyer, user_id)

    async def email_block(self, send_id: str, **request: Any) -> EmailBlock:
        return await asyncio.to_thread(self.sync.email_block, send_id, **request)
