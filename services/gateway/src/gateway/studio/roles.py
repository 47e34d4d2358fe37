"""Roles: what a member of the content team may do, each including the ones below it."""

from __future__ import annotations

from collections.abc import Callable
from enum import StrEnum
from typing import TypeVar

View = TypeVar("View", bound=Callable[..., object])
_MARK = "studio_role"


class Role(StrEnum):
    VIEWER = "viewer"
    EDITOR = "editor"
    APPROVER = "approver"
    OPERATOR = "operator"

    @property
    def says(self) -> str:
        return _SAYS[self]

    def may(self, needed: Role) -> bool:
        order = list(Role)
        return order.index(self) >= order.index(needed)


_SAYS = {
    Role.VIEWER: "reads the library, coverage and goals",
    Role.EDITOR: "also uploads and edits, and sees buyers and accounts",
    Role.APPROVER: "also approves, archives, deletes, and sets placements",
    Role.OPERATOR: "also manages people and keys, sees webhooks, and reads the audit log",
}


def needs(role: Role | None) -> Callable[[View], View]:
    """Marks a view with the least role that may call it; None: whoever comes, signed in or not.

    A view without a mark is refused to everybody, so that none is open by mistake.
    """

    def mark(view: View) -> View:
        setattr(view, _MARK, (role,))
        return view

    return mark


def needed_by(view: object) -> tuple[Role | None] | None:
    """→ `(role,)` as `needs` marked it, or None when nothing was said."""
    found: tuple[Role | None] | None = getattr(view, _MARK, None)
    return found
