"""Changing assets on behalf of a person: their role is held, and every change can be found and undone."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from flask import session

from contract.placements import PlacementRules
from gateway.studio.audit import Entry
from gateway.studio.catalogue import Document
from gateway.studio.desk import Desk, actor, me
from gateway.studio.roles import Role
from servicekit.errors import Forbidden, Unprocessable

WRITTEN = (
    "title", "summary", "body", "url", "type", "language", "topics", "personas", "industries", "regions",
    "stages", "status", "publish_at", "expires_at", "image_url", "equivalent_to", "metadata",
)  # fmt: skip
RULES = tuple(PlacementRules.model_fields)
BULK_TAGS = ("topics", "personas", "industries", "regions")
BUNDLE = "assets.changed_together"
_UNDO = "undo"
_DONE = {"approved": "Approved", "draft": "Taken back to draft", "archived": "Archived"}


def read_tags(text: str) -> list[str]:
    """`a, b , a` → `["a", "b"]`."""
    return list(dict.fromkeys(tag.strip() for tag in text.split(",") if tag.strip()))


class Editing:
    """Writes of assets; each returns the number of its entry in the audit log."""

    def __init__(self, desk: Desk) -> None:
        self._desk = desk

    def change(
        self, asset_id: str, changes: Document, summary: str, *, revision: str | None = None
    ) -> int | None:
        """Patch what differs. → the entry, or None when nothing did. Raises what the recommender refuses."""
        before = self._desk.catalogue.asset(asset_id)
        differing = {k: v for k, v in changes.items() if _plain(before.get(k)) != _plain(v)}
        if not differing:
            return None
        if "status" in differing:
            self._may_set_status(before["status"], differing["status"])
        after = self._desk.catalogue.patch(asset_id, differing, revision)
        return self._desk.note(
            "asset.changed",
            ("asset", asset_id),
            f"{summary}: {', '.join(sorted(differing))}" if "status" not in differing else summary,
            before={k: before.get(k) for k in differing},
            after={k: after.get(k) for k in differing},
        )

    def set_status(self, asset_id: str, status: str) -> int | None:
        return self.change(asset_id, {"status": status}, _DONE.get(status, "Status changed"))

    def add_tags(self, asset_id: str, field: str, tags: list[str]) -> int | None:
        if not tags:
            raise Unprocessable("Write at least one word to add.")
        before = self._desk.catalogue.asset(asset_id)
        return self.change(asset_id, {field: list(dict.fromkeys([*before[field], *tags]))}, "Tagged")

    def take_tags(self, asset_id: str, field: str, tags: list[str]) -> int | None:
        if not tags:
            raise Unprocessable("Write at least one word to take away.")
        before = self._desk.catalogue.asset(asset_id)
        kept = [tag for tag in before[field] if tag not in tags]
        return self.change(asset_id, {field: kept}, "Tags taken away")

    def delete(self, asset_id: str) -> int:
        before = self._desk.catalogue.asset(asset_id)
        self._desk.catalogue.delete(asset_id)
        kept = {k: before[k] for k in WRITTEN if before.get(k) is not None}
        return self._desk.note(
            "asset.deleted", ("asset", asset_id), f"Deleted “{before['title']}”", before=kept
        )

    def replaceable(self, asset_id: str) -> Document:
        """The asset that a draft may take the place of. Raises `Forbidden` when it is on the air."""
        before = self._desk.catalogue.asset(asset_id)
        self._may_set_status(before["status"], "draft")
        return before

    def replaced(self, before: Document, after: Document, summary: str) -> int | None:
        """Note what an upload has overwritten. → the entry, or None when nothing differs."""
        differing = [k for k in WRITTEN if _plain(before.get(k)) != _plain(after.get(k))]
        if not differing:
            return None
        return self._desk.note(
            "asset.changed",
            ("asset", before["id"]),
            summary,
            before={k: before.get(k) for k in differing},
            after={k: after.get(k) for k in differing},
        )

    def bundle(self, entries: list[int]) -> int:
        """One entry for changes that the signed-in user made together. → its number, or that of the only one.

        Raises `Unprocessable` where one of them is somebody else's, or about no asset.
        """
        if len(entries) == 1:
            return entries[0]
        if self._desk.audit.count_by(me(), "asset", entries) != len(set(entries)):
            raise Unprocessable("These are not changes that you made to assets.")
        first = self._desk.audit.find(entries[0])
        return self._desk.note(
            BUNDLE,
            ("assets", ""),
            f"{first.summary}, {len(entries):,} assets together",
            after={"entries": entries},
        )

    def parts_of(self, entry_id: int) -> list[int]:
        """The entries that are taken back with this one, the latest first: its own number, or a bundle's."""
        entry = self._desk.audit.find(entry_id)
        if entry.action != BUNDLE or entry.after is None:
            return [entry_id]
        return [int(number) for number in reversed(entry.after["entries"])]

    def undo(self, entry_id: int) -> str:
        """Put back what an entry changed. → what was done, in words. Raises `Unprocessable` if it cannot."""
        entry = self._desk.audit.find(entry_id)
        if entry.subject_kind == "placement":
            return self._undo_placement(entry)
        if entry.action == "person.role" and entry.before is not None:
            return self._undo_role(entry, Role(entry.before["role"]))
        if entry.subject_kind != "asset" or entry.before is None:
            raise Unprocessable("This change cannot be undone here.")
        if entry.action == "asset.deleted":
            if not me().role.may(Role.APPROVER):
                raise Forbidden("Bringing a deleted asset back needs the role approver.")
            self._desk.catalogue.put(entry.subject_id, entry.before)
            self._desk.note(
                "asset.restored",
                ("asset", entry.subject_id),
                "Brought back what had been deleted",
                after=entry.before,
            )
            return "The asset is back."
        self.change(entry.subject_id, entry.before, "Undone")
        return "Undone."

    def _undo_role(self, entry: Entry, role: Role) -> str:
        if not me().role.may(Role.OPERATOR):
            raise Forbidden("Changing a role needs the role operator.")
        user = self._desk.people.find(entry.subject_id)
        self._desk.people.set_role(user.user_id, role)
        self._desk.note(
            "person.role",
            ("person", user.user_id),
            f"{user.email} is {role.value} again",
            before={"role": user.role.value},
            after={"role": role.value},
        )
        return "Undone."

    def _undo_placement(self, entry: Entry) -> str:
        if not me().role.may(Role.APPROVER):
            raise Forbidden("Changing a placement needs the role approver.")
        if entry.before is None:
            self._desk.catalogue.delete_placement(entry.subject_id, actor())
        else:
            rules = {k: v for k, v in entry.before.items() if k in RULES and v is not None}
            self._desk.catalogue.put_placement(entry.subject_id, rules, actor())
        self._desk.note(
            "placement.changed",
            ("placement", entry.subject_id),
            "Taken back",
            before=entry.after,
            after=entry.before,
        )
        return "Undone."

    @staticmethod
    def read_moment(text: str) -> str | None:
        """What `<input type="datetime-local">` sends, in UTC; empty: none. Raises `Unprocessable`."""
        if not text.strip():
            return None
        try:
            return datetime.fromisoformat(text.strip()).replace(tzinfo=UTC).isoformat()
        except ValueError as error:
            raise Unprocessable("A date looks like 2026-03-31 08:00.") from error

    @staticmethod
    def _may_set_status(before: str, after: str) -> None:
        """What buyers see is an approver's to decide: putting something live, and taking it away."""
        if before != after and "approved" in (before, after) and not me().role.may(Role.APPROVER):
            raise Forbidden(
                f"Changing {before} to {after} needs the role approver; yours is {me().role.value}."
            )


