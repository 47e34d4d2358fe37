"""The OpenAI embeddings API on the wire: the request as a model, the answer and its errors as bytes."""

from __future__ import annotations

import binascii
from typing import Annotated, Any, Literal

import numpy as np
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field
from pydantic_core import PydanticCustomError

from embedder.encoder import Encoder, Vectors, normalised
from servicekit import errors
from servicekit.wire import dumps


def _texts(value: Any) -> Any:
    """A string is a list of one; token arrays get a sentence of their own, since clients do send them."""
    listed = [value] if isinstance(value, str) else value
    if not isinstance(listed, list):
        raise PydanticCustomError("input_type", "Send a string or a list of strings.")
    if not listed:
        raise PydanticCustomError("input_empty", "The list is empty; send at least one text.")
    for text in listed:
        if isinstance(text, int | list) and not isinstance(text, bool):
            raise PydanticCustomError(
                "token_arrays", "Token arrays are not taken, since tokens mean another text to each model."
            )
        if not isinstance(text, str):
            raise PydanticCustomError("input_type", "Each element must be a string.")
    return listed


class EmbeddingRequest(BaseModel):
    """`POST /v1/embeddings`; `user` is taken, since clients send it, and not used or kept."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    input: Annotated[list[str], BeforeValidator(_texts)]
    model: str | None = None
    encoding_format: Literal["float", "base64"] = "float"
    dimensions: int | None = Field(None, ge=1)
    user: str | None = None


def shortened(vectors: Vectors, dimensions: int) -> Vectors:
    """The first `dimensions` components, of norm 1 again: float32 [n, dimensions]."""
    if dimensions == vectors.shape[1]:
        return vectors
    return normalised(np.ascontiguousarray(vectors[:, :dimensions]))


def embeddings_document(vectors: Vectors, *, encoding_format: str, model_id: str, token_count: int) -> bytes:
    """The answer as JSON. base64 is of little-endian float32; neither form touches a float in Python."""
    rows = np.ascontiguousarray(vectors, dtype="<f4")
    embeddings: list[Any] = list(rows)
    if encoding_format == "base64":
        embeddings = [binascii.b2a_base64(row.data, newline=False).decode("ascii") for row in rows]
    return dumps(
        {
            "object": "list",
            "data": [
                {"object": "embedding", "index": index, "embedding": embedding}
                for index, embedding in enumerate(embeddings)
            ],
            "model": model_id,
            "usage": {"prompt_tokens": token_count, "total_tokens": token_count},
        }
    )


def model_document(encoder: Encoder) -> dict[str, object]:
    """One entry of `GET /v1/models`; the last four fields are ours."""
    return {
        "id": encoder.model_id,
        "object": "model",
        "created": 0,
        "owned_by": "foreword",
        "name": encoder.model_id.rpartition("@")[0],
        "revision": encoder.revision,
        "dimension": encoder.dimension,
        "max_tokens": encoder.max_tokens,
    }


def error_document(error: errors.ForewordError, *, instance: str, request_id: str) -> dict[str, object]:
    """Our problem document with OpenAI's `error` member, where its clients look for code and param."""
    document = errors.problem_document(error, instance=instance, request_id=request_id)
    first = error.fields[0] if error.fields else None
    document["error"] = {
        "message": error.detail if first is None else f"{first.pointer.lstrip('/')}: {first.detail}",
        "type": "invalid_request_error" if error.status < 500 else "server_error",
        "code": error.code if first is None else first.code,
        "param": None if first is None else first.pointer.lstrip("/"),
    }
    return document
