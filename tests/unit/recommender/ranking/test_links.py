"""What engagements together say of others: against the textbook's inverse, and carried by texts."""

import numpy as np
import pytest
from numpy.testing import assert_allclose

from ranking_firm import NOW, card, make_catalogue
from recommender.numeric.link_learning import LinkSettings, learn_links
from recommender.numeric.linked import Linked

PLAIN = LinkSettings(penalty=5.0, reader_power=0.0, popularity_power=0.0)
BUYERS = np.repeat(np.arange(12), 4)
ASSETS = np.concatenate([np.random.default_rng(i).permutation(9)[:4] for i in range(12)]).astype(np.int32)
NAMES = tuple(f"a{i}" for i in range(9))


def weight(linked: Linked, source: str, target: str) -> float:
    return float(linked.weights[linked.asset_ids.index(source), linked.asset_ids.index(target)])


def test_without_texts_it_is_ease_in_closed_form() -> None:
    linked = learn_links(BUYERS, ASSETS, NAMES, None, NOW, PLAIN)
    pairs = np.zeros((12, 9))
    pairs[BUYERS, ASSETS] = 1.0
    inverse = np.linalg.inv(pairs.T @ pairs + 5.0 * np.eye(9))
    expected = inverse / -np.diag(inverse)
    for i, source in enumerate(NAMES):
        for j, target in enumerate(NAMES):
            assert weight(linked, source, target) == pytest.approx(0 if i == j else expected[i, j], abs=1e-5)


def test_the_order_of_the_log_changes_nothing() -> None:
    mixed = np.random.default_rng(1).permutation(len(BUYERS))
    one = learn_links(BUYERS, ASSETS, NAMES, None, NOW)
    other = learn_links(BUYERS[mixed], ASSETS[mixed], NAMES, None, NOW)
    assert one.asset_ids == other.asset_ids
    assert_allclose(one.weights, other.weights, atol=1e-6)


def test_texts_carry_to_what_nobody_has_read_and_nothing_from_the_future_takes_part() -> None:
    cards = [card(name, title=f"subject {i % 3} edition") for i, name in enumerate(NAMES)]
    cards += [card("near0", title="subject 0 edition"), card("coming", title="subject 0 edition")]
    vectors = np.eye(3)[[*(i % 3 for i in range(9)), 0, 0]]
    published = np.full(len(cards), NOW - 86_400.0)
    published[-1] = NOW + 86_400.0
    firm = make_catalogue(cards, vectors, published_at=published)
    same_subject = np.repeat(np.arange(12), 3), np.tile([0, 3, 6, 1, 4, 7], 6).astype(np.int32)
    linked = learn_links(*same_subject, NAMES, firm, NOW)
    assert "coming" not in linked.asset_ids
    places = linked.places(firm)
    spoken = linked.spoken_for(places[[0]], np.ones(1))
    carried = linked.carried(spoken.links, places)
    assert carried[9] > carried[1], "the unread one of the subject is nearer than another subject's"
    assert spoken.words[places[9]] > 0
    assert linked.promise[places[9]] > 0
    assert places[10] == -1
    assert carried[10] == 0
    assert spoken.links[places[10]] == 0
