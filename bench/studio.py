"""How soon each page of the studio paints and how much of it is sent, with 10,000 assets and 2,000 accounts.

Real Chromium on the same machine as all services. Every first visit begins with an empty cache, so styles,
scripts and the typeface are counted and waited for each time; then the page is opened again, as in a day's
work. First paint is the browser's own `first-contentful-paint`, from the click on; bytes are the bodies of
all answers to the first visit as they were sent, parts of the page that follow by themselves included.

    python -m bench.studio [--assets 10000] [--visits 7] [--write docs/performance.md]
"""

from __future__ import annotations

import argparse
import random
import statistics
import time
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from urllib.parse import quote

import orjson
import urllib3
from playwright.sync_api import Page, Request

from bench.page import Surroundings, machine, put_section, say
from bench.studio_browser import Desk, own_stack, signed_in
from foreword_dev.stack import Stack

MOST_BYTES, MOST_MILLISECONDS = 150_000, 300
_ACCOUNTS, _TOPICS = 2_000, 200
_PERSONAS = ("it", "finance", "operations", "procurement", "security", "marketing", "executive", "quality")
_TYPES = ("blog", "whitepaper", "case_study", "webinar", "data_sheet", "buyers_guide", "how_to", "video")
_TEXT = (
    "cold chain shipment lane dock reefer audit supplier price contract warehouse pallet sensor excursion "
    "compliance customs broker carrier forecast claim packaging inspection temperature record release"
)
_WORDS = _TEXT.split()
PAGES = {
    "Library": "/library",
    "Library, words": "/library?q=pallet",
    "Library, meaning": "/library?q=who+pays+for+a+late+shipment&by=meaning",
    "Library, filtered": "/library?language=de&tag=topics:topic-3&status=approved",
    "Library, tag as written": "/library?tag=TOPIC-17",
    "Asset": "/asset?id=asset-77",
    "Upload": "/upload",
    "Coverage, personas": "/coverage",
    "Coverage, topics": "/coverage?by=topic",
    "Brief": "/coverage/brief?stage=decision&persona=it",
    "Accounts": "/accounts",
    "Accounts, by stage": "/accounts?sort=stage",
    "Account": "/account?id=firm-7.example",
    "Buyers": "/buyers",
    "Buyer": "/buyer?id=buyer-7",
    "Placements": "/placements",
    "Placement": "/placement?id=blog-sidebar",
    "Goals": "/goals",
    "People": "/people",
    "Keys": "/keys",
    "Webhooks": "/webhooks",
    "Audit log": "/audit",
}


@dataclass(frozen=True, slots=True)
class Visit:
    first_byte: float  # of the page, in milliseconds from the click on
    first_paint: float
    later_paint: float  # once styles, scripts and typeface are in the browser's cache
    sent_bytes: int


def some_assets(count: int, rng: random.Random) -> bytes:
    """Texts of some 150 words, tagged, a tenth of them drafts; NDJSON."""
    return b"\n".join(
        orjson.dumps(
            {
                "id": f"asset-{n}",
                "title": f"{' '.join(rng.choices(_WORDS, k=6)).capitalize()}, part {n}",
                "summary": " ".join(rng.choices(_WORDS, k=30)) + ".",
                "body": " ".join(rng.choices(_WORDS, k=150)) + ".",
                "url": f"https://www.example.com/{n}",
                "type": rng.choice(_TYPES),
                "language": rng.choice(("en", "en", "de", "fr")),
                "topics": [f"topic-{rng.randrange(_TOPICS)}" for _ in range(3)],
                "personas": rng.sample(_PERSONAS, 2),
                "status": "draft" if n % 10 == 0 else "approved",
            }
        )
        for n in range(count)
    )


def fill(stack: Stack, assets: int) -> None:
    """Import so many assets and send the signals of all accounts; what is made of them goes on afterwards."""
    rng = random.Random(7)
    http = urllib3.PoolManager(timeout=600.0, retries=False)
    headers = {"Authorization": f"Bearer {stack.keys['secret']}"}
    url = stack.url
    say(f"Importing {assets:,} assets")
    sent = {**headers, "Content-Type": "application/x-ndjson"}
    answer = http.request("POST", f"{url}/v1/assets:import", body=some_assets(assets, rng), headers=sent)
    stored = answer.data.count(b'"result":"stored"')
    if stored != assets:
        raise SystemExit(f"{stored} of {assets} assets were stored: {answer.data[-500:]!r}")
    events = [
        {
            "type": "track",
            "event": rng.choice(("Content Viewed", "Asset Downloaded", "Pricing Viewed")),
            "userId": f"buyer-{n}",
            "messageId": f"m-{n}-{k}",
            "context": {"groupId": f"firm-{n % _ACCOUNTS}.example"},
            "properties": {"asset_id": f"asset-{rng.randrange(assets)}"},
        }
        for n in range(2 * _ACCOUNTS)
        for k in range(3)
    ]
    say(f"Sending {len(events):,} signals of {_ACCOUNTS:,} accounts")
    for start in range(0, len(events), 500):
        body = orjson.dumps({"batch": events[start : start + 500]})
        answer = http.request(
            "POST", f"{url}/v1/batch", body=body, headers={**headers, "Content-Type": "application/json"}
        )
        if answer.status != 200:
            raise SystemExit(f"signals were refused: {answer.data!r}")


