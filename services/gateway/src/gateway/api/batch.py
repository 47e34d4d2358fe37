"""Recommendations for an email run: one request a line in, one answer or one problem a line out."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from flask import Response, request

from contract.recommendations import RecommendationRequest, RecommendationResponse
from gateway import bodies
from gateway.access import Caller
from gateway.api import recommendation_query
from gateway.api.recommendations import base_of_links
from gateway.mailing import Mailing, Recipient
from gateway.parts import Parts
from gateway.recommending import AnswerMaker
from gateway.routing import JSON, NDJSON, Content, Keyed, Parameter, Route
from servicekit import logs, request_context
from servicekit.errors import (
    BadRequest,
    FieldProblem,
    ForewordError,
    PayloadTooLarge,
    Unprocessable,
    UpstreamUnavailable,
    problem_document,
)
from servicekit.whole_numbers import natural
from servicekit.wire import dumps, parse, read_json, read_object

MAX_LINES = 10_000
_MAX_LINE_BYTES = 64 * 1024
# A block is sent whole before its answers are read, so it must fit into what the sockets hold.
_BLOCK_LINES = 100
_BLOCK_BYTES = 64 * 1024
# How often a block is asked for again, for lines that the batch's limits left short.
_MOST_ROUNDS = 8
_PATH = "/v1/recommendations:batch"
_POSTED = {"Content-Type": NDJSON, "Accept": NDJSON}


@dataclass(frozen=True, slots=True)
class _Line:
    """One line of the input: whom it asks for, or what is wrong with it."""

    recipient: Recipient | None
    problem: ForewordError | None = None


class BatchViews:
    def __init__(self, parts: Parts, answers: AnswerMaker) -> None:
        self._parts = parts
        self._answers = answers

    def recommend(self, caller: Caller) -> Response:
        """The requests are read first (they are small), so that no client stalls that reads only later."""
        body = bodies.read_inflated(self._parts.settings.max_body_bytes)
        lines = [line for line in body.split(b"\n") if line.strip()]
        if not lines:
            raise BadRequest("The body is empty; send one request a line.", code="body_empty")
        if len(lines) > MAX_LINES:
            raise PayloadTooLarge(f"Send at most {MAX_LINES} lines at once.", code="too_many_lines")
        mailing = _mailing(request.args)
        context = request_context.current()
        answers = self._answers_to(lines, caller, base_of_links(self._parts), context, mailing)
        return Response(answers, mimetype=NDJSON)

    def _answers_to(
        self,
        lines: list[bytes],
        caller: Caller,
        base_url: str,
        context: request_context.RequestContext | None,
        mailing: Mailing,
    ) -> Iterator[bytes]:
        secret = self._parts.keys.project_secret
        for block in _blocks(lines):
            # The body is written after the request has ended for Flask, and its ids with it.
            request_context.enter(context)
            read = [_read_line(line, caller, secret) for line in block]
            self._fill(read, caller, mailing)
            rendered = [self._render(line, caller, base_url, mailing) for line in read]
            yield b"".join(dumps(document) + b"\n" for document in rendered)
        request_context.enter(None)

    def _fill(self, read: list[_Line], caller: Caller, mailing: Mailing) -> None:
        """Ask for every good line, and again for those that the batch's limits left short."""
        waiting = [line.recipient for line in read if line.recipient is not None]
        if mailing.once_an_account:
            self._find_accounts(waiting)
        for _ in range(_MOST_ROUNDS):
            if not waiting:
                break
            asked = [
                dumps(recommendation_query.to_recommender(mailing.request(one), caller)) for one in waiting
            ]
            try:
                answers = self._call(asked)
            except UpstreamUnavailable:
                break
            for recipient, answer in zip(waiting, answers, strict=True):
                if isinstance(answer, dict) and "code" in answer and "items" not in answer:
                    recipient.refusal = answer
                    continue
                with contextlib.suppress(UpstreamUnavailable):  # an answer that makes no sense is none
                    mailing.take(recipient, self._answers.checked(answer))
            waiting = [one for one in waiting if one.answer is not None and one.wants_more]

    def _find_accounts(self, recipients: list[Recipient]) -> None:
        """The account that a line names, and the one that the log has: neither gets an asset twice."""
        known = [(one, identity) for one in recipients if (identity := _identity(one.asked)) is not None]
        stored: list[Any] = [None] * len(known)
        if known:
            try:
                stored = self._stored_accounts([identity for _, identity in known])
            except UpstreamUnavailable:
                logs.get("gateway").warning("batch_accounts_unknown", recipients=len(known))
        for one in recipients:
            one.accounts = frozenset(filter(None, [one.asked.account_id]))
        for (one, _), account in zip(known, stored, strict=True):
            if account is not None:
                one.accounts |= {account}

    def _stored_accounts(self, identities: list[dict[str, str]]) -> list[Any]:
        upstream = self._parts.recommender.call(
            "email_accounts",
            "POST",
            "/v1/email/accounts",
            body=dumps({"recipients": identities}),
            headers={"Content-Type": JSON, "Accept": JSON},
            timeout_seconds=self._parts.settings.read_timeout_seconds,
        )
        found = upstream.json().get("accounts") if upstream.status == 200 else None
        if not isinstance(found, list) or len(found) != len(identities):
            raise UpstreamUnavailable("The recommender did not tell whose accounts these are.")
        return found

    def _call(self, lines: list[bytes]) -> list[Any]:
        upstream = self._parts.recommender.call(
            "recommend_batch",
            "POST",
            _PATH,
            body=b"".join(line + b"\n" for line in lines),
            headers=_POSTED,
            timeout_seconds=self._parts.settings.stream_timeout_seconds,
        )
        if upstream.status != 200:
            raise UpstreamUnavailable("The recommender did not take the batch.")
        try:
            found = [read_json(line) for line in upstream.body.split(b"\n") if line.strip()]
        except BadRequest as error:
            raise UpstreamUnavailable("The recommender gave an answer that makes no sense.") from error
        if len(found) != len(lines):
            raise UpstreamUnavailable("The recommender left lines unanswered.")
        return found

    def _render(self, line: _Line, caller: Caller, base_url: str, mailing: Mailing) -> dict[str, Any]:
        recipient = line.recipient
        if recipient is None:
            return _problem(line.problem or BadRequest("This line cannot be read."))
        if recipient.answer is not None:
            return self._answers.finish(recipient.asked, caller, mailing.finished(recipient), base_url)
        refusal = recipient.refusal or {}
        if isinstance(status := refusal.get("status"), int) and 400 <= status < 500 and status != 429:
            return {**refusal, "instance": _PATH}
        return self._answers.fall_back(recipient.asked, caller, base_url)


