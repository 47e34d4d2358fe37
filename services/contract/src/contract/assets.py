"""Assets on the wire: what a content team sends, and what it reads back."""

from __future__ import annotations

from typing import Annotated, Any, Literal, Self, get_args

from pydantic import AfterValidator, Field, StringConstraints, field_validator, model_validator
from pydantic.json_schema import SkipJsonSchema

from contract.base import (
    NOT_BLANK,
    BuyerStage,
    Id,
    Number,
    StageName,
    Tag,
    Text,
    Time,
    Url,
    WireModel,
    storable,
)

AssetStatus = Literal["draft", "approved", "archived"]
EmbeddingState = Literal["pending", "ready"]
MAX_BODY_CHARACTERS = 2_000_000
Tags = Annotated[tuple[Tag, ...], Field(max_length=50)]
# Stripped first and counted then: what is blank is no title.
Title = Annotated[
    str,
    StringConstraints(min_length=1, max_length=500, strip_whitespace=True),
    AfterValidator(storable),
    NOT_BLANK,
]
Summary = Annotated[Text, StringConstraints(max_length=4_000)]
Body = Annotated[Text, StringConstraints(max_length=MAX_BODY_CHARACTERS)]
Type = Annotated[str, StringConstraints(max_length=60, pattern=r"^[a-z][a-z0-9_]*$")]
Language = Annotated[str, StringConstraints(pattern=r"^[a-z]{2,3}(-[A-Za-z0-9]{2,8})*$")]
Weight = Annotated[Number, Field(ge=0, le=1_000_000, allow_inf_nan=False)]
Stages = Annotated[
    dict[StageName, Weight],
    Field(
        json_schema_extra={
            "anyOf": [
                {"required": [stage], "properties": {stage: {"type": "number", "exclusiveMinimum": 0}}}
                for stage in get_args(StageName)
            ]
        }
    ),
]


class AssetFields(WireModel):
    """What may be written; every field but the title has a default or is worked out."""

    title: Title = Field(description="Shown to buyers.")
    summary: Summary | None = None
    body: Body | None = Field(None, description="Plain text or HTML; scripts are dropped, never executed.")
    url: Url = Field(description="Where the asset lives; click links lead here and nowhere else.")
    type: Type | None = Field(None, description="blog, whitepaper, case_study, …; guessed when missing.")
    language: Language | None = Field(None, description="ISO 639-1; detected when missing.")
    topics: Tags = ()
    personas: Tags = ()
    industries: Tags = ()
    regions: Tags = ()
    stages: Stages | None = Field(
        None, description="An editor's word on the stage, as weights; it wins over the model's."
    )
    status: AssetStatus = "approved"
    publish_at: Time | None = None
    expires_at: Time | None = None
    image_url: Url | None = None
    equivalent_to: Id | None = Field(None, description="The same content in another form or language.")
    metadata: dict[Annotated[str, Field(max_length=100)], Any] = Field(default_factory=dict)

    @field_validator("stages")
    @classmethod
    def _some_stage(cls, value: dict[str, float] | None) -> dict[str, float] | None:
        if value is not None and sum(value.values()) <= 0:
            raise ValueError("give at least one stage a weight above 0, or leave the field out")
        return value

    @model_validator(mode="after")
    def _expires_after_publication(self) -> Self:
        if self.publish_at and self.expires_at and self.expires_at <= self.publish_at:
            raise ValueError("expires_at must be later than publish_at")
        return self


class AssetInput(AssetFields):
    """The body of PUT, a line of an import. The id may stand in the path instead."""

    id: Id | None = None


def _left_out(schema: dict[str, Any]) -> None:
    """Null is our word for what was not sent, and nothing that may be sent."""
    del schema["default"]


class AssetPatch(WireModel):
    """The body of PATCH: only the fields that change; null empties a field, if it can be empty."""

    title: Title | SkipJsonSchema[None] = Field(None, json_schema_extra=_left_out)
    summary: Summary | None = None
    body: Body | None = None
    url: Url | SkipJsonSchema[None] = Field(None, json_schema_extra=_left_out)
    type: Type | None = None
    language: Language | None = None
    topics: Tags | None = None
    personas: Tags | None = None
    industries: Tags | None = None
    regions: Tags | None = None
    stages: Stages | None = None
    status: AssetStatus | None = None
    publish_at: Time | None = None
    expires_at: Time | None = None
    image_url: Url | None = None
    equivalent_to: Id | None = None
    metadata: dict[str, Any] | None = None


class StageEstimate(WireModel):
    distribution: dict[StageName, float]
    source: Literal["editor", "model", "learned"]


class EmbeddingStatus(WireModel):
    model: str | None
    state: EmbeddingState


class AssetOutput(AssetFields):
    """An asset as it is stored, with what Foreword worked out."""

    id: Id
    stage_estimate: StageEstimate | None
    embedding: EmbeddingStatus
    revision: int
    created_at: Time
    updated_at: Time


class AssetPage(WireModel):
    assets: tuple[AssetOutput, ...]
    next_page_token: str | None
    total: int = Field(description="How many assets match, over all pages.")


class PreviewWarning(WireModel):
    code: str
    detail: str


class NearDuplicate(WireModel):
    """An asset that says nearly the same as a draft, or lives at the same address."""

    id: Id
    title: str
    url: str
    similarity: float = Field(description="Cosine of the two texts' embeddings; 1 is the same text.")
    same_url: bool


class AudienceCount(WireModel):
    buyers: int
    accounts: int


class Audience(WireModel):
    """Who would have the draft among their top places if it were approved now."""

    buyers: int
    accounts: int
    by_stage: dict[BuyerStage, AudienceCount] = Field(
        description="By the buyer's stage; an account counts wherever one of its buyers stands."
    )
    places: int = Field(description="How many places of an answer count as the top.")
    sampled: int = Field(description="Buyers that were ranked for: the most recently active ones.")
    sampled_of: int = Field(description="Buyers that are known.")


class AssetPreview(WireModel):
    """What a draft would be if it were stored and approved; nothing was stored."""

    id: Id | None
    type: str
    type_source: Literal["editor", "guessed"]
    language: str | None
    language_source: Literal["editor", "detected", "unknown"]
    stage_estimate: StageEstimate
    near_duplicates: tuple[NearDuplicate, ...]
    audience: Audience
    warnings: tuple[PreviewWarning, ...] = ()


class ImportResult(WireModel):
    """One line of the answer of `assets:import` and `assets:upload`."""

    line: int | None = Field(None, description="1-based line or row of the input.")
    filename: str | None = None
    id: str | None = None
    result: Literal["stored", "unchanged", "failed"]
    asset: AssetOutput | None = None
    code: str | None = None
    detail: str | None = None
    errors: tuple[dict[str, str], ...] = ()
    warnings: tuple[str, ...] = ()


class NamedAssets(WireModel):
    """Which assets the gateway's studio asks the recommender for at once."""

    ids: Annotated[tuple[Id, ...], Field(min_length=1, max_length=100)]
