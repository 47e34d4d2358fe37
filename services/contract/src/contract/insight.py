"""What became of assets, and what was asked for that there is not: figures for the content team."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from contract.base import BuyerStage, Id, StageName, Time, WireModel
from contract.recommendations import Tier


class Unmet(WireModel):
    """Answers that lacked what the buyer needed. An account unknown counts by its buyer."""

    unmet_accounts: int = 0
    unmet_buyers: int = 0
    unmet_answers: int = 0


class CoverageCell(Unmet):
    by: Literal["persona", "topic"]
    value: str
    stage: StageName
    assets: int


class UnmetNeed(Unmet):
    """A stage, role and topic together; null where the buyer's role or topic is not known."""

    stage: StageName
    persona: str | None
    topic: str | None
    assets: int = Field(description="Live assets that fit all three; null ones are left aside.")


class ListedAsset(WireModel):
    id: Id
    title: str
    url: str
    type: str
    stage: StageName
    published_at: Time | None


class FallbackTopic(WireModel):
    """What the pages were about on which strangers got an answer made for anybody."""

    topic: str
    answers: int


class CoverageOutput(WireModel):
    """Live assets beside unmet demand. Demand is read from the last `days` of answers."""

    assets: int
    by_stage: dict[StageName, int]
    days: int
    since: Time
    answers: int
    weak_answers: int = Field(description="Short, made for anybody, or without what the buyer needs.")
    fallback_answers: int = Field(description="Made for anybody: nothing was known, or a part was away.")
    cells: tuple[CoverageCell, ...]
    gaps: tuple[CoverageCell, ...] = Field(description="Cells without an asset, most asked for first.")
    unmet: tuple[UnmetNeed, ...] = Field(description="Most asked for first, at most 100.")
    fallback_topics: tuple[FallbackTopic, ...]
    never_shown: tuple[ListedAsset, ...] = Field(
        description="Live, and in no answer of these days; at most 100."
    )
    never_shown_count: int
    old: tuple[ListedAsset, ...] = Field(description="Live and published more than a year ago; at most 100.")
    old_count: int


class StageMove(WireModel):
    """Of the buyers who engaged with the asset: where they stood before, and 30 days later or now."""

    from_stage: BuyerStage
    to_stage: BuyerStage
    buyers: int


class ShownTo(WireModel):
    at: Time
    user_id: str | None
    account_id: str | None
    stage: StageName | None
    placement: str
    rank: int


class SimilarAsset(WireModel):
    id: Id
    title: str
    url: str
    similarity: float


class AssetInsight(WireModel):
    """An asset's figures over the last `days`; what crawlers did does not count."""

    id: Id
    days: int
    since: Time
    recommended: int = Field(description="Answers that held it.")
    buyers: int = Field(description="Known buyers whom these answers were for.")
    accounts: int
    impressions: int = Field(description="Times that a buyer saw it recommended.")
    clicks: int
    click_rate: float | None = Field(description="Clicks per impression; null without impressions.")
    engaged_buyers: int = Field(description="Buyers who read, watched or downloaded it.")
    engaged_accounts: int
    never_shown: bool
    by_placement: dict[str, int]
    by_stage: dict[StageName, int] = Field(description="Answers that held it, by the stage of the buyer.")
    by_tier: dict[Tier, int]
    stage_moves: int = Field(description="Buyers who stood further on 30 days after they engaged with it.")
    moves: tuple[StageMove, ...]
    moves_of: int = Field(description="Buyers whom `moves` looks at: the latest 300 who engaged with it.")
    shown_to: tuple[ShownTo, ...] | None = Field(
        description="The latest, newest first; null for keys without `buyers:read`."
    )
    similar: tuple[SimilarAsset, ...]
