"""Sealed links, proofs, keys, and the small texts in heads that come back to us."""

from __future__ import annotations

import contextlib
from functools import cache
from typing import Any

from fuzz.dice import Dice
from fuzz.registry import SECRET, dumped, no_crash, target


@cache
def _sealers() -> tuple[Any, Any]:
    from gateway.click_links import ClickSealer
    from gateway.email_links import EmailSealer

    return ClickSealer(SECRET), EmailSealer(SECRET)


@cache
def _good_tokens() -> tuple[str, str, str]:
    from gateway.click_links import Click
    from gateway.email_links import EmailOpening, EmailView

    clicks, mails = _sealers()
    return (
        clicks.seal(Click("guide-1", "https://www.example.com/g", "rec-1", "blog", user_id="u-1")),
        mails.seal_view(EmailView("s", "1", "u-1", None, "mail", 3, "advance", "For you", "#112233")),
        mails.seal_opening(EmailOpening("s", "1", "u-1", None, "mail", "rec-1", ("guide-1",))),
    )


@target("link_token", b"AQ", b"\x01\x00\x00", weight=160)
def link_token(data: bytes) -> None:
    """Click links and the two links of a mail: nothing but what we sealed opens."""
    from servicekit.errors import NotFound

    clicks, mails = _sealers()
    good = _good_tokens()
    dice = Dice(data)
    text = dice.rest().decode("latin-1") if dice.below(2) else dice.rest().decode("utf-8", "replace")
    if data[:1] == b"\x01":
        dice = Dice(data[1:])
        token = list(dice.pick(good))
        for _ in range(1 + dice.below(4)):
            token[dice.below(len(token))] = chr(dice.below(300))
        text = "".join(token) + dice.text(("=",))
    for name, open_it in (("click", clicks.open), ("view", mails.open_view), ("opening", mails.open_opening)):
        try:
            open_it(text)
        except NotFound:
            continue
        assert text in good, f"a {name} token was forged, or opens in another spelling"


@target("user_token", b"u-1\x00" + b"0" * 64, weight=130)
def user_token(data: bytes) -> None:
    from gateway.keys import token_is_valid
    from gateway.keys.tokens import user_token as made

    user, _, token = data.decode("utf-8", "replace").partition("\x00")
    if token.strip().lower() != made(SECRET, user):
        assert not token_is_valid(SECRET, user, token)
    assert token_is_valid(SECRET, user, f" {made(SECRET, user).upper()} ")


@target("request_head", b"Bearer fw_sk_x\x00id\x0000-" + b"a" * 32 + b"-" + b"b" * 16 + b"-01", weight=60)
def request_head(data: bytes) -> None:
    """Keys, request ids, trace headers, ETags, page tokens, origins, as a header or a query may hold them."""
    from flask import Request

    from gateway.keys import sent
    from gateway.keys.model import KeyInvalid, digest_of, normalise_origin
    from recommender.api.requests import precondition, read_page_token, whole_number
    from servicekit.errors import ForewordError
    from servicekit.request_context import from_headers

    text = data.decode("latin-1").replace("\r", "").replace("\n", "")
    parts = (text.split("\x00") + [""] * 6)[:6]
    context = from_headers(parts[1], parts[2])
    assert context.request_id.isascii()
    assert context.request_id.isprintable()
    assert len(context.traceparent) == 55
    digest_of(parts[0])
    with contextlib.suppress(KeyInvalid):
        normalise_origin(parts[3])
    environ = {
        "REQUEST_METHOD": "GET",
        "PATH_INFO": "/",
        "wsgi.url_scheme": "http",
        "SERVER_NAME": "e",
        "SERVER_PORT": "80",
        "HTTP_AUTHORIZATION": parts[0],
        "HTTP_IF_MATCH": parts[4],
        "QUERY_STRING": f"page_size={parts[5]}",
    }
    sent.in_authorization(parts[0])
    request = Request(environ)
    if not text.isascii():  # refused before any view runs
        return
    for read in (
        lambda: precondition(request),
        lambda: read_page_token(parts[3] or None),
        lambda: whole_number(request, "page_size", 50, 1, 500),
    ):
        try:
            read()
        except ForewordError as error:
            no_crash(error)


@target(
    "page_token", b'["2026-01-01T00:00:00+00:00","guide-1"]', b'["0001-01-01T00:00:00+23:59","a"]', weight=130
)
def page_token(data: bytes) -> None:
    import base64

    from recommender.api.requests import read_page_token
    from servicekit.errors import BadRequest

    raw = dumped([Dice(data[1:]).text(("2026-01-01T00:00:00Z",)), "a"]) if data[:1] == b"\x01" else data
    try:
        found = read_page_token(base64.urlsafe_b64encode(raw).decode())
    except BadRequest:
        return
    if found is not None:
        found[0].isoformat()
