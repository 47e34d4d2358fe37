"""One worker's share of a mailing: recommendations for its recipients, appended to a file of its own."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

import orjson

from foreword_client.client import Client

_BLOCK = 500


class RecipientsUnreadable(Exception):
    """The file of recipients cannot be used; the message says which line."""


@dataclass(frozen=True, slots=True)
class ShareReport:
    """`resumed` of the `answered` stood in the file already; `problems` are lines that were refused."""

    path: Path
    answered: int
    resumed: int
    problems: int


def share_of(recipient: str, count: int) -> int:
    """Which of `count` shares a recipient belongs to, whatever the order of the file."""
    return int.from_bytes(hashlib.blake2b(recipient.encode(), digest_size=8).digest(), "big") % count


def recipients(path: Path, index: int, count: int) -> Iterator[dict[str, Any]]:
    """The requests of one share, in the file's order: lines as `/v1/recommendations:batch` takes them."""
    with path.open("rb") as lines:
        for number, line in enumerate(lines, start=1):
            if not line.strip():
                continue
            try:
                request = orjson.loads(line)
                recipient = request.get("user_id") or request.get("anonymous_id")
            except (orjson.JSONDecodeError, AttributeError) as error:
                raise RecipientsUnreadable(f"{path.name}, line {number}: not a JSON object.") from error
            if not isinstance(recipient, str):
                raise RecipientsUnreadable(f"{path.name}, line {number}: no user_id and no anonymous_id.")
            if share_of(recipient, count) == index:
                yield request


def run_share(
    client: Client, source: Path, folder: Path, index: int, count: int, told: Callable[[int], None]
) -> ShareReport:
    """Answer the whole share; a run that was stopped goes on after the last whole line that it wrote.

    Its name holds the digest of the recipients, so that another mailing never continues this one, and ends
    in `.part` until it is complete; a complete one is left alone.
    """
    with source.open("rb") as stream:
        digest = hashlib.file_digest(stream, "sha256").hexdigest()[:12]
    done = folder / f"answers-{digest}-{index:05d}-of-{count:05d}.ndjson"
    part = done.with_suffix(".ndjson.part")
    folder.mkdir(parents=True, exist_ok=True)
    if done.exists():
        lines, problems = _whole_lines(done)
        return ShareReport(done, lines, lines, problems)
    resumed, problems = _whole_lines(part)
    wanted = islice(recipients(source, index, count), resumed, None)
    answered = resumed
    with part.open("ab") as out:
        while block := list(islice(wanted, _BLOCK)):
            for request, answer in zip(block, client.recommend_batch(block), strict=True):
                asked = {key: request[key] for key in ("user_id", "anonymous_id") if key in request}
                problems += "items" not in answer
                out.write(orjson.dumps(asked | {"answer": answer}) + b"\n")
            out.flush()
            os.fsync(out.fileno())
            answered += len(block)
            told(answered)
    part.rename(done)
    return ShareReport(done, answered, resumed, problems)


def _whole_lines(path: Path) -> tuple[int, int]:
    """→ (lines, how many of them are problems); what a killed run left of a torn line is cut off."""
    if not path.exists():
        return 0, 0
    lines = problems = end = 0
    with path.open("rb") as stream:
        for line in stream:
            if not line.endswith(b"\n"):
                break
            lines += 1
            end += len(line)
            problems += "items" not in orjson.loads(line)["answer"]
    if end < path.stat().st_size:
        with path.open("r+b") as stream:
            stream.truncate(end)
    return lines, problems
