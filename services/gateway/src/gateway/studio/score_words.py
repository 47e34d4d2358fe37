"""What an answer was made from and what a score is made of, in a marketer's words."""

from __future__ import annotations

from collections.abc import Mapping

_TIERS = {
    "personal": "Chosen for this buyer",
    "account": "Chosen for their account",
    "stage": "Chosen for their buying stage",
    "popular": "What is popular now",
    "static": "The fixed list",
}
_TERMS = {
    "stage_fit": "fits their buying stage",
    "progress": "helps to the next stage",
    "interest_recent": "like what they read of late",
    "interest_long": "like what they read over months",
    "interest_attention": "like single pieces they read",
    "interest_account": "like what colleagues read",
    "interest_unproven": "interest in what few have read",
    "context": "fits the page they are on",
    "query": "fits what they asked for",
    "quality": "clicked when shown",
    "fresh_day": "new within days",
    "fresh_month": "new within months",
    "newness": "newer than most",
    "just_read": "follows what they just read",
    "since_last_visit": "new since their last visit",
    "popular_hours": "popular within hours",
    "popular_day": "popular today",
    "popular_days": "popular these days",
    "popular_weeks": "popular these weeks",
    "popular_season": "popular this season",
    "together": "read together with theirs",
    "together_recent": "read together of late",
    "walk": "near what their peers read",
    "linked": "goes with what they read",
    "linked_text": "text like what goes with it",
    "words": "words of what they read",
    "promise": "promising by its text",
    "kindred": "chosen by like-minded readers",
    "taste": "to the taste of their kind",
    "role_match": "made for their role",
    "industry_match": "made for their industry",
    "language_match": "in their language",
    "other_language": "in another language",
    "tag_affinity": "on their topics",
    "group_gap": "for somebody missing in the group",
    "unproven": "hardly read yet",
    "fatigue": "shown often, not followed",
    "rule": "rules of the placement",
    "diversity": "like another in this answer",
}
_LEAST = 0.01


def tier_words(tier: object) -> str:
    return _TIERS.get(str(tier), str(tier))


def score_rows(terms: Mapping[str, float]) -> list[tuple[str, float]]:
    """What adds to a score or takes from it, the most first, to a hundredth; the rest is left out."""
    told = [(_TERMS.get(name, name.replace("_", " ")), round(value, 2)) for name, value in terms.items()]
    return sorted((one for one in told if abs(one[1]) >= _LEAST), key=lambda one: -one[1])
