"""Keys: who may call, and what they may do."""

from gateway.keys.database import DatabaseKeySource
from gateway.keys.development import ensure_development_keys
from gateway.keys.kept import KeptKeys
from gateway.keys.model import SCOPES, ApiKey, KeyInvalid, KeyKind, make_key
from gateway.keys.ring import KeyRing, KeySource, MemoryKeySource
from gateway.keys.tokens import token_is_valid, user_token

__all__ = [
    "SCOPES",
    "ApiKey",
    "DatabaseKeySource",
    "KeptKeys",
    "KeyInvalid",
    "KeyKind",
    "KeyRing",
    "KeySource",
    "MemoryKeySource",
    "ensure_development_keys",
    "make_key",
    "token_is_valid",
    "user_token",
]
