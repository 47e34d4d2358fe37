"""How values look on the studio's pages: dates with their zone, shares, names of types and stages."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any
from urllib.parse import urlsplit

from flask import Flask, g

from gateway.studio.charts import bars, stage_track, stages_over_time, trend
from gateway.studio.editing import take_undo
from gateway.studio.score_words import score_rows, tier_words

STAGES = ("awareness", "consideration", "decision", "customer")
STATUSES = ("draft", "approved", "archived")
TYPES = (
    "analyst_report", "blog", "brochure", "buyers_guide", "calculator", "case_study", "checklist",
    "comparison", "data_sheet", "ebook", "how_to", "implementation_guide", "infographic", "news",
    "podcast", "pricing", "product_page", "release_notes", "trial", "video", "webinar", "whitepaper",
)  # fmt: skip


def moment(value: Any) -> datetime | None:
    if isinstance(value, datetime):
        return value
    if not isinstance(value, str) or not value:
        return None
    try:
        at = datetime.fromisoformat(value)
    except ValueError:
        return None
    return at if at.tzinfo else at.replace(tzinfo=UTC)


def when(value: Any) -> str:
    at = moment(value)
    return f"{at.day} {at:%b %Y, %H:%M} UTC" if at else "–"


def day(value: Any) -> str:
    at = moment(value)
    return f"{at.day} {at:%b %Y}" if at else "–"


def for_input(value: Any) -> str:
    """As `<input type="datetime-local">` takes it, in UTC."""
    at = moment(value)
    return f"{at.astimezone(UTC):%Y-%m-%dT%H:%M}" if at else ""


def words(value: Any) -> str:
    """`case_study` → `Case study`."""
    text = str(value or "").replace("_", " ").strip()
    return text[:1].upper() + text[1:]


def share(value: Any) -> str:
    return f"{float(value):.0%}" if isinstance(value, int | float) else "–"


def web_address(value: Any) -> str:
    """An address that may stand in `href`: http and https alone, whatever is stored."""
    text = str(value or "")
    return text if text.lower().startswith(("http://", "https://")) else ""


def host_of(value: Any) -> str:
    try:
        parts = urlsplit(str(value or ""))
    except ValueError:
        return str(value)
    return parts.netloc + (parts.path if len(parts.path) > 1 else "")


def leading_stage(asset: dict[str, Any]) -> str:
    estimate = asset.get("stage_estimate") or {}
    distribution = estimate.get("distribution") or {}
    return max(distribution, key=lambda name: distribution[name]) if distribution else ""


def listed(value: Any) -> str:
    return ", ".join(str(v) for v in value) if isinstance(value, list | tuple) else ""


def init_app(app: Flask) -> None:
    app.jinja_env.filters.update(
        when=when, day=day, for_input=for_input, words=words, share=share, web_address=web_address,
        host_of=host_of, leading_stage=leading_stage, listed=listed,
        score_rows=score_rows, tier_words=tier_words,
    )  # fmt: skip
    app.jinja_env.globals.update(
        STAGES=STAGES, STATUSES=STATUSES, TYPES=TYPES, bars=bars, stage_track=stage_track,
        stages_over_time=stages_over_time, trend=trend, take_undo=take_undo,
    )  # fmt: skip

    @app.context_processor
    def who() -> dict[str, Any]:
        return {"user": g.get("user")}
