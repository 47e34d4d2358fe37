"""Addresses that people paste, feeds, snapshots, a taken-over worker's answers, embedding requests."""

from __future__ import annotations

from functools import cache
from pathlib import Path

from fuzz.dice import Dice
from fuzz.registry import dumped, no_crash, target
from fuzz.upload_targets import damaged


@target(
    "outbound_url",
    b"https://www.example.com/feed",
    b"http://169.254.169.254/",
    b"https://[::ffff:127.0.0.1]/",
    weight=180,
)
def outbound_url(data: bytes) -> None:
    import ipaddress

    from servicekit.outbound_guard import OutboundPolicy, OutboundRefused, is_public, read_url, resolve_public

    dice = Dice(data[1:])
    url = data.decode("utf-8", "replace")
    if data[:1] == b"\x01":
        hosts = (
            "127.0.0.1",
            "0x7f.1",
            "2130706433",
            "[::1]",
            "[::ffff:10.0.0.1]",
            "[64:ff9b::a00:1]",
            "localhost",
            "a.localhost.",
            "169.254.169.254",
            "www.example.com",
        )
        begin = dice.pick(("http", "https", "HTTP", "ftp")) + "://" + dice.text(("u@", ""))
        url = f"{begin}{dice.text(hosts)}{dice.text((':80', ':', ''))}/{dice.text()}"
    policy = OutboundPolicy()
    try:
        target_ = read_url(url, policy)
        address = str(
            ipaddress.ip_address(
                dice.raw(16).ljust(16, b"\x00") if dice.below(2) else dice.raw(4).ljust(4, b"\x00")
            )
        )
        for found in resolve_public(target_, policy, lambda host, port: [address]):
            assert is_public(ipaddress.ip_address(found))
        assert target_.authority
        assert not any(c <= " " for c in target_.host + target_.path)
    except OutboundRefused:
        return


@target("feed", b"<rss><channel><item><link>https://e.example/a</link></item></channel></rss>", weight=5)
def feed(data: bytes) -> None:
    from gateway.studio.web_sources import _entries, _is_feed, _name
    from servicekit.errors import Unprocessable

    dice = Dice(data)
    address = "https://e.example/" + dice.text(("feed.xml", "%2f..%2f"))
    body = dice.rest()
    _name(address, "text/html")
    _is_feed("application/xml", body)
    try:
        _entries(address, body)
    except Unprocessable:
        return


@cache
def _snapshot_folder() -> Path:
    import tempfile

    return Path(tempfile.mkdtemp(prefix="foreword-fuzz-"))


@cache
def _good_snapshot() -> bytes:
    import numpy as np

    from recommender.domain.catalogue import AssetCard
    from recommender.index.catalogue_builder import AssetRow, CatalogueBuilder
    from recommender.index.snapshot import _NAME, SnapshotMark, write_snapshot

    built = CatalogueBuilder(8, "m")
    card = AssetCard(
        "guide-1",
        "A guide",
        "https://e.example/g",
        "guide",
        "en",
        None,
        None,
        ("a",),
        (),
        (),
        (),
        None,
        "model",
    )
    stage = np.full(4, 0.25, dtype=np.float32)
    built.put(AssetRow(card, True, -np.inf, np.inf, 1.0, stage, np.full(8, 0.5, dtype=np.float32), 1))
    write_snapshot(_snapshot_folder(), SnapshotMark(7, "m", 8, "f"), built.living())
    return (_snapshot_folder() / _NAME).read_bytes()


@target("snapshot", b"\x00\x01\x02", b"\x01\x02", weight=12)
def snapshot(data: bytes) -> None:
    """Damaged, and damaged with a checksum that fits all the same."""
    from recommender.index.snapshot import (
        _CHECKSUM_BYTES,
        _MAGIC,
        _NAME,
        SnapshotUnusable,
        _checksum,
        read_snapshot,
    )

    dice = Dice(data[1:])
    good = _good_snapshot()
    content = damaged(good[len(_MAGIC) + _CHECKSUM_BYTES :], dice)
    if data[:1] < b"\xc0":
        file = _MAGIC + _checksum(content) + content
    else:
        file = damaged(good, dice) if dice.below(2) else dice.rest()
    (_snapshot_folder() / _NAME).write_bytes(file)
    try:
        read_snapshot(_snapshot_folder(), "m", 8, "f")
    except SnapshotUnusable:
        return


@target(
    "sandbox_answer",
    b'{"extracted":{"metadata":{}},"fit":true}',
    b'{"error":{"code":"malformed","message":"m"},"fit":false}',
    weight=90,
)
def sandbox_answer(data: bytes) -> None:
    """What a worker that a file has taken over might write into its pipe."""
    from recommender.extraction.errors import ReaderFailed
    from recommender.extraction.wire import decode_answer

    dice = Dice(data[1:])
    names = (
        "extracted",
        "error",
        "fit",
        "code",
        "message",
        "metadata",
        "published_at",
        "warnings",
        "title",
        "body",
        "form",
        "summary",
        "language",
        "front_matter",
        "url",
        "image_url",
    )
    try:
        decode_answer(
            dumped(dice.document(names, ("malformed", "too_large"))) if data[:1] == b"\x01" else data
        )
    except ReaderFailed:
        return


@target("embeddings_request", b'{"input":["a"],"model":"m","encoding_format":"base64"}', weight=90)
def embeddings_request(data: bytes) -> None:
    from embedder.openai_shape import EmbeddingRequest
    from servicekit.errors import ForewordError
    from servicekit.wire import parse, read_object

    names = ("input", "model", "encoding_format", "dimensions", "user")
    body = (
        dumped(Dice(data[1:]).document(names, ("a text", "float", "base64"))) if data[:1] == b"\x01" else data
    )
    try:
        parse(EmbeddingRequest, read_object(body))
    except ForewordError as error:
        no_crash(error)
