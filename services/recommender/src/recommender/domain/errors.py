"""What can go wrong in the domain, in words; the API layer gives each its HTTP status.

DomainError
├── AssetNotFound
├── RevisionMismatch      an If-Match that no longer holds
├── BuyerNotFound
├── AccountNotFound
├── PlacementNotFound
├── FilterInvalid         an unknown field or shape in a filter
├── EquivalenceInvalid    an asset that would be equivalent to itself or to nothing
└── ConfigurationInvalid  a configuration file with every mistake listed
"""

from __future__ import annotations

from collections.abc import Sequence


class DomainError(Exception):
    """Base of the domain's errors."""


class AssetNotFound(DomainError):
    pass


class RevisionMismatch(DomainError):
    pass


class BuyerNotFound(DomainError):
    pass


class AccountNotFound(DomainError):
    pass


class PlacementNotFound(DomainError):
    pass


class EndpointNotFound(DomainError):
    pass


class DeliveryNotFound(DomainError):
    pass


class FilterInvalid(DomainError):
    def __init__(self, pointer: str, message: str) -> None:
        super().__init__(message)
        self.pointer = pointer


class EquivalenceInvalid(DomainError):
    pass


class ConfigurationInvalid(DomainError):
    """Lists every mistake of a configuration file."""

    says_nothing_of_people = True

    def __init__(self, source: str, mistakes: Sequence[str]) -> None:
        super().__init__(f"{source} is wrong:\n" + "\n".join(f"  - {m}" for m in mistakes))
        self.mistakes = tuple(mistakes)
