"""What the views work with, wired once in `create_app`."""

from __future__ import annotations

from dataclasses import dataclass

from gateway.click_queue import ClickQueue
from gateway.fallback import Fallback
from gateway.keys import KeyRing
from gateway.metrics import GatewayMetrics
from gateway.replacements import Replacements
from gateway.settings import GatewaySettings
from gateway.signal_relay import SignalRelay
from gateway.upstream import Recommender


@dataclass(frozen=True, slots=True)
class Parts:
    settings: GatewaySettings
    metrics: GatewayMetrics
    keys: KeyRing
    recommender: Recommender
    signals: SignalRelay
    clicks: ClickQueue
    fallback: Fallback
    replacements: Replacements