def _blocks(lines: list[bytes]) -> Iterator[list[bytes]]:
    block: list[bytes] = []
    size = 0
    for line in lines:
        if block and (len(block) >= _BLOCK_LINES or size + len(line) > _BLOCK_BYTES):
            yield block
            block, size = [], 0
        block.append(line)
        size += len(line)
    if block:
        yield block


def _read_line(line: bytes, caller: Caller, project_secret: bytes) -> _Line:
    try:
        if len(line) > _MAX_LINE_BYTES:
            raise bodies.too_large(_MAX_LINE_BYTES)
        asked = parse(RecommendationRequest, read_object(line))
        asked = recommendation_query.authorise(asked, caller, project_secret)
    except ForewordError as error:
        return _Line(None, error)
    return _Line(Recipient(asked))


def _identity(asked: RecommendationRequest) -> dict[str, str] | None:
    if asked.user_id is not None:
        return {"kind": "user", "id": asked.user_id}
    return None if asked.anonymous_id is None else {"kind": "anonymous", "id": asked.anonymous_id}


def _mailing(given: Mapping[str, str]) -> Mailing:
    """The batch's options in the query."""
    stated = given.get("max_per_asset")
    most = None if stated is None else natural(stated)
    once = given.get("once_an_account", "false")
    if stated is not None and not 1 <= (most or 0) <= MAX_LINES:
        raise _wrong("max_per_asset", f"A whole number from 1 to {MAX_LINES}.")
    if once not in ("true", "false"):
        raise _wrong("once_an_account", "`true` or `false`.")
    return Mailing(most, once == "true")


def _wrong(name: str, detail: str) -> Unprocessable:
    return Unprocessable(
        f"The parameter `{name}` is wrong.",
        code="fields_invalid",
        fields=[FieldProblem(f"/{name}", "invalid", detail)],
    )


def _problem(error: ForewordError) -> dict[str, Any]:
    context = request_context.current()
    return problem_document(error, instance=_PATH, request_id=context.request_id if context else "")


def routes(parts: Parts, answers: AnswerMaker) -> tuple[Route, ...]:
    views = BatchViews(parts, answers)
    return (
        Route(
            method="POST",
            path=_PATH,
            name="recommend_batch",
            summary="Recommendations for many buyers",
            tag="Recommendations",
            access=Keyed("recommend"),
            view=views.recommend,
            description=f"For email: one request a line, at most {MAX_LINES:,}. The answers come in the same "
            "order, each a recommendation or a problem; one bad line spoils no other.",
            parameters=(
                Parameter(
                    "max_per_asset",
                    "No asset to more recipients than this.",
                    {"type": "integer", "minimum": 1, "maximum": MAX_LINES},
                ),
                Parameter(
                    "once_an_account",
                    "No asset twice inside an account, be it the line's or the one stored for the buyer.",
                    {"type": "boolean", "default": False},
                ),
            ),
            takes=(Content(NDJSON, model=RecommendationRequest),),
            gives={200: (Content(NDJSON, model=RecommendationResponse),)},
            errors=(400, 413, 415, 422),
            example="-H 'Content-Type: application/x-ndjson' --data-binary @buyers.ndjson",
        ),
    )
