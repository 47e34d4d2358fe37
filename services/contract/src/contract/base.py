"""What every wire model has in common: unknown fields are refused, ids and times are checked once."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Annotated, Literal

from pydantic import (
    AfterValidator,
    AwareDatetime,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    StringConstraints,
)


class WireModel(BaseModel):
    """Frozen, and strict about names: a misspelt field is an error and not silence."""

    model_config = ConfigDict(extra="forbid", frozen=True, populate_by_name=True, hide_input_in_errors=True)


def _printable(value: str) -> str:
    if not value.isprintable():
        raise ValueError("use printable characters only")
    if value in {".", ".."}:
        raise ValueError("'.' and '..' cannot be ids: clients and proxies fold them away in a path")
    return value


def storable(value: str) -> str:
    if "\x00" in value:
        raise ValueError("the NUL character cannot be stored")
    try:
        value.encode()
    except UnicodeEncodeError as error:
        raise ValueError("this text holds half of a surrogate pair, which is not Unicode") from error
    return value


def _written(value: object) -> object:
    """A bare number may be seconds or milliseconds, and a string of digits may be a year."""
    if isinstance(value, int | float) or (isinstance(value, str) and "-" not in value[1:]):
        raise ValueError("write a time as RFC 3339 has it, such as 2026-01-31T12:00:00Z")
    return value


def _utc(value: datetime) -> datetime:
    try:
        return value.astimezone(UTC)
    except OverflowError as error:
        raise ValueError("this time is outside the calendar") from error


# Without this "5" would be taken for five and true for one, which the schema that clients read refuses.
Whole = Annotated[int, Field(strict=True)]
Number = Annotated[float, Field(strict=True)]
Flag = Annotated[bool, Field(strict=True)]
Id = Annotated[str, StringConstraints(min_length=1, max_length=200), AfterValidator(_printable)]
# What the validators say, as far as a schema can say it.
_NO_NUL = Field(json_schema_extra={"pattern": r"^[^\u0000]*$"})
# What is stripped is white space as Unicode has it; \s means a little more in some languages.
_BLANK = r"\t-\r \u0085\u00a0\u1680\u2000-\u200a\u2028\u2029\u202f\u205f\u3000"
NOT_BLANK = Field(json_schema_extra={"pattern": rf"^[^\u0000]*[^\u0000{_BLANK}][^\u0000]*$"})
Text = Annotated[str, AfterValidator(storable), _NO_NUL]
Tag = Annotated[
    str,
    StringConstraints(min_length=1, max_length=100, strip_whitespace=True),
    AfterValidator(storable),
    NOT_BLANK,
]
Time = Annotated[AwareDatetime, BeforeValidator(_written), AfterValidator(_utc)]
Url = Annotated[
    str, StringConstraints(max_length=2000, pattern=r"^https?://[^\s]+$"), AfterValidator(storable)
]

StageName = Literal["awareness", "consideration", "decision", "customer"]
BuyerStage = Literal["awareness", "consideration", "decision", "customer", "renewal", "nurture", "unknown"]
