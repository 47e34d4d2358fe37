"""Email on the wire: which slot of which mail to whom, so that opening it again shows the same assets."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, StringConstraints

from contract.base import Id, Text, Whole, WireModel
from contract.recommendations import Channel, RecommendationRequest, RecommendationResponse

EmailFormat = Literal["html", "text", "json"]
MAX_SLOT_COUNT = 10


class EmailSlotRequest(RecommendationRequest):
    """A recommendation request for one slot of one mail; what was chosen is kept."""

    send_id: Id = Field(description="The mailing, e.g. `newsletter-2026-06`: one id for one send.")
    slot: Id = Field("1", description="The place in the mail, where it has several.")
    placement: Id = "email"
    channel: Channel = "email"
    count: Whole = Field(3, ge=1, le=MAX_SLOT_COUNT)


class EmailBlockRequest(EmailSlotRequest):
    """An email slot, and how it is to look."""

    format: EmailFormat = "html"
    heading: Annotated[Text, StringConstraints(max_length=200)] = "Recommended for you"
    accent: Annotated[str, StringConstraints(pattern=r"^#[0-9a-fA-F]{6}$")] = Field(
        "#0b6e5f", description="Colour of kind and link, e.g. `#0b6e5f`."
    )
    opens: Literal["count", "none"] = Field(
        "count", description="Whether a one-pixel image tells that the mail was opened."
    )


class EmailBlock(WireModel):
    """`format=json`: the block in both forms, and the answer that it was made from."""

    html: str
    text: str
    view_url: str = Field(description="The block as a page, for `view in browser`.")
    answer: RecommendationResponse


class EmailRecipient(WireModel):
    kind: Literal["user", "anonymous"]
    id: Id


class EmailRecipients(WireModel):
    """Whose accounts the gateway asks the recommender for, so that a batch repeats nothing inside one."""

    recipients: Annotated[tuple[EmailRecipient, ...], Field(max_length=1_000)]


class Replacement(WireModel):
    """What an asset is shown as now: itself, or its equivalent once it has expired."""

    id: Id
    url: str
