"""What the ranking is told of a buyer: the same for a page, for an email batch and for a preview."""

from __future__ import annotations

from recommender.domain.identities import role_of
from recommender.domain.profile import empty_profile
from recommender.domain.ranking_request import RankRequest
from recommender.numeric.account_profile import merge_profiles
from recommender.service.buyer_view import BuyerView
from recommender.service.estimates import StageEstimate


def rank_request_of(view: BuyerView, estimate: StageEstimate) -> RankRequest:
    """The buyer's part of a request; who may not be profiled is a stranger to the ranking."""
    account_profile = None
    if view.account is not None:
        others = [m.state.profile for m in view.account.members if m.buyer_id != view.buyer_id]
        account_profile = merge_profiles(others)
    traits = view.traits
    industry = traits.get("industry")
    if industry is None and view.account is not None:
        industry = view.account.row.traits.get("industry")
    language = traits.get("language") or traits.get("locale")
    allowed = view.may_profile
    return RankRequest(
        profile=view.state.profile if allowed else empty_profile(),
        stage=estimate.raw if estimate.known and allowed else None,
        account_profile=account_profile if allowed else None,
        persona=role_of(traits),
        industry=industry.lower() if isinstance(industry, str) else None,
        language=language[:2].lower() if isinstance(language, str) and language else None,
        personalise=allowed,
    )
