"""Email: the block for one recipient, the same in the browser, and the image that tells of an opening."""

from __future__ import annotations

import base64
from dataclasses import asdict
from datetime import UTC, datetime
from typing import Any

from flask import Response, render_template, request
from markupsafe import Markup

from contract.email import EmailBlock, EmailBlockRequest
from gateway import relay
from gateway.access import Caller
from gateway.api import recommendation_query
from gateway.api.recommendations import base_of_links, privacy_signal
from gateway.email_links import EmailOpening, EmailSealer, EmailView, opening_message_id
from gateway.email_rendering import EmailRenderer
from gateway.mail_machines import is_machine
from gateway.parts import Parts
from gateway.recommending import AnswerMaker
from gateway.routing import JSON, Content, Keyed, Open, Route
from gateway.signal_relay import TrackedSignal
from servicekit.errors import FieldProblem, Unprocessable, UpstreamUnavailable
from servicekit.http import UpstreamResponse
from servicekit.wire import dumps, json_response, parse

_POSTED = {"Content-Type": JSON, "Accept": JSON}
_LOOKS = frozenset({"format", "heading", "accent", "opens"})
_GIF = base64.b64decode("R0lGODlhAQABAIAAAAAAAP///yH5BAEAAAAALAAAAAABAAEAAAIBRAA7")
# The block alone, and no script: what stands in a mail can do no harm on a page either.
_POLICY = "default-src 'none'; style-src 'unsafe-inline'; img-src https: http: data:; frame-ancestors 'none'"


class EmailViews:
    def __init__(self, parts: Parts, answers: AnswerMaker) -> None:
        self._parts = parts
        self._answers = answers
        self._renderer = EmailRenderer()
        self._sealer: tuple[bytes, EmailSealer] | None = None

    def block(self, caller: Caller) -> Response:
        asked = recommendation_query.from_query(request.args.items(multi=True), EmailBlockRequest)
        if asked.user_id is None and asked.anonymous_id is None:
            raise Unprocessable(
                "Say who the mail goes to: `user_id` or `anonymous_id`.",
                code="fields_invalid",
                fields=[FieldProblem("/user_id", "missing", "user_id or anonymous_id is needed.")],
            )
        asked = recommendation_query.authorise(
            asked, caller, self._parts.keys.project_secret, privacy_signal=privacy_signal()
        )
        answer = self._answer(asked, caller)
        if isinstance(answer, Response):
            return answer
        view_url, open_url = self._links(asked, answer)
        html = self._renderer.html(
            answer,
            heading=asked.heading,
            accent=asked.accent,
            open_url=open_url if asked.opens == "count" else None,
        )
        text = self._renderer.text(answer, heading=asked.heading)
        if asked.format == "html":
            return Response(html, mimetype="text/html")
        if asked.format == "text":
            return Response(text, mimetype="text/plain")
        return json_response({"html": html, "text": text, "view_url": view_url, "answer": answer})

    def view(self, token: str) -> Response:
        """What the mail shows, to anybody who has its link; nothing is counted."""
        view = self._current_sealer().open_view(token)
        asked = parse(EmailBlockRequest, asdict(view))
        answer = self._answer(asked, None)
        html = ""
        if not isinstance(answer, Response):
            html = self._renderer.html(answer, heading=view.heading, accent=view.accent, open_url=None)
        page = render_template(
            "email_view.html",
            heading=view.heading,
            block=Markup(html),  # noqa: S704 - rendered above, every text in it escaped
        )
        return Response(page, mimetype="text/html", headers={"Content-Security-Policy": _POLICY})

    def opened(self, token: str) -> Response:
        opening = self._current_sealer().open_opening(token)
        machine = is_machine(request.method, request.headers)
        self._parts.metrics.email_opens.labels("machine" if machine else "counted").inc()
        if not machine:
            self._parts.clicks.record(_seen(opening))
        return Response(_GIF, mimetype="image/gif", headers={"Cross-Origin-Resource-Policy": "cross-origin"})

    def _answer(self, asked: EmailBlockRequest, caller: Caller | None) -> dict[str, Any] | Response:
        """The slot's answer, or the recommender's refusal; without a recommender what all are shown."""
        base_url = base_of_links(self._parts)
        # Whoever does not want to be known gets what anybody would, and nothing is kept of it.
        nobody = asked.user_id is None and asked.anonymous_id is None
        left_out = {"user_token", "consent", *_LOOKS} | ({"send_id", "slot"} if nobody else set())
        document = asked.model_dump(mode="json", exclude=left_out, exclude_unset=True)
        document |= {"channel": "email", "count": asked.count, "placement": asked.placement}
        try:
            upstream = self._ask("/v1/recommendations" if nobody else "/v1/email/slots", document)
            if 400 <= upstream.status < 500:
                return relay.answer(upstream)
            answer = self._answers.read(upstream)
        except UpstreamUnavailable:
            return self._answers.fall_back(asked, caller, base_url)
        return self._answers.finish(asked, caller, answer, base_url)

    def _ask(self, path: str, document: dict[str, Any]) -> UpstreamResponse:
        upstream = self._parts.recommender.call(
            "email_slot",
            "POST",
            path,
            body=dumps(document),
            headers=_POSTED,
            timeout_seconds=self._parts.settings.recommendation_timeout_seconds,
        )
        if upstream.status == 429 or upstream.status >= 500:
            raise UpstreamUnavailable("The recommender is overloaded or broken.")
        return upstream

    def _links(self, asked: EmailBlockRequest, answer: dict[str, Any]) -> tuple[str, str | None]:
        """→ (to see it in the browser, the image that tells of an opening if there is anything to open)."""
        base_url = base_of_links(self._parts)
        sealer = self._current_sealer()
        view = EmailView(
            asked.send_id,
            asked.slot,
            asked.user_id,
            asked.anonymous_id,
            asked.placement,
            asked.count,
            asked.goal,
            asked.heading,
            asked.accent,
        )
        view_url = f"{base_url}/e/{sealer.seal_view(view)}"
        if not answer["items"] or (asked.user_id is None and asked.anonymous_id is None):
            return view_url, None
        opening = EmailOpening(
            asked.send_id,
            asked.slot,
            asked.user_id,
            asked.anonymous_id,
            asked.placement,
            str(answer["recommendation_id"]),
            tuple(str(item["id"]) for item in answer["items"]),
        )
        return view_url, f"{base_url}/e/{sealer.seal_opening(opening)}/open.gif"

    def _current_sealer(self) -> EmailSealer:
        secret = self._parts.keys.project_secret
        if self._sealer is None or self._sealer[0] != secret:
            self._sealer = (secret, EmailSealer(secret))
        return self._sealer[1]


