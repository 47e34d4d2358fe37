"""What the property sheet of an Office file says, without what programs put there by themselves."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Protocol

from recommender.extraction.content import moment
from recommender.extraction.prose import one_line

_JUNK_TITLE = re.compile(
    r"^(powerpoint[- ]?(presentation|präsentation)|word document|untitled|unbenannt|title|titel|document\d*"
    r"|dokument\d*|presentation\d*|präsentation\d*|slide \d+)$|\.(docx?|pptx?|dotx?|potx?)$",
    re.IGNORECASE,
)
_MIN_DESCRIPTION_CHARACTERS = 40
# The creation times inside the templates that python-docx and python-pptx ship: every file made with these
# libraries carries one of them unless its maker sets another, and none was published then.
_TEMPLATE_MOMENTS = frozenset(
    {datetime(2013, 12, 23, 23, 15, tzinfo=UTC), datetime(2013, 1, 27, 9, 14, 16, tzinfo=UTC)}
)


class CoreProperties(Protocol):
    """The part of an Office file's core properties that is of use here."""

    @property
    def title(self) -> str: ...
    @property
    def comments(self) -> str: ...
    @property
    def language(self) -> str: ...
    @property
    def created(self) -> datetime | None: ...


@dataclass(frozen=True, slots=True)
class OfficeProperties:
    title: str | None = None
    description: str | None = None
    language: str | None = None
    created_at: datetime | None = None


def office_properties(core: CoreProperties) -> OfficeProperties:
    """The usable properties; a property sheet that cannot be read counts as an empty one."""
    try:
        title, description, language, created = core.title, core.comments, core.language, core.created
    except (ValueError, TypeError, AttributeError, KeyError, OverflowError):
        return OfficeProperties()
    title, description = one_line(title or ""), one_line(description or "")
    created_at = moment(created)
    return OfficeProperties(
        title=title if title and not _JUNK_TITLE.search(title) else None,
        description=description if len(description) >= _MIN_DESCRIPTION_CHARACTERS else None,
        language=language or None,
        created_at=None if created_at in _TEMPLATE_MOMENTS else created_at,
    )
