"""Placement rules: kept with who changed them and when, in force on every replica at its next answer."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import sqlalchemy as sa

from contract.placements import (
    PlacementHistory,
    PlacementList,
    PlacementOutput,
    PlacementRules,
    PlacementVersion,
    PlacementWarning,
)
from recommender.domain import ranking_request
from recommender.domain.assets import UNCONDITIONAL, Precondition
from recommender.domain.errors import FilterInvalid, PlacementNotFound
from recommender.domain.placements import StoredPlacement, compile_rules
from recommender.domain.ranking_request import NO_RULES
from recommender.service.clock import Clock
from recommender.service.replica import CatalogueReplica
from recommender.store import placements as store
from servicekit import logs
from servicekit.database import reading
from servicekit.errors import FieldProblem, Unprocessable

MOST_PLACEMENTS = 1_000
_HISTORY = 200


@dataclass(frozen=True, slots=True)
class _Book:
    revision: int
    rules: Mapping[str, ranking_request.PlacementRules]


class PlacementBook:
    """The rules in memory. Every reader brings the newest revision that the database showed it, as readers of
    the catalogue do, so that no replica answers by rules that were changed before it was asked.
    """

    def __init__(self) -> None:
        self._book = _Book(-1, {})
        self._log = logs.get("recommender")

    def ensure(self, connection: sa.Connection, revision: int) -> None:
        """Read the rules anew if this replica's are older. Reading twice at once is harmless."""
        if self._book.revision >= revision:
            return
        rules = {}
        for placement in store.all_placements(connection):
            try:
                rules[placement.placement_id] = compile_rules(placement.rules)
            except (FilterInvalid, KeyError, TypeError) as error:
                # Stored by a newer version: this one serves the placement without rules, and says so.
                self._log.error("placement_unreadable", placement=placement.placement_id, error=str(error))
        self._book = _Book(revision, rules)

    def rules_of(self, placement_id: str) -> ranking_request.PlacementRules:
        return self._book.rules.get(placement_id, NO_RULES)


class PlacementService:
    """Reads and writes; `changed_by` is who the gateway says it is."""

    def __init__(self, engine: sa.Engine, replica: CatalogueReplica, clock: Clock) -> None:
        self._engine = engine
        self._replica = replica
        self._clock = clock

    def all(self) -> PlacementList:
        with reading(self._engine) as connection:
            found = store.all_placements(connection)
        return PlacementList(placements=tuple(_output(one) for one in found))

    def get(self, placement_id: str) -> PlacementOutput:
        with reading(self._engine) as connection:
            found = store.get_placement(connection, placement_id)
        if found is None:
            raise PlacementNotFound(placement_id)
        return _output(found)

    def put(
        self,
        placement_id: str,
        rules: PlacementRules,
        changed_by: str,
        expected: Precondition = UNCONDITIONAL,
    ) -> PlacementOutput:
        """Raises Unprocessable with every filter that cannot be read, RevisionMismatch."""
        document = document_of(rules)
        compiled = checked_rules(document)
        with self._engine.begin() as connection:
            count = store.lock_placements(connection)
            before = store.get_placement(connection, placement_id)
            expected.check(None if before is None else before.version)
            if before is None and count >= MOST_PLACEMENTS:
                raise Unprocessable(
                    f"There are {MOST_PLACEMENTS} placements already; delete one first.",
                    code="too_many_placements",
                )
            now = self._clock()
            version = store.put_placement(connection, placement_id, document, now, changed_by)
        stored = StoredPlacement(placement_id, version, document, now, changed_by)
        return _output(stored, self._warnings(compiled))

    def delete(self, placement_id: str, changed_by: str, expected: Precondition = UNCONDITIONAL) -> None:
        with self._engine.begin() as connection:
            store.lock_placements(connection)
            before = store.get_placement(connection, placement_id)
            expected.check(None if before is None else before.version)
            if not store.delete_placement(connection, placement_id, self._clock(), changed_by):
                raise PlacementNotFound(placement_id)

    def history(self, placement_id: str) -> PlacementHistory:
        """The last versions, newest first, also of a placement that was deleted."""
        with reading(self._engine) as connection:
            changes = store.changes_of(connection, placement_id, _HISTORY)
        if not changes:
            raise PlacementNotFound(placement_id)
        return PlacementHistory(
            id=placement_id,
            versions=tuple(
                PlacementVersion(
                    version=one.version,
                    rules=None if one.rules is None else PlacementRules.model_validate(one.rules),
                    changed_at=one.changed_at,
                    changed_by=one.changed_by,
                )
                for one in changes
            ),
        )

    def _warnings(self, rules: ranking_request.PlacementRules) -> tuple[PlacementWarning, ...]:
        """What is allowed and probably not meant."""
        catalogue = self._replica.snapshot.catalogue
        warnings = []
        unknown = [a for a in dict.fromkeys((*rules.pin, *rules.static)) if a not in catalogue.row_of]
        if unknown:
            named = ", ".join(unknown[:5])
            warnings.append(
                PlacementWarning(code="asset_unknown", detail=f"Not in the catalogue (yet): {named}.")
            )
        eligible = catalogue.eligible(self._clock().timestamp())
        left = eligible.copy()
        if rules.exclude is not None:
            left &= ~rules.exclude.mask(catalogue)
        left[[row for a in rules.exclude_ids if (row := catalogue.row_of.get(a)) is not None]] = False
        if eligible.any() and not left.any():
            warnings.append(
                PlacementWarning(
                    code="everything_excluded", detail="These rules leave nothing that could be shown."
                )
            )
        return tuple(warnings)


def document_of(rules: PlacementRules) -> dict[str, object]:
    """The rules as they are kept: what was left out stays out."""
    return rules.model_dump(mode="json", exclude_defaults=True) | _with_defaults(rules)


def _with_defaults(rules: PlacementRules) -> dict[str, object]:
    """Nested parts whole, so that a default that changes later changes no stored rule."""
    whole = rules.model_dump(mode="json", exclude_none=True)
    nested = ("boost", "bury", "exclude", "quotas", "frequency_cap")
    return {name: whole[name] for name in nested if whole.get(name)}


def checked_rules(document: Mapping[str, object]) -> ranking_request.PlacementRules:
    mistakes: list[FilterInvalid] = []
    compiled = compile_rules(document, mistakes)
    if mistakes:
        places = ", ".join(mistake.pointer for mistake in mistakes[:5])
        raise Unprocessable(
            f"These filters cannot be read: {places}.",
            code="fields_invalid",
            fields=[FieldProblem(m.pointer, "filter_invalid", str(m)) for m in mistakes],
        )
    return compiled


def _output(stored: StoredPlacement, warnings: tuple[PlacementWarning, ...] = ()) -> PlacementOutput:
    return PlacementOutput.model_validate(
        {
            **stored.rules,
            "id": stored.placement_id,
            "version": stored.version,
            "changed_at": stored.changed_at,
            "changed_by": stored.changed_by,
            "warnings": warnings,
        }
    )