def _seen(opening: EmailOpening) -> TrackedSignal:
    """An impression an asset, each with one id for ever, so that a second opening adds nothing."""
    now = datetime.now(UTC)
    who = {"userId": opening.user_id} if opening.user_id else {"anonymousId": opening.anonymous_id}
    events = [
        {
            "type": "track",
            "event": "Recommendation Viewed",
            "messageId": opening_message_id(opening, asset_id),
            "timestamp": now,
            **who,
            "properties": {
                "recommendation_id": opening.recommendation_id,
                "asset_id": asset_id,
                "placement": opening.placement,
                "channel": "email",
                "send_id": opening.send_id,
            },
        }
        for asset_id in opening.asset_ids
    ]
    return TrackedSignal(
        kind="batch",
        body=dumps({"batch": events}),
        received_at=now,
        source="secret",
        agent=request.headers.get("User-Agent", ""),
        privacy_control=request.headers.get("Sec-GPC"),
    )


def routes(parts: Parts, answers: AnswerMaker) -> tuple[Route, ...]:
    views = EmailViews(parts, answers)
    linked = Open("the link is sealed with the project's secret, and opened by whoever reads the mail")
    return (
        Route(
            method="GET",
            path="/v1/email/block",
            name="email_block",
            summary="Recommendations as a block for a mail",
            tag="Delivery",
            access=Keyed("recommend"),
            view=views.block,
            description="A table with inlined styles, or text, or both as JSON. The choice is kept by "
            "`send_id`, recipient and `slot`: asking again gives the same assets, and an expired one is "
            "replaced by its equivalent. Openings by scanners and by privacy proxies are not counted.",
            parameters=recommendation_query.parameters(
                EmailBlockRequest,
                without=("user_token", "as_of", "channel", "explain"),
                required=("send_id",),
            ),
            gives={
                200: (Content("text/html"), Content("text/plain"), Content(model=EmailBlock)),
            },
            errors=(400, 422),
            example="-G -d send_id=june -d user_id=u-1 -d count=3",
        ),
        Route(
            method="GET",
            path="/e/<token>",
            name="email_view",
            summary="A mail's block in the browser",
            tag="Delivery",
            access=linked,
            view=views.view,
            gives={200: (Content("text/html"),)},
            errors=(404, 503),
        ),
        Route(
            method="GET",
            path="/e/<token>/open.gif",
            name="email_opened",
            summary="Tells that a mail was opened",
            tag="Delivery",
            access=linked,
            view=views.opened,
            description="One transparent pixel. Privacy proxies, scanners and looks ahead are not counted.",
            gives={200: (Content("image/gif"),)},
            errors=(404, 503),
        ),
    )
