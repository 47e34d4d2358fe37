"""What is big goes when its last user has gone, and not hours later when the collector comes by."""

from __future__ import annotations

import gc
import time
from collections import Counter
from typing import Any

import numpy as np
from scipy import sparse

from recommender.domain.catalogue import Catalogue
from recommender.numeric.behaviour import AlignedBehaviour, Behaviour
from recommender.numeric.kindred import Kindred
from recommender.numeric.linked import Linked
from recommender.numeric.text_space import TextSpace
from recommender_rig import Rig

BIG = (
    np.ndarray,
    sparse.csr_array,
    Catalogue,
    Behaviour,
    AlignedBehaviour,
    Kindred,
    Linked,
    TextSpace,
)


def _a_while_in_its_life(rig: Rig, number: int) -> None:
    """An asset more, signals, what is learnt of them, and answers of every kind."""
    keeper: Any = rig.parts["keeper"]
    rig.put(f"new-{number}", topics=["doors"])
    rig.clock.advance(seconds=60)
    events = [
        {
            "type": "track",
            "event": "Content Viewed",
            "messageId": f"{number}-{buyer}",
            "userId": f"u{buyer}",
            "timestamp": rig.clock.now.isoformat(),
            "properties": {"asset_id": f"new-{number - buyer % 2}"},
        }
        for buyer in range(6)
    ]
    assert rig.send(*events).status_code == 200
    rig.parts["reconciler"].step()
    rig.parts["replica"].catch_up()
    before, until = keeper.behaviour, time.monotonic() + 20
    while keeper.behaviour is before and time.monotonic() < until:
        keeper.refresh()
    assert keeper.behaviour is not before
    for buyer in range(6):
        rig.recommend(user_id=f"u{buyer}", placement="home")
    rig.recommend(user_id="u1", context={"asset_id": f"new-{number}", "query": "doors"})
    assert rig.client.get("/v1/search?q=doors").status_code == 200
    rig.buyer("u1")
    rig.parts["answers_log"].flush()


def test_nothing_big_waits_for_the_collector(recommender: Rig) -> None:
    for number in (1, 2):
        _a_while_in_its_life(recommender, number)
    gc.collect()
    gc.disable()
    gc.set_debug(gc.DEBUG_SAVEALL)
    try:
        for number in (3, 4, 5):
            _a_while_in_its_life(recommender, number)
        gc.collect()
        found = Counter(type(one).__name__ for one in gc.garbage if isinstance(one, BIG))
    finally:
        gc.set_debug(0)
        gc.garbage.clear()
        gc.enable()
    assert not found
