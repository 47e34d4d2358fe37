"""The public contract, one method an address; what it takes to send and to try again is the subclass's."""

from __future__ import annotations

import secrets
from abc import abstractmethod
from collections.abc import Iterable, Iterator, Mapping
from datetime import UTC, datetime
from typing import Any, cast
from urllib.parse import quote, urlencode

import orjson

from foreword_client.answers import EmailBlock, Recommendations, WebhookEndpoint

_JSON = {"Content-Type": "application/json"}
_EVENTS_AT_ONCE = 500


def path_of(*parts: str) -> str:
    """Ids are any printable text, so each is encoded whole."""
    return "/" + "/".join(("v1", *(quote(part, safe=":") for part in parts[:-1]), quote(parts[-1], safe="")))


class ContractCalls:
    """Arguments have the contract's names; None is left out."""

    @abstractmethod
    def _request(self, method: str, path: str, body: bytes | None, headers: Mapping[str, str]) -> bytes:
        """The whole answer. Raises ForewordUnavailable and RequestRefused."""

    def recommend(self, **request: Any) -> Recommendations:
        """`POST /v1/recommendations`: `user_id` or `anonymous_id`, `placement`, `count`, `context`, …"""
        return cast(Recommendations, self._document("POST", "/v1/recommendations", request))

    def explain(self, asset_id: str, **request: Any) -> dict[str, Any]:
        """Why an asset is or is not recommended, with each score term."""
        return self._document("POST", "/v1/explain", {**request, "asset_id": asset_id})

    def search(self, text: str, *, count: int | None = None) -> list[dict[str, Any]]:
        """Eligible assets by meaning, the best first."""
        found = self._read("/v1/search", {"q": text, "count": count})
        return cast(list[dict[str, Any]], found["items"])

    def track(self, event: str, *, properties: Mapping[str, Any] | None = None, **who: Any) -> None:
        """Something a buyer did: `user_id` or `anonymous_id`, and `group_id` for their account."""
        self.send([{"type": "track", "event": event, "properties": dict(properties or {}), **_who(who)}])

    def page(self, url: str, *, properties: Mapping[str, Any] | None = None, **who: Any) -> None:
        self.send([{"type": "page", "properties": {"url": url, **(properties or {})}, **_who(who)}])

    def identify(self, *, traits: Mapping[str, Any] | None = None, **who: Any) -> None:
        """With `user_id` and `anonymous_id` both, what was anonymous becomes known."""
        self.send([{"type": "identify", "traits": dict(traits or {}), **_who(who)}])

    def group(self, group_id: str, *, traits: Mapping[str, Any] | None = None, **who: Any) -> None:
        """The account that a buyer belongs to."""
        self.send([{"type": "group", "groupId": group_id, "traits": dict(traits or {}), **_who(who)}])

    def alias(self, user_id: str, previous_id: str) -> None:
        self.send([{"type": "alias", "userId": user_id, "previousId": previous_id}])

    def send(self, events: Iterable[Mapping[str, Any]]) -> None:
        """Send events of the tracking API; returns when they are stored.

        Each gets a `messageId` before the first try, so that trying again counts nothing twice.
        """
        block: list[dict[str, Any]] = []
        for event in events:
            block.append({"messageId": secrets.token_hex(16), "timestamp": datetime.now(UTC), **event})
            if len(block) == _EVENTS_AT_ONCE:
                self._request("POST", "/v1/batch", orjson.dumps({"batch": block}), _JSON)
                block = []
        if block:
            self._request("POST", "/v1/batch", orjson.dumps({"batch": block}), _JSON)

    def put_asset(self, asset: Mapping[str, Any]) -> dict[str, Any]:
        """Store one asset; `asset["id"]` says which."""
        return self._document("PUT", path_of("assets", str(asset["id"])), asset)

    def patch_asset(self, asset_id: str, **changes: Any) -> dict[str, Any]:
        return self._document("PATCH", path_of("assets", asset_id), changes)

    def get_asset(self, asset_id: str) -> dict[str, Any]:
        return self._read(path_of("assets", asset_id))

    def delete_asset(self, asset_id: str) -> None:
        self._request("DELETE", path_of("assets", asset_id), None, {})

    def assets(self, **filters: Any) -> Iterator[dict[str, Any]]:
        """Every asset that matches `stage`, `type`, `status` or `q`, page after page."""
        token: str | None = None
        while True:
            page = self._read("/v1/assets", {**filters, "page_token": token})
            yield from page["assets"]
            token = page.get("next_page_token")
            if not token:
                return

    def preview_asset(self, asset: Mapping[str, Any]) -> dict[str, Any]:
        """A draft's stage, its near-duplicates and who would see it; nothing is stored."""
        return self._document("POST", "/v1/assets:preview", asset)

    def coverage(self) -> dict[str, Any]:
        return self._read("/v1/coverage")

    def buyer(self, user_id: str) -> dict[str, Any]:
        return self._read(path_of("buyers", user_id))

    def account(self, account_id: str) -> dict[str, Any]:
        return self._read(path_of("accounts", account_id))

    def export_buyer(self, user_id: str) -> dict[str, Any]:
        return self._read(path_of("buyers", user_id) + ":export")

    def erase_buyer(self, user_id: str) -> dict[str, Any]:
        """→ the receipt"""
        answer = self._request("POST", path_of("buyers", user_id) + ":erase", None, {})
        return cast(dict[str, Any], orjson.loads(answer))

    def email_block(self, send_id: str, **request: Any) -> EmailBlock:
        """A block for one recipient of one mailing; asking again gives the same assets."""
        asked = {**request, "send_id": send_id, "format": "json"}
        return cast(EmailBlock, self._read("/v1/email/block", asked))

    def webhooks(self) -> list[WebhookEndpoint]:
        return cast(list[WebhookEndpoint], self._read("/v1/webhooks/endpoints")["endpoints"])

    def put_webhook(self, endpoint_id: str, url: str, events: Iterable[str], **more: Any) -> WebhookEndpoint:
        """Its `secret`, in the first answer alone, verifies what is posted to `url`."""
        body = {"url": url, "events": list(events), **more}
        return cast(
            WebhookEndpoint, self._document("PUT", path_of("webhooks", "endpoints", endpoint_id), body)
        )

    def delete_webhook(self, endpoint_id: str) -> None:
        self._request("DELETE", path_of("webhooks", "endpoints", endpoint_id), None, {})

    def webhook_deliveries(self, **filters: Any) -> list[dict[str, Any]]:
        """The newest first; `endpoint_id`, `state`, `page_size`."""
        return cast(list[dict[str, Any]], self._read("/v1/webhooks/deliveries", filters)["deliveries"])

    def _document(self, method: str, path: str, value: Mapping[str, Any]) -> dict[str, Any]:
        given = {name: field for name, field in value.items() if field is not None or method == "PATCH"}
        document: dict[str, Any] = orjson.loads(self._request(method, path, orjson.dumps(given), _JSON))
        return document

    def _read(self, path: str, query: Mapping[str, Any] | None = None) -> dict[str, Any]:
        given = {name: value for name, value in (query or {}).items() if value is not None}
        answer = self._request("GET", path + (f"?{urlencode(given, doseq=True)}" if given else ""), None, {})
        document: dict[str, Any] = orjson.loads(answer)
        return document


def _who(given: Mapping[str, Any]) -> dict[str, Any]:
    """Python's names as the tracking API's: `user_id` is `userId`; the account goes into the context."""
    names = {"user_id": "userId", "anonymous_id": "anonymousId", "message_id": "messageId"}
    found = {names.get(name, name): value for name, value in given.items() if value is not None}
    if (group_id := found.pop("group_id", None)) is not None:
        found["context"] = {**found.get("context", {}), "groupId": group_id}
    return found
