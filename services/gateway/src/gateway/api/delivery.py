"""Where Foreword meets the firm's own channels: website, email and webhooks."""

from __future__ import annotations

from gateway.api import email, webhooks, widget
from gateway.parts import Parts
from gateway.recommending import AnswerMaker
from gateway.routing import Route


def routes(parts: Parts, answers: AnswerMaker) -> tuple[Route, ...]:
    return (*widget.routes(parts), *email.routes(parts, answers), *webhooks.routes(parts))
