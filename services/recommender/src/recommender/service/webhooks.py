"""Managing webhook endpoints, and everything that webhooks consist of, built in one place."""

from __future__ import annotations

import base64
import secrets
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import timedelta
from random import Random

import sqlalchemy as sa

from contract.webhooks import WebhookEndpoint, WebhookEndpointInput
from recommender.domain.errors import DeliveryNotFound, EndpointNotFound
from recommender.domain.webhooks import PREVIOUS_SECRET_FOR, TEST, Endpoint, NewEvent
from recommender.service.buyer_view import BuyerReader
from recommender.service.buyers import BuyerService
from recommender.service.clock import Clock
from recommender.service.estimates import StageEstimator
from recommender.service.meters import WebhookMeters
from recommender.service.webhook_changes import ChangeFinder
from recommender.service.webhook_delivery import Deliverer
from recommender.store import webhooks as store
from recommender.store.webhooks import DeliveryRow
from servicekit.database import reading
from servicekit.errors import FieldProblem, Unprocessable
from servicekit.outbound import OutboundClient, OutboundPolicy, OutboundRefused
from servicekit.outbound_guard import read_url

_TIMEOUT_SECONDS = 10.0
_MOST_ANSWER_BYTES = 64 * 1024
_SECRET_BYTES = 32


class WebhookService:
    """Endpoints and deliveries, as the public contract shows them."""

    def __init__(
        self, engine: sa.Engine, policy: OutboundPolicy, clock: Clock, wake: Callable[[], None]
    ) -> None:
        self._engine = engine
        self._policy = policy
        self._clock = clock
        self._wake = wake

    def put(self, endpoint_id: str, given: WebhookEndpointInput) -> tuple[WebhookEndpoint, bool]:
        """Create or change; a disabled one is taken up again. → (endpoint, whether it is new)"""
        try:
            read_url(given.url, self._policy)
        except OutboundRefused as error:
            raise Unprocessable(
                str(error),
                code="fields_invalid",
                fields=[FieldProblem("/url", "address_refused", str(error))],
            ) from error
        now = self._clock()
        with self._engine.begin() as connection:
            known = store.find_endpoint(connection, endpoint_id)
            secret = given.secret or (known.secret if known and not given.rotate_secret else _new_secret())
            fresh = known is None or secret != known.secret
            previous = (known.previous_secret, known.previous_until) if known else (None, None)
            if known is not None and fresh:
                previous = (known.secret, now + PREVIOUS_SECRET_FOR)
            endpoint = Endpoint(
                endpoint_id,
                given.url,
                tuple(dict.fromkeys(given.events)),
                given.description,
                secret,
                *previous,
                known.created_at if known else now,
                now,
                None,
                None,
                None,
            )
            store.put_endpoint(connection, endpoint)
        self._wake()
        return _shown(endpoint, with_secret=fresh), known is None

    def get(self, endpoint_id: str) -> WebhookEndpoint:
        with reading(self._engine) as connection:
            found = store.find_endpoint(connection, endpoint_id)
        if found is None:
            raise EndpointNotFound(endpoint_id)
        return _shown(found, with_secret=False)

    def all(self) -> list[WebhookEndpoint]:
        with reading(self._engine) as connection:
            return [_shown(one, with_secret=False) for one in store.endpoints(connection)]

    def delete(self, endpoint_id: str) -> None:
        """What waits for it goes with it."""
        with self._engine.begin() as connection:
            if not store.delete_endpoint(connection, endpoint_id):
                raise EndpointNotFound(endpoint_id)

    def test(self, endpoint_id: str) -> str:
        """Put a test event into its outbox. → the event's id."""
        event = NewEvent("evt_" + secrets.token_hex(16), TEST, {"endpoint_id": endpoint_id})
        with self._engine.begin() as connection:
            if store.find_endpoint(connection, endpoint_id) is None:
                raise EndpointNotFound(endpoint_id)
            store.add_events(connection, [event], self._clock(), only_to=endpoint_id)
        self._wake()
        return event.event_id

    def deliveries(
        self, *, endpoint_id: str | None, state: str | None, before: int | None, limit: int
    ) -> list[DeliveryRow]:
        with reading(self._engine) as connection:
            return store.deliveries(
                connection, endpoint_id=endpoint_id, state=state, before=before, limit=limit
            )

    def retry(self, delivery_id: int) -> None:
        with self._engine.begin() as connection:
            if not store.retry(connection, delivery_id, self._clock()):
                raise DeliveryNotFound(str(delivery_id))
        self._wake()


@dataclass(slots=True)
class Webhooks:
    """The service, and what the two loops step."""

    service: WebhookService
    changes: ChangeFinder
    deliverer: Deliverer


def build(
    engine: sa.Engine,
    reader: BuyerReader,
    estimator: StageEstimator,
    buyers: BuyerService,
    clock: Clock,
    meters: WebhookMeters,
    *,
    allow_private: bool,
    disable_after_seconds: float,
    wake: Callable[[], None],
) -> Webhooks:
    policy = OutboundPolicy(allow_private=allow_private, allow_http=allow_private)
    client = OutboundClient(
        policy,
        timeout_seconds=_TIMEOUT_SECONDS,
        max_bytes=_MOST_ANSWER_BYTES,
        user_agent="Foreword-Webhooks",
    )

    def told(events: Sequence[NewEvent]) -> None:
        for event in events:
            meters.events.labels(event.type).inc()
        wake()

    deliverer = Deliverer(
        engine,
        client,
        clock,
        Random(),
        disable_after=timedelta(seconds=disable_after_seconds),
        observe=lambda outcome: meters.deliveries.labels(outcome).inc(),
        disabled=meters.disabled.set,
    )
    return Webhooks(
        WebhookService(engine, policy, clock, wake),
        ChangeFinder(engine, reader, estimator, buyers, clock, told),
        deliverer,
    )


def _new_secret() -> str:
    return "whsec_" + base64.b64encode(secrets.token_bytes(_SECRET_BYTES)).decode()


def _shown(endpoint: Endpoint, *, with_secret: bool) -> WebhookEndpoint:
    return WebhookEndpoint.model_validate(
        {
            "id": endpoint.endpoint_id,
            "url": endpoint.url,
            "events": endpoint.events,
            "description": endpoint.description,
            "secret": endpoint.secret if with_secret else None,
            "created_at": endpoint.created_at,
            "updated_at": endpoint.updated_at,
            "failing_since": endpoint.failing_since,
            "disabled_at": endpoint.disabled_at,
            "disabled_reason": endpoint.disabled_reason,
        }
    )
