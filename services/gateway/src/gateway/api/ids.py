"""Ids in paths: any printable text, checked before it goes anywhere."""

from __future__ import annotations

from typing import Any

from pydantic import TypeAdapter, ValidationError

from contract.base import Id
from servicekit.errors import Unprocessable
from servicekit.wire import field_problems

_ID: TypeAdapter[Any] = TypeAdapter(Id)


def checked(value: str) -> str:
    """The id as it is. Raises `Unprocessable` for what no id can be."""
    try:
        found: str = _ID.validate_python(value)
    except ValidationError as error:
        raise Unprocessable(
            "The id in the path must be 1 to 200 printable characters.",
            code="id_invalid",
            fields=field_problems(error, "/id"),
        ) from error
    return found
