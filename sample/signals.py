"""Generates the sample firm's log of signals: 18 months, seeded, as Segment messages in order of time.

``python sample/signals.py --now 2026-11-22T00:00:00Z --seed 7 --out signals.ndjson.gz`` writes it to a file.
"""

from __future__ import annotations

import argparse
import gzip
import json
import random
import sys
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

if __package__ in (None, ""):  # started as a file, which puts this folder and not the one above on the path
    sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from sample.assets import SAMPLE_ROOT
from sample.cast import Account, Reading, load_accounts, load_readings
from sample.envelope import Recorder, stable_id, timestamp
from sample.story import Life, sales_moments

LETTER_EVERY_DAYS = 28
LETTER_COUNT = 19
SCANNER = "MailShield-LinkCheck/3.1"
SCANNED_ACCOUNT = "ravensgate"  # its mail gateway opens every link before the reader does
CRAWLERS = (
    "Mozilla/5.0 (compatible; Googlebot/2.1; +http://www.google.com/bot.html)",
    "Mozilla/5.0 (compatible; bingbot/2.0; +http://www.bing.com/bingbot.htm)",
    "python-requests/2.32.3",
)


def generate(now: datetime, seed: int = 7) -> Iterator[dict[str, Any]]:
    """All messages up to ``now`` (timezone-aware), oldest first; same arguments, same messages."""
    readings = load_readings(SAMPLE_ROOT, now)
    letters = _letters(readings, now, seed)
    messages: list[dict[str, Any]] = []
    for account in load_accounts(SAMPLE_ROOT):
        messages.extend(_account_messages(account, readings, letters, now, seed))
    messages.extend(_crawlers(readings, now, seed))
    end = timestamp(now)
    messages = [message for message in messages if message["timestamp"] <= end]
    yield from sorted(messages, key=lambda message: (message["timestamp"], message["messageId"]))


def _account_messages(
    account: Account,
    readings: Sequence[Reading],
    letters: Sequence[tuple[datetime, str, dict[str, Reading]]],
    now: datetime,
    seed: int,
) -> Iterator[dict[str, Any]]:
    recorders = []
    for person in account.people:
        rng = random.Random(f"{seed}:{person.user_id}")
        recorder = Recorder(seed, account, person, rng)
        Life(recorder, readings, now, rng).tell()
        recorders.append(recorder)
    rng = random.Random(f"{seed}:{account.account_id}:sales")
    sales_moments(recorders[0], recorders[min(1, len(recorders) - 1)], account, now, rng)
    for recorder in recorders:
        rng = random.Random(f"{seed}:{recorder.person.user_id}:mail")
        _read_mail(recorder, letters, now, rng)
        yield from recorder.messages


def _letters(
    readings: Sequence[Reading], now: datetime, seed: int
) -> list[tuple[datetime, str, dict[str, Reading]]]:
    """The monthly letter: when it went out, its name, and its main asset in each language."""
    rng = random.Random(f"{seed}:letters")
    letters = []
    for number in range(LETTER_COUNT):
        age = LETTER_EVERY_DAYS * (LETTER_COUNT - number) - 20
        sent = (now - timedelta(days=age)).replace(hour=7, minute=30, second=0, microsecond=0)
        choices = {}
        for language in ("en", "de"):
            fitting = [
                reading
                for reading in readings
                if reading.language == language
                and reading.published_at <= timestamp(sent)
                and reading.stage in ("awareness", "consideration")
            ]
            choices[language] = rng.choice(fitting)
        letters.append((sent, f"letter-{number + 1:02d}", choices))
    return letters


def _read_mail(
    recorder: Recorder,
    letters: Sequence[tuple[datetime, str, dict[str, Reading]]],
    now: datetime,
    rng: random.Random,
) -> None:
    account = recorder.account
    for sent, campaign, choices in letters:
        if recorder.known_at is None or recorder.known_at > sent:
            continue
        days_ago = (now - sent).total_seconds() / 86400
        phase = next((phase for phase in account.phases if phase.ends <= days_ago < phase.begins), None)
        silent = phase is None or phase.name == "silent"
        reading = choices[account.language]
        if account.account_id == SCANNED_ACCOUNT:
            for second, event in enumerate(("Email Opened", "Email Link Clicked")):
                at = sent + timedelta(seconds=second + 1, milliseconds=rng.randrange(999))
                recorder.track_email(at, event, campaign, reading if second else None, agent=SCANNER)
        if rng.random() > (0.05 if silent else 0.42):
            continue
        opened = sent + timedelta(minutes=rng.expovariate(1 / 240))
        recorder.track_email(opened, "Email Opened", campaign, None)
        if rng.random() < 0.012:
            recorder.track_email(opened + timedelta(seconds=30), "Unsubscribed", campaign, None)
            return
        if not silent and rng.random() < 0.32:
            clicked = opened + timedelta(seconds=rng.randrange(8, 200))
            recorder.track_email(clicked, "Email Link Clicked", campaign, reading)
            recorder.track(
                clicked + timedelta(seconds=3), "Content Viewed", reading, seconds=rng.randrange(20, 400)
            )


def _crawlers(readings: Sequence[Reading], now: datetime, seed: int) -> Iterator[dict[str, Any]]:
    """Machines that read the whole site in a minute or two, a few times in the period."""
    for number, agent in enumerate(CRAWLERS):
        rng = random.Random(f"{seed}:crawler:{number}")
        anonymous_id = "anon-" + stable_id(seed, "crawler", number, length=16)
        for run in range(4):
            at = now - timedelta(days=rng.uniform(1, 530))
            public = [reading for reading in readings if reading.published_at <= timestamp(at)]
            for reading in rng.sample(public, min(len(public), 55)):
                at += timedelta(milliseconds=rng.randrange(300, 2500))
                yield {
                    "type": "track",
                    "messageId": "smp-" + stable_id(seed, "crawler", number, run, reading.asset_id),
                    "anonymousId": anonymous_id,
                    "timestamp": timestamp(at),
                    "event": "Content Viewed",
                    "properties": {"url": reading.url},
                    "context": {"userAgent": agent, "page": {"url": reading.url, "title": reading.title}},
                }


def main(arguments: Sequence[str] | None = None) -> None:
    """Writes the log as NDJSON, gzipped when the file's name ends in .gz, and says how long it is."""
    parser = argparse.ArgumentParser(
        description="Write the sample firm's signals as Segment messages in NDJSON."
    )
    parser.add_argument(
        "--now", type=datetime.fromisoformat, default=datetime.now(UTC), help="the log ends here"
    )
    parser.add_argument("--seed", type=int, default=7)
    parser.add_argument("--out", type=Path, required=True, help="a file, gzipped if it ends in .gz")
    options = parser.parse_args(arguments)
    now = options.now if options.now.tzinfo else options.now.replace(tzinfo=UTC)
    lines = [
        json.dumps(message, ensure_ascii=False) + "\n"
        for message in generate(now.astimezone(UTC), options.seed)
    ]
    content = "".join(lines).encode()
    # No file name and no time inside the archive: the same log is the same file.
    options.out.write_bytes(gzip.compress(content, 6, mtime=0) if options.out.suffix == ".gz" else content)
    print(f"{len(lines)} signals written to {options.out}")


if __name__ == "__main__":
    main()
