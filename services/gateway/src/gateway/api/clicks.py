"""Click links: the click is recorded, then the browser goes to the asset's own address and nowhere else."""

from __future__ import annotations

import hashlib
from datetime import UTC, datetime

from flask import Response, request

from gateway.click_links import Click, message_id
from gateway.mail_machines import is_machine, looks_ahead
from gateway.parts import Parts
from gateway.recommending import AnswerMaker
from gateway.routing import Open, Route
from gateway.signal_relay import TrackedSignal
from servicekit.wire import dumps

# The site that carried the link stays known to the site it leads to, as without the detour.
_REFERRER = {"Referrer-Policy": "strict-origin-when-cross-origin"}


class ClickViews:
    def __init__(self, parts: Parts, answers: AnswerMaker) -> None:
        self._parts = parts
        self._answers = answers

    def follow(self, token: str) -> Response:
        click = self._answers.open_click(token)
        in_mail = click.channel == "email"
        if looks_ahead(request.method, request.headers):
            self._parts.metrics.clicks.labels("prefetch").inc()
        elif in_mail and is_machine(request.method, request.headers):
            self._parts.metrics.clicks.labels("machine").inc()
        else:
            self._parts.clicks.record(_signal(click, token))
        # A mail is opened long after it was sent: what has expired since is replaced by its equivalent.
        url = self._parts.replacements.url_of(click) if in_mail else click.url
        response = Response(status=302, headers={"Location": url, "X-Robots-Tag": "noindex", **_REFERRER})
        # The asset's own address must arrive byte for byte, and not resolved against ours.
        response.autocorrect_location_header = False
        return response


def _signal(click: Click, token: str) -> TrackedSignal:
    now = datetime.now(UTC)
    event: dict[str, object] = {
        "type": "track",
        "event": "Recommendation Clicked",
        "messageId": message_id(token),
        "timestamp": now,
        "properties": {
            "recommendation_id": click.recommendation_id,
            "asset_id": click.asset_id,
            "url": click.url,
            "placement": click.placement,
            "channel": click.channel,
        },
    }
    if click.user_id is not None:
        event["userId"] = click.user_id
    if click.anonymous_id is not None:
        event["anonymousId"] = click.anonymous_id
    if click.user_id is None and click.anonymous_id is None:
        # Nobody was named when the link was made: the click still counts for the asset.
        digest = hashlib.sha256(click.recommendation_id.encode()).hexdigest()[:32]
        event["anonymousId"] = f"click-{digest}"
    return TrackedSignal(
        kind="track",
        body=dumps(event),
        received_at=now,
        source="secret",
        agent=request.headers.get("User-Agent", ""),
        privacy_control=request.headers.get("Sec-GPC"),
    )


def routes(parts: Parts, answers: AnswerMaker) -> tuple[Route, ...]:
    return (
        Route(
            method="GET",
            path="/c/<token>",
            name="click",
            summary="Follow a click link",
            tag="Delivery",
            access=Open("the link is sealed with the project's secret, and opened in any browser"),
            view=ClickViews(parts, answers).follow,
            description="Records the click, then redirects to the asset's own URL.",
            gives={302: ()},
            errors=(404, 503),
        ),
    )
