"""Webhooks as the studio sees them: where the firm is told, and what became of each delivery."""

from __future__ import annotations

import orjson

from gateway.studio.catalogue import Catalogue, Document
from gateway.upstream import segment

PAGE = 50


class WebhookBook(Catalogue):
    """Endpoints and deliveries, read and taken up again through the recommender."""

    def endpoints(self) -> list[Document]:
        found: list[Document] = self._get("studio_webhooks", "/v1/webhooks/endpoints")["endpoints"]
        return found

    def endpoint(self, endpoint_id: str) -> Document:
        return self._get("studio_webhooks", _of(endpoint_id))

    def deliveries(self, **query: str) -> Document:
        """`endpoint_id`, `state` and `page_token`, each left out when empty."""
        asked = {name: value for name, value in query.items() if value}
        return self._get("studio_webhooks", "/v1/webhooks/deliveries", page_size=PAGE, **asked)

    def send_again(self, delivery_id: str) -> None:
        path = f"/v1/webhooks/deliveries/{segment(delivery_id)}:retry"
        self._send("studio_webhooks", "POST", path, b"", {})

    def take_up(self, endpoint_id: str) -> Document:
        """Storing a disabled endpoint as it is takes it up again. → the endpoint."""
        stored = self.endpoint(endpoint_id)
        kept = {name: stored[name] for name in ("url", "events", "description")}
        headers = {"Content-Type": "application/json"}
        answer = self._send("studio_webhooks", "PUT", _of(endpoint_id), orjson.dumps(kept), headers)
        return self._document(answer)

    def test(self, endpoint_id: str) -> None:
        self._send("studio_webhooks", "POST", f"{_of(endpoint_id)}:test", b"", {})


def _of(endpoint_id: str) -> str:
    return f"/v1/webhooks/endpoints/{segment(endpoint_id)}"
