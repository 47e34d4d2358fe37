"""Who may see what: the session is read, roles are held, forms carry a token, and browsers get a policy."""

from __future__ import annotations

from urllib.parse import urlsplit

from flask import Flask, Response, current_app, g, request, session, url_for
from flask_wtf.csrf import CSRFProtect
from werkzeug.utils import redirect
from werkzeug.wrappers import Response as AnyResponse

from gateway.studio.desk import Desk, is_fragment
from gateway.studio.roles import needed_by
from gateway.studio.sessions import PATH
from servicekit.errors import Forbidden, Unavailable

TOKEN = "sid"  # noqa: S105 - the name under which the cookie holds it
_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; font-src 'self'; img-src 'self' data:; "
    "connect-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
)


def init_app(app: Flask, desk: Desk) -> None:
    @app.before_request
    def enter() -> AnyResponse | None:
        """Refuses what carries no mark of its role, so that a forgotten one is closed and not open."""
        g.user = None
        if request.endpoint in (None, "static_files"):
            return None
        marked = needed_by(current_app.view_functions[request.endpoint or ""])
        if marked is None:
            raise Forbidden("Nobody may open this page.")
        if not desk.parts.keys.is_loaded:
            raise Unavailable("The studio's database does not answer yet.")
        token = session.get(TOKEN)
        if isinstance(token, str):
            g.user = desk.sessions.user(token, now=desk.clock())
        needed = marked[0]
        if needed is None:
            return None
        if g.user is None:
            return _to_sign_in()
        if not g.user.role.may(needed):
            raise Forbidden(f"This needs the role {needed.value}; yours is {g.user.role.value}.")
        return None

    # Registered after `enter`: who is not signed in is sent to sign in, whatever their form carried.
    CSRFProtect(app)

    @app.after_request
    def protect(response: Response) -> Response:
        response.headers["Content-Security-Policy"] = _POLICY
        # The token check of forms over HTTPS looks at the referrer, which stays within the studio.
        response.headers["Referrer-Policy"] = "same-origin"
        return response


def safe_next(target: str | None) -> str:
    """Where to go after signing in: a page of the studio, never elsewhere."""
    home = url_for("library.page")
    if not target:
        return home
    parts = urlsplit(target)
    if parts.scheme or parts.netloc or not target.startswith(f"{PATH}/") or "\\" in target:
        return home
    return target


def _to_sign_in() -> AnyResponse:
    wanted = request.full_path.rstrip("?") if request.method == "GET" and not is_fragment() else None
    to = url_for("sign_in.page", next=PATH + wanted if wanted and wanted != "/" else None)
    if is_fragment() or request.headers.get("X-Requested-With"):
        return Response(
            "You were signed out. Sign in again.",
            status=401,
            headers={"HX-Redirect": to},
            mimetype="text/plain",
        )
    return redirect(to, 303)
