"""What goes over the pipes between the sandbox and its workers: frames, and the JSON in them.

A frame is its length (4 bytes, big-endian) and that many bytes. A job is two frames: a JSON head, then the
file. An answer is one frame of JSON: `{"extracted": …}` or `{"error": {"code", "message"}}`, and always
`"fit"`: whether the worker may take another job.
"""

from __future__ import annotations

import json
import struct
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any

from recommender.extraction.content import Extracted, Metadata
from recommender.extraction.errors import ExtractionError, ReaderFailed, error_from_code
from recommender.extraction.limits import Limits

LENGTH = struct.Struct(">I")


@dataclass(frozen=True, slots=True)
class JobHead:
    filename: str
    declared_type: str | None
    limits: Limits


@dataclass(frozen=True, slots=True)
class Answer:
    """Either side of an answer is None."""

    extracted: Extracted | None
    error: ExtractionError | None
    fit: bool


def frame(payload: bytes) -> bytes:
    return LENGTH.pack(len(payload)) + payload


def encode_head(head: JobHead) -> bytes:
    return json.dumps(asdict(head)).encode()


def decode_head(payload: bytes) -> JobHead:
    loaded = json.loads(payload)
    return JobHead(loaded["filename"], loaded["declared_type"], Limits(**loaded["limits"]))


def encode_extracted(extracted: Extracted, fit: bool) -> bytes:
    fields = asdict(extracted)
    published_at = extracted.metadata.published_at
    fields["metadata"]["published_at"] = published_at.isoformat() if published_at else None
    return json.dumps({"extracted": fields, "fit": fit}, ensure_ascii=False).encode("utf-8", "replace")


def encode_error(error: ExtractionError, fit: bool) -> bytes:
    return json.dumps({"error": {"code": error.code, "message": error.message}, "fit": fit}).encode()


def decode_answer(payload: bytes) -> Answer:
    """The answer in a frame; raises ReaderFailed when a worker, perhaps taken over, sends anything else."""
    try:
        loaded: Any = json.loads(payload)
        fit = loaded["fit"] is True
        if "error" in loaded:
            error = error_from_code(str(loaded["error"]["code"]), str(loaded["error"]["message"]))
            return Answer(None, error, fit)
        fields: dict[str, Any] = loaded["extracted"]
        metadata: dict[str, Any] = fields.pop("metadata")
        published_at = metadata.pop("published_at")
        return Answer(
            Extracted(
                **{**fields, "warnings": tuple(fields["warnings"])},
                metadata=Metadata(
                    published_at=datetime.fromisoformat(published_at) if published_at else None, **metadata
                ),
            ),
            None,
            fit,
        )
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise ReaderFailed("The reader gave no usable answer; upload the file again.") from error