def offer_undo(address: str) -> None:
    """The next page shows a button that takes the last change back."""
    if address:
        session[_UNDO] = address


def take_undo() -> str:
    found: str = session.pop(_UNDO, "")
    return found


def fields_of(form: Any) -> Document:
    """The edit form as a patch; an empty field empties it. Raises `Unprocessable`."""
    text = {name: form.get(name, "").strip() for name in ("title", "url")}
    optional = {name: form.get(name, "").strip() or None for name in ("summary", "language", "image_url")}
    changes: Document = {**text, **optional}
    if form.get("type", "").strip():
        changes["type"] = form["type"].strip()
    changes["equivalent_to"] = form.get("equivalent_to", "").strip() or None
    changes.update({name: read_tags(form.get(name, "")) for name in BULK_TAGS if name in form})
    changes.update(
        {
            name: Editing.read_moment(form.get(name, ""))
            for name in ("publish_at", "expires_at")
            if name in form
        }
    )
    if "body" in form:
        changes["body"] = form["body"].replace("\r\n", "\n") or None
    return changes


def _plain(value: Any) -> Any:
    """Moments are compared as moments, however they are written; lists as lists."""
    if isinstance(value, tuple):
        return list(value)
    if isinstance(value, str) and len(value) >= 16 and value[4:5] == "-":
        try:
            at = datetime.fromisoformat(value)
        except ValueError:
            return value
        return (at if at.tzinfo else at.replace(tzinfo=UTC)).timestamp()
    return value or None