def _wait_until_listed(desk: Desk) -> None:
    """Folding and counting go on beside the requests; what is measured is a Foreword that has caught up."""
    page = desk.browser.new_context(storage_state=desk.cookies).new_page()
    deadline = time.monotonic() + 400
    while True:
        page.goto(f"{desk.url}/accounts")
        if f"{_ACCOUNTS:,} accounts" in page.content():
            break
        if time.monotonic() > deadline:
            raise SystemExit("the accounts were not counted in time")
        time.sleep(1.0)
    page.context.close()


def visit(desk: Desk, path: str) -> Visit:
    context = desk.browser.new_context(storage_state=desk.cookies, viewport={"width": 1440, "height": 900})
    page = context.new_page()
    finished: list[Request] = []
    # playwright marks what it is handed, which a built-in method cannot bear.
    page.on("requestfinished", lambda sent: finished.append(sent))
    answer = page.goto(desk.url + path)
    if answer is None or answer.status != 200:
        raise SystemExit(f"{path} answered {None if answer is None else answer.status}")
    page.wait_for_load_state("networkidle")
    sizes = [sent.sizes()["responseBodySize"] for sent in finished]
    answered = page.evaluate("performance.getEntriesByType('navigation')[0].responseStart")
    painted = _painted(page, path)
    page.goto(desk.url + path)
    page.wait_for_load_state("networkidle")
    again = _painted(page, path)
    context.close()
    return Visit(float(answered), painted, again, sum(sizes))


def _painted(page: Page, path: str) -> float:
    at = page.evaluate("performance.getEntriesByName('first-contentful-paint')[0]?.startTime ?? null")
    if at is None:
        raise SystemExit(f"{path} was never painted")
    return float(at)


def report(found: dict[str, list[Visit]], assets: int, around: str) -> str:
    lines = [
        "## Studio",
        "",
        f"`make bench-studio`, {datetime.now(UTC):%Y-%m-%d}, {machine()}; "
        f"{around}. "
        f"Chromium on the machine that all services and PostgreSQL run on, over loopback, {assets:,} assets, "
        f"{_ACCOUNTS:,} accounts with {2 * _ACCOUNTS:,} buyers. Every first visit has an empty cache and a "
        "process of its own, and the page is opened once more after it; "
        f"{len(next(iter(found.values())))} visits a page. First paint is the browser's "
        "`first-contentful-paint`, from the click on, with what starting the page's process takes; KB are "
        "1,000 bytes of all answers' bodies as sent, the parts that follow "
        f"by themselves included. Targets: {MOST_MILLISECONDS} ms and {MOST_BYTES // 1000} KB.",
        "",
        "| page | first byte, median | first paint, median | slowest | opened again, median | sent |",
        "|---|---|---|---|---|---|",
    ]
    for name, visits in found.items():
        times = [one.first_paint for one in visits]
        byte = statistics.median(one.first_byte for one in visits)
        size = max(one.sent_bytes for one in visits) / 1000
        again = statistics.median(one.later_paint for one in visits)
        paint = f"{statistics.median(times):.0f} ms | {max(times):.0f} ms | {again:.0f} ms"
        lines.append(f"| {name} | {byte:.0f} ms | {paint} | {size:.0f} KB |")
    return "\n".join(lines)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--assets", type=int, default=10_000)
    parser.add_argument("--visits", type=int, default=7)
    parser.add_argument("--write", type=Path)
    asked = parser.parse_args()
    with own_stack() as stack, signed_in(stack) as desk:
        fill(stack, asked.assets)
        _wait_until_listed(desk)
        found: dict[str, list[Visit]] = {name: [] for name in PAGES}
        say("Visiting")
        around = Surroundings()
        for turn in range(asked.visits + 1):
            for name, path in PAGES.items():
                one = visit(desk, quote(path, safe="/?=&+:,-"))
                if turn:  # the first round warms what every process warms once
                    found[name].append(one)
        told = around.told()
    text = report(found, asked.assets, told)
    print(text)
    if asked.write:
        put_section(asked.write, "studio", text)
    late = [
        name for name, v in found.items() if statistics.median(o.first_paint for o in v) > MOST_MILLISECONDS
    ]
    large = [name for name, v in found.items() if max(o.sent_bytes for o in v) > MOST_BYTES]
    if late or large:
        say(f"Too slow: {late or 'none'}; too large: {large or 'none'}.")
    return 1 if late or large else 0


if __name__ == "__main__":
    raise SystemExit(main())
