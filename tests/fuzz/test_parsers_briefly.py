"""Every parser of foreign bytes against a few hundred made-up inputs; `make fuzz-parsers` has the million."""

from __future__ import annotations

import random

import pytest

from fuzz.registry import Target, all_targets

# A read document costs a hundred times what a token does.
_CASES = {"upload_docx": 4, "upload_pptx": 2, "upload_pdf": 8, "upload_html": 12, "feed": 15, "snapshot": 40}
_USUAL = 120
# What was found once, so that it is found again: each made a 5xx or stopped a start.
FOUND: dict[str, tuple[bytes, ...]] = {
    "tracking": (b'{"type":' + b"[" * 900 + b"]" * 900 + b',"userId":"u"}',),
    "cloud_events": (b"\x01" + b"[" * 600 + b"]" * 600, b"[" * 5_000),
    "hubspot": (b'[{"subscriptionType":"deal.creation","objectId":' + b"[" * 900 + b"]" * 900 + b"}]",),
    "recommend_body": (b'{"anonymous_id":"a","filter":' + b'{"a":' * 900 + b"1" + b"}" * 901,),
    "link_token": (b"\x01\x01@\x00/.",),
    "sandbox_answer": (b'{"extracted":"text","fit":true}', b'{"extracted":{"metadata":7},"fit":true}'),
}


@pytest.mark.parametrize("target", all_targets().values(), ids=lambda target: target.name)
def test_a_parser_takes_whatever_comes(target: Target) -> None:
    rng = random.Random(target.name)
    for data in (*target.seeds, *FOUND.get(target.name, ())):
        target.check(data)
    for number in range(_CASES.get(target.name, _USUAL)):
        made = rng.randbytes(rng.randrange(1, 300))
        target.check(b"\x01" + made if number % 2 else made)


def test_every_parser_has_a_target() -> None:
    assert len(all_targets()) >= 27
