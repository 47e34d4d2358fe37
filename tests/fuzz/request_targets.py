"""Requests for recommendations: bodies, addresses with everything in them, filters."""

from __future__ import annotations

from functools import cache
from typing import Any

import orjson

from fuzz.dice import Dice
from fuzz.registry import NOON, SECRET, dumped, no_crash, target

_ASK_NAMES = (
    "user_id",
    "anonymous_id",
    "user_token",
    "account_id",
    "placement",
    "channel",
    "count",
    "goal",
    "context",
    "asset_id",
    "url",
    "query",
    "exclude_ids",
    "filter",
    "must",
    "should",
    "must_not",
    "field",
    "any_of",
    "from",
    "to",
    "consent",
    "explain",
    "as_of",
    "heading",
    "accent",
    "opens",
    "format",
    "send_id",
    "slot",
)
_ASK_WORDS = (
    "u-1",
    "web",
    "email",
    "advance",
    "type",
    "stage",
    "topics",
    "published_at",
    "decision",
    "blog",
    "2026-05-01T00:00:00Z",
    "none",
    "full",
    "profile",
    "5",
    "#112233",
    "html",
)


def _filter(dice: Dice, depth: int = 0) -> Any:
    tree: dict[str, Any] = {}
    for _ in range(1 + dice.below(3)):
        entries: list[Any] = []
        for _ in range(dice.below(5)):
            kind = dice.below(6)
            if kind == 0 and depth < 8:
                entries.append(_filter(dice, depth + 1))
            elif kind == 1:
                entries.append(
                    {"field": "published_at", dice.pick(("from", "to")): dice.value((), _ASK_WORDS)}
                )
            elif kind == 2:
                entries.append(dice.value(_ASK_NAMES, _ASK_WORDS))
            else:
                values = [dice.value((), _ASK_WORDS, 7) for _ in range(dice.below(4))]
                entries.append(
                    {"field": dice.pick(("type", "stage", "topics", "language", "x")), "any_of": values}
                )
        tree[dice.pick(("must", "should", "must_not", "other"))] = entries
    return tree


@cache
def _firm() -> Any:
    from ranking_firm import make_firm

    return make_firm(60)


@target("filter", b'{"must":[{"field":"type","any_of":["blog"]}]}', b'{"must":' * 40, weight=130)
def filters(data: bytes) -> None:
    from recommender.domain.errors import FilterInvalid
    from recommender.domain.filters import parse_filter

    if data[:1] == b"\x01":
        tree = _filter(Dice(data[1:]))
    else:
        try:
            tree = orjson.loads(data)
        except orjson.JSONDecodeError:
            return
    try:
        mask = parse_filter(tree).mask(_firm())
    except FilterInvalid as error:
        if not error.pointer.startswith("/filter"):
            raise
        return
    assert mask.shape == (len(_firm()),)


def _callers() -> tuple[Any, ...]:
    from gateway.access import Caller
    from gateway.keys.model import KeyKind, make_key

    pk = make_key(KeyKind.PUBLISHABLE, name="p", now=NOON)[1]
    sk = make_key(KeyKind.SECRET, name="s", scopes=("recommend",), now=NOON)[1]
    return Caller(pk, None), Caller(sk, None)  # type: ignore[arg-type]


_CALLERS = cache(_callers)


def _asked(request: Any, dice: Dice) -> None:
    from gateway.api import recommendation_query
    from servicekit.wire import dumps

    caller = dice.pick(_CALLERS())
    asked = recommendation_query.authorise(request, caller, SECRET, privacy_signal=dice.below(2) == 1)
    if (
        caller.is_publishable
        and request.user_id is not None
        and request.consent == "profile"
        and not dice.below(2)
    ):
        raise AssertionError("a token was guessed") if asked.user_id is not None else None
    dumps(recommendation_query.to_recommender(asked, caller))


@target(
    "recommend_body",
    b'{"user_id":"u","count":5,"filter":{"must":[]}}',
    b'{"filter":' + b'{"a":' * 500 + b"1" + b"}" * 501,
    weight=60,
)
def recommend_body(data: bytes) -> None:
    from contract.recommendations import RecommendationRequest
    from servicekit.errors import ForewordError
    from servicekit.wire import parse, read_object

    dice = Dice(data[1:])
    body = dumped(dice.document(_ASK_NAMES, _ASK_WORDS)) if data[:1] == b"\x01" else data
    try:
        _asked(parse(RecommendationRequest, read_object(body)), dice)
    except ForewordError as error:
        no_crash(error)


@target("query_string", b"user_id=u&count=5&context.url=https%3A%2F%2Fe.example&filter=%7B%7D", weight=50)
def query_string(data: bytes) -> None:
    """What the widget, templates and mails put into the address."""
    from urllib.parse import parse_qsl

    from contract.email import EmailBlockRequest
    from contract.recommendations import RecommendationRequest
    from gateway.api import recommendation_query
    from servicekit.errors import ForewordError

    dice = Dice(data[1:])
    if data[:1] == b"\x01":
        names = (
            *_ASK_NAMES,
            "context.url",
            "context.query",
            "context.asset_id",
            "filter.must",
            "context.context",
        )
        pairs = []
        while not dice.spent and len(pairs) < 12:
            name = dice.text(names)
            pairs.append(
                (name, dumped(_filter(dice)).decode() if name == "filter" else dice.text(_ASK_WORDS))
            )
    else:
        pairs = parse_qsl(data.decode("utf-8", "replace"), keep_blank_values=True)[:100]
    try:
        model = dice.pick((RecommendationRequest, EmailBlockRequest))
        _asked(recommendation_query.from_query(pairs, model), dice)
    except ForewordError as error:
        no_crash(error)
