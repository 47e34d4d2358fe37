"""The same house with the model that people get: meaning, and not words, decides."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from e2e.foreword_process import Api, UserRun, environment, own_folder

pytestmark = [pytest.mark.model, pytest.mark.slow]


@pytest.fixture(scope="module")
def api() -> Iterator[Api]:
    with own_folder() as base:
        run = UserRun(environment(base / "data", model="all-MiniLM-L6-v2"), base / "out.txt")
        try:
            run.wait_ready()
            api = run.api
            for asset_id, title in (
                ("fridge", "Keeping vaccines cold in a hospital refrigerator"),
                ("payroll", "How to close the books at the end of a month"),
                ("hiring", "Interview questions for sales people"),
            ):
                assert api.put_asset(asset_id, title=title).json()["embedding"]["state"] == "ready"
            yield api
        finally:
            run.end()


def test_search_finds_what_is_meant(api: Api) -> None:
    found = api.send("GET", "/v1/search?q=medicine+storage+temperature").json()["items"]
    assert found[0]["id"] == "fridge"


def test_the_page_a_stranger_is_on_decides_what_comes_next(api: Api) -> None:
    api.put_asset("thermometer", title="Probes that measure the warmth of pharmacy coolers")
    items = api.recommended(anonymous_id="stranger", count=3, context={"asset_id": "fridge"})
    assert items[0] == "thermometer"
