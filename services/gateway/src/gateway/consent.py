"""How far a recommendation may know its buyer: `none`, `contextual` or `profile`, and no further."""

from __future__ import annotations

from typing import TypeVar

from contract.recommendations import PageContext, RecommendationRequest

_MOST_EXCLUDED = 500  # as the contract has it
Asked = TypeVar("Asked", bound=RecommendationRequest)


def limited(request: Asked, *, privacy_signal: bool) -> Asked:
    """The request with no more in it than the buyer allows.

    Without consent to a profile the buyer's ids are taken out here, at the edge: no profile is read, the
    answer is logged under nobody, and its click links name nobody. `Sec-GPC: 1` (`privacy_signal`) is a no to
    profiles. Consent that was stored with signals is honoured by the recommender besides.
    """
    allowed = request.consent
    if privacy_signal and allowed == "profile":
        allowed = "contextual"
    if allowed == "profile":
        return request
    nobody = {"user_id": None, "anonymous_id": None, "account_id": None, "user_token": None}
    changes: dict[str, object] = {**nobody, "consent": allowed}
    if allowed == "none":
        # The page itself says nothing about the buyer, and is still no recommendation on itself.
        page = request.context.asset_id
        changes["context"] = PageContext()
        if page is not None:
            changes["exclude_ids"] = (page, *request.exclude_ids)[:_MOST_EXCLUDED]
    return request.model_copy(update=changes)
