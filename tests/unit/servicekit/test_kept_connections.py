"""What gunicorn does with its deque of kept connections."""

from __future__ import annotations

import pytest

from servicekit.kept_connections import KeptConnections


def test_the_one_that_has_been_idle_longest_comes_first() -> None:
    kept: KeptConnections[str] = KeptConnections()
    for name in ("a", "b", "c"):
        kept.append(name)
    kept.move_to_end("a")
    kept.remove("c")
    assert (len(kept), list(kept), kept[0]) == (2, ["b", "a"], "b")
    assert [kept.popleft(), kept.popleft()] == ["b", "a"]
    assert not kept


def test_what_is_not_kept_is_an_error_as_with_a_deque() -> None:
    kept: KeptConnections[str] = KeptConnections()
    with pytest.raises(ValueError, match="gone"):
        kept.remove("gone")
    with pytest.raises(IndexError):
        kept[0]
    with pytest.raises(IndexError):
        kept.popleft()
