"""What the studio's views work with, wired once; and who is signed in."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, cast

from flask import flash, g, redirect, request, url_for
from werkzeug.wrappers import Response

from gateway.parts import Parts
from gateway.studio.audit import AuditLog
from gateway.studio.catalogue import Catalogue
from gateway.studio.figures import Figures
from gateway.studio.keybook import KeyBook
from gateway.studio.members import User
from gateway.studio.people import People
from gateway.studio.sessions import Sessions
from gateway.studio.throttle import SignInThrottle
from gateway.studio.web_sources import WebSources
from servicekit.whole_numbers import natural


@dataclass(frozen=True, slots=True)
class Desk:
    """Everything a view may ask."""

    parts: Parts
    people: People
    sessions: Sessions
    audit: AuditLog
    catalogue: Catalogue
    keys: KeyBook
    throttle: SignInThrottle
    figures: Figures
    web: WebSources
    clock: Callable[[], datetime]

    def note(
        self,
        action: str,
        subject: tuple[str, str],
        summary: str,
        *,
        before: Mapping[str, Any] | None = None,
        after: Mapping[str, Any] | None = None,
    ) -> int:
        """Write into the audit log what the signed-in user has just done."""
        return self.audit.record(me(), action, subject, summary, now=self.clock(), before=before, after=after)


def me() -> User:
    """The signed-in user; only views that need a role may ask."""
    return cast(User, g.user)


def actor() -> str:
    """How the recommender is told who sets a placement's rules."""
    return f"studio:{me().email}"


def is_fragment() -> bool:
    """Whether htmx asks, and a part of the page is enough."""
    return request.headers.get("HX-Request") == "true" and "HX-History-Restore-Request" not in request.headers


def is_step() -> bool:
    """Whether the page's own script asks, which shows how far long work is."""
    return request.headers.get("X-Requested-With") == "studio"


def posted_number(name: str, most: int) -> int:
    """A whole number from the form, at most so large; 0 where there is none."""
    return min(most, natural(request.form.get(name, "")) or 0)


def go(endpoint: str, message: str = "", kind: str = "done", **values: Any) -> Response:
    """After a change: to a page that may be loaded anew without repeating it."""
    if message:
        flash(message, kind)
    return redirect(url_for(endpoint, **values), 303)
