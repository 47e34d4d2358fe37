"""The fixtures that every unit test of the gateway shares."""

from unit.gateway.gateway_fixtures import gateway, shared_gateway, stand_in, stand_in_server

__all__ = ["gateway", "shared_gateway", "stand_in", "stand_in_server"]
