"""From what an editor sends to the record that is kept: text cleaned, type guessed, language detected."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

import orjson

from contract.assets import AssetFields, AssetOutput, AssetPatch, EmbeddingStatus, StageEstimate
from recommender.domain.assets import AssetRecord, StoredAsset, guess_type
from recommender.domain.catalogue import STAGES, Catalogue
from recommender.domain.errors import EquivalenceInvalid
from recommender.extraction.cleaning import plain_text
from recommender.extraction.language import detect_language
from servicekit.errors import FieldProblem, Unprocessable
from servicekit.wire import parse

_LOOKS_LIKE_HTML = re.compile(
    r"<(p|div|br|h[1-6]|ul|ol|li|table|a|span|script|style|body|html|b|i|em|img)\b", re.I
)

# A backslash before it makes it six plain characters.
_ZERO_BYTE = re.compile(rb"(?<!\\)(?:\\\\)*\\u0000")


def _text(value: str | None) -> str | None:
    if value is None or not value.strip():
        return None
    cleaned = plain_text(value) if _LOOKS_LIKE_HTML.search(value) else value
    return cleaned.strip() or None


def record_of(asset_id: str, fields: AssetFields) -> AssetRecord:
    """The record of a PUT, an import line or an upload.

    Raises EquivalenceInvalid, and Unprocessable for metadata that cannot be kept.
    """
    _require_storable(fields.metadata)
    if fields.equivalent_to == asset_id:
        raise EquivalenceInvalid("An asset cannot be equivalent to itself; leave equivalent_to out.")
    title = _text(fields.title) or fields.title
    summary, body = _text(fields.summary), _text(fields.body)
    language = fields.language or detect_language("\n".join(filter(None, (title, summary, body))))
    return AssetRecord(
        asset_id=asset_id,
        title=title,
        url=fields.url,
        summary=summary,
        body=body,
        type=fields.type or guess_type(title, fields.url),
        language=language,
        topics=_tags(fields.topics),
        personas=_tags(fields.personas),
        industries=_tags(fields.industries),
        regions=_tags(fields.regions),
        stages=None if fields.stages is None else {str(k): v for k, v in fields.stages.items()},
        status=fields.status,
        publish_at=fields.publish_at,
        expires_at=fields.expires_at,
        image_url=fields.image_url,
        equivalent_to=fields.equivalent_to,
        metadata=fields.metadata,
    )


def _require_storable(metadata: Mapping[str, Any]) -> None:
    """Refuse what the database's JSON cannot hold; everything else about a field is checked by its type."""
    reason = None
    try:
        if _ZERO_BYTE.search(orjson.dumps(metadata)):
            reason = "holds a NUL character"
    except TypeError:
        reason = "is nested too deeply or holds an integer beyond 64 bits"
    if reason is not None:
        raise Unprocessable(
            f"The metadata {reason}, which cannot be stored.",
            code="fields_invalid",
            fields=[FieldProblem("/metadata", "not_storable", f"The metadata {reason}.")],
        )


def _tags(values: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(values))


def patched(record: AssetRecord, patch: AssetPatch) -> AssetFields:
    """The fields of a record with those of a patch laid over; null empties a field.

    Raises Unprocessable where the two together make no sense.
    """
    current = fields_of(record)
    for name in patch.model_fields_set:
        value = getattr(patch, name)
        default = AssetFields.model_fields[name].get_default(call_default_factory=True)
        current[name] = default if value is None and name not in {"title", "url"} else value
    return parse(AssetFields, current)


def fields_of(record: AssetRecord) -> dict[str, Any]:
    """A record under the names of the contract, without the id."""
    return {name: getattr(record, name) for name in AssetFields.model_fields}


def output_of(stored: StoredAsset, catalogue: Catalogue) -> AssetOutput:
    """A stored asset as the contract shows it; the stage estimate is the one that ranking uses."""
    row = catalogue.row_of.get(stored.record.asset_id)
    estimate = None
    if row is not None:
        weights = {name: round(float(p), 4) for name, p in zip(STAGES, catalogue.stage[row], strict=True)}
        estimate = StageEstimate(distribution=weights, source=catalogue.cards[row].stage_source)
    return AssetOutput.model_construct(
        **fields_of(stored.record),
        id=stored.record.asset_id,
        stage_estimate=estimate,
        embedding=EmbeddingStatus(
            model=stored.embedding_model, state="ready" if stored.embedding_model else "pending"
        ),
        revision=stored.revision,
        created_at=stored.created_at,
        updated_at=stored.updated_at,
    )


def document_of(output: AssetOutput) -> Mapping[str, Any]:
    """JSON-ready fields of an asset."""
    return output.model_dump(exclude_none=False)
