"""What an asset's fields lead to: its type, its address as a key, its hashes."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime

import pytest

from recommender.domain.assets import AssetRecord, Precondition, guess_type, url_key
from recommender.domain.errors import RevisionMismatch


@pytest.mark.parametrize(
    ("title", "url", "expected"),
    [
        ("Fallstudie Molkerei", "https://x.example/1", "case_study"),
        ("Loggers vs. live sensors", "https://x.example/1", "comparison"),
        ("Nothing said", "https://x.example/whitepaper/1", "whitepaper"),
        ("Product webinar: alarms", "https://x.example", "webinar_product"),
        ("Webinar: alarms", "https://x.example", "webinar_thought"),
        ("Pricing", "https://pricing.example/a", "pricing"),
        ("Unlike anything", "https://whitepaper.example/a", "blog"),
        ("Broken address", "https://[x", "blog"),
    ],
)
def test_types_are_guessed_from_words(title: str, url: str, expected: str) -> None:
    assert guess_type(title, url) == expected


def test_two_spellings_of_a_page_are_one() -> None:
    key = url_key("https://www.Firm.example/a/b/?utm=1#x")
    assert key == url_key("http://firm.example:8080/a/b") == "firm.example/a/b"
    assert url_key("https://firm.example/a/B") != key
    assert url_key("https://[broken") == "https://[broken"


def test_long_addresses_have_short_keys_of_their_own() -> None:
    keys = {url_key(f"https://firm.example/{'ü' * 1900}{n}") for n in range(3)}
    assert len(keys) == 3
    assert max(map(len, keys)) < 100


RECORD = AssetRecord("a", "Title", "https://x.example", topics=("x",), metadata={"b": 1, "a": 2})


def test_hashes_tell_what_changed() -> None:
    same = replace(RECORD, metadata={"a": 2, "b": 1})
    assert same.record_hash() == RECORD.record_hash()
    tagged = replace(RECORD, topics=("y",), publish_at=datetime(2026, 1, 1, tzinfo=UTC))
    assert tagged.record_hash() != RECORD.record_hash()
    assert tagged.text_hash() == RECORD.text_hash()
    assert replace(RECORD, summary="S").text_hash() != RECORD.text_hash()
    assert replace(RECORD, summary="S").text_hash() != replace(RECORD, body="S").text_hash()


def test_preconditions() -> None:
    Precondition().check(None)
    Precondition(revision=3).check(3)
    Precondition(exists=True).check(3)
    Precondition(exists=False).check(None)
    for expected, stored in (
        (Precondition(revision=3), 4),
        (Precondition(revision=3), None),
        (Precondition(exists=True), None),
        (Precondition(exists=False), 1),
    ):
        with pytest.raises(RevisionMismatch):
            expected.check(stored)
