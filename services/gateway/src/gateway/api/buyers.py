"""Buyers and accounts: what is known, and the right to read it and to have it erased."""

from __future__ import annotations

from flask import Response

from contract.buyers import AccountOutput, BuyerOutput, ErasureReceipt
from gateway import relay
from gateway.access import Caller
from gateway.api.ids import checked
from gateway.parts import Parts
from gateway.routing import Content, Keyed, Route
from gateway.upstream import segment

_READ = Keyed("buyers:read")
_WRITE = Keyed("buyers:write")


class BuyerViews:
    def __init__(self, parts: Parts) -> None:
        self._parts = parts

    def buyer(self, _: Caller, buyer_id: str) -> Response:
        return self._call("buyer", "GET", f"/v1/buyers/{segment(checked(buyer_id))}")

    def account(self, _: Caller, account_id: str) -> Response:
        return self._call("account", "GET", f"/v1/accounts/{segment(checked(account_id))}")

    def export(self, _: Caller, buyer_id: str) -> Response:
        return self._call("buyer_export", "GET", f"/v1/buyers/{segment(checked(buyer_id))}:export")

    def erase(self, _: Caller, buyer_id: str) -> Response:
        return self._call("buyer_erase", "POST", f"/v1/buyers/{segment(checked(buyer_id))}:erase")

    def _call(self, operation: str, method: str, path: str) -> Response:
        settings = self._parts.settings
        upstream = self._parts.recommender.call(
            operation,
            method,
            relay.with_query(path),
            body=b"" if method == "POST" else None,
            headers=relay.forwarded_headers(),
            timeout_seconds=settings.write_timeout_seconds
            if method == "POST"
            else settings.read_timeout_seconds,
        )
        return relay.answer(upstream)


def routes(parts: Parts) -> tuple[Route, ...]:
    views = BuyerViews(parts)
    anything = (Content(schema={"type": "object"}),)
    # fmt: off
    return (
        Route(
            "GET", "/v1/buyers/<any_id:buyer_id>", "buyer_get", "Read a buyer", "Buyers", _READ, views.buyer,
            description="Profile, stage with its evidence, and recent signals.",
            gives={200: (Content(model=BuyerOutput),)}, errors=(404, 422, 503),
        ),
        Route(
            "GET", "/v1/buyers/<any_id:buyer_id>:export", "buyer_export", "Export all about a buyer",
            "Buyers", _READ, views.export, gives={200: anything}, errors=(404, 422, 503),
        ),
        Route(
            "POST", "/v1/buyers/<any_id:buyer_id>:erase", "buyer_erase", "Erase a buyer", "Buyers", _WRITE,
            views.erase,
            description="By any of their ids: signals, profile, vectors and caches go, and a hashed "
            "tombstone keeps replays out.",
            gives={200: (Content(model=ErasureReceipt),)}, errors=(404, 422, 503), example="-X POST",
        ),
        Route(
            "GET", "/v1/accounts/<any_id:account_id>", "account_get", "Read an account", "Buyers", _READ,
            views.account, description="Stage, buying group, surging topics.",
            gives={200: (Content(model=AccountOutput),)}, errors=(404, 422, 503),
        ),
    )
    # fmt: on
