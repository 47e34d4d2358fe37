"""Buyers and accounts: where they stand and why, over time, and what they are recommended."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

from flask import Blueprint, render_template, request
from werkzeug.wrappers import Response

from gateway.studio.catalogue import Document
from gateway.studio.charts import ALL_STAGES
from gateway.studio.desk import Desk, go, is_fragment
from gateway.studio.figures import SUBJECTS
from gateway.studio.roles import Role, needs
from servicekit.errors import ForewordError, NotFound, UpstreamUnavailable
from servicekit.whole_numbers import natural

_MONTHS = 18
_STEP = timedelta(days=30)
_MOST_PEOPLE, _MOST_SIGNALS = 8, 40


def blueprint(desk: Desk) -> Blueprint:
    pages = Blueprint("buyers", __name__)

    @pages.get("/buyers")
    @needs(Role.EDITOR)
    def page() -> str:
        return render_template(
            "buyers.html",
            missed=request.args.get("missed", ""),
            now=desk.clock(),
            standing=_all_by_stage(),
        )

    def _all_by_stage() -> dict[str, list[tuple[str, float]]]:
        try:
            found = desk.figures.by_stage()
        except UpstreamUnavailable:
            found = {subject: {} for subject in SUBJECTS}
        return {
            subject: [(stage, counts[stage]) for stage in ALL_STAGES if stage in counts]
            for subject, counts in found.items()
        }

    @pages.get("/buyers/find")
    @needs(Role.EDITOR)
    def find() -> Response:
        """A buyer's id, an e-mail address, an anonymous id, or an account's id: whichever it is."""
        text = request.args.get("q", "").strip()
        if not text:
            return go("buyers.page")
        try:
            desk.catalogue.buyer(text)
            return go("buyers.buyer", id=text)
        except ForewordError:
            pass
        try:
            desk.catalogue.account(text)
            return go("buyers.account", id=text)
        except ForewordError:
            return go("buyers.page", missed=text)

    @pages.get("/buyer")
    @needs(Role.EDITOR)
    def buyer() -> str:
        who = _id()
        key = {"user_id": who}
        if is_fragment():
            return render_template("standing.html", **_standing(key))
        return render_template(
            "buyer.html",
            buyer=desk.catalogue.buyer(who),
            id=who,
            endpoint="buyers.buyer",
            key=key,
            **_standing(key),
            **_slider(),
        )

    @pages.get("/account")
    @needs(Role.EDITOR)
    def account() -> str:
        which = _id()
        key = {"account_id": which}
        if is_fragment():
            return render_template("standing.html", **_standing(key))
        return render_template(
            "account.html",
            account=desk.catalogue.account(which),
            id=which,
            endpoint="buyers.account",
            key=key,
            **_standing(key),
            **_slider(),
        )

    @pages.get("/buyers/signals")
    @needs(Role.EDITOR)
    def signals() -> str:
        """What the people of an account did, in time; beside the page, since each of them is asked for."""
        group = desk.catalogue.account(request.args.get("account_id", ""))["buying_group"]
        known = [member for member in group if member["user_id"]]
        latest = sorted(known, key=lambda one: str(one["last_seen_at"] or ""), reverse=True)[:_MOST_PEOPLE]
        found = [signal for member in latest for signal in _signals_of(member["user_id"])]
        newest = sorted(found, key=lambda one: str(one["at"]), reverse=True)[:_MOST_SIGNALS]
        return render_template("account_signals.html", signals=newest, people=len(latest), known=len(known))

    def _signals_of(user_id: str) -> list[Document]:
        try:
            return [{**one, "who": user_id} for one in desk.catalogue.buyer(user_id)["recent_signals"]]
        except NotFound:
            return []  # erased since the account was read

    @pages.get("/buyers/history")
    @needs(Role.EDITOR)
    def history() -> str:
        """Beside the page: nineteen replays of a log take longer than anybody should wait for a page."""
        kind = "account_id" if "account_id" in request.args else "user_id"
        return render_template("stage_history.html", history=_history({kind: request.args.get(kind, "")}))

    def _slider() -> dict[str, Any]:
        return {"months": _MONTHS, "month": _months_ago(), "now": desk.clock()}

    def _standing(key: Document) -> dict[str, Any]:
        """What would be recommended, and the stage, at the moment that the slider asks for.

        As a preview: what colleagues look at must not count as what buyers were answered.
        """
        ago = _months_ago()
        at = None if ago == 0 else desk.clock() - ago * _STEP
        asked = {**key, "count": 5, "explain": "summary", "placement": "studio"}
        if at is not None:
            asked["as_of"] = at.isoformat()
        try:
            return {
                "answer": desk.catalogue.try_placement({}, asked),
                "at": at or desk.clock(),
                "problem": "",
            }
        except ForewordError as error:
            return {"answer": None, "at": at or desk.clock(), "problem": error.detail}

    def _months_ago() -> int:
        return min(_MONTHS, natural(request.args.get("ago", "")) or 0)

    def _history(key: Document) -> list[tuple[datetime, dict[str, float]]]:
        """The stage at the end of each month, by the code that would have answered then."""
        now = desk.clock()
        moments = [now - back * _STEP for back in range(_MONTHS, -1, -1)]
        asked = [{**key, "count": 1, "as_of": at.isoformat(), "placement": "studio"} for at in moments]
        try:
            answers = desk.catalogue.recommend_many(asked)
        except ForewordError:
            return []
        return [
            (at, answer["stage"]["distribution"])
            for at, answer in zip(moments, answers, strict=False)
            if isinstance(answer.get("stage"), dict)
        ]

    return pages


def _id() -> str:
    found = request.args.get("id", "")
    if not found:
        raise NotFound("This address names nobody.")
    return found
