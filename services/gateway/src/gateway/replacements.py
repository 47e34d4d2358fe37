"""Where a link of an old mail leads now: to the asset, or to its equivalent once that is gone."""

from __future__ import annotations

import orjson

from gateway.click_links import Click
from gateway.upstream import Recommender, segment
from servicekit.errors import UpstreamUnavailable


class Replacements:
    """Asks the recommender for a moment; without an answer a link leads where it always did."""

    def __init__(self, recommender: Recommender, *, timeout_seconds: float) -> None:
        self._recommender = recommender
        self._timeout = timeout_seconds

    def url_of(self, click: Click) -> str:
        try:
            answer = self._recommender.call(
                "replacement",
                "GET",
                f"/v1/replacements/{segment(click.asset_id)}",
                timeout_seconds=self._timeout,
            )
        except UpstreamUnavailable:
            return click.url
        if answer.status != 200:
            return click.url
        try:
            found = answer.json()
        except orjson.JSONDecodeError:
            return click.url
        if not isinstance(found, dict) or found.get("id") == click.asset_id:
            # The same asset: the link keeps what was put into it, such as campaign parameters.
            return click.url
        url = found.get("url")
        return url if isinstance(url, str) and url.startswith(("https://", "http://")) else click.url
