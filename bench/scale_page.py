"""What `bench.scale` measured as a page: tables, slopes, and straight lines to what was not measured."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator, Sequence
from typing import Any

from bench.page import machine

Found = dict[str, Any]
SIGNALS_A_BUYER = 20
START_TARGET, GROWTH_TARGET = 10.0, 3.0
_FARTHER = {"assets": (1_000_000,), "signals": (10**7, 10**8)}
_MIB, _GIB = 2**20, 2**30
_HEAD = """Starts are from the command to `/readyz`, with imports; the second kind is the median of three. A
request is one recommendation over HTTP: processor time of the recommender alone, then the clock's median.
Rows marked ≈ were not measured: they lie on a straight line through the two largest sizes."""


def slope(found: Sequence[Found], of: str, by: str) -> float:
    """Growth of one figure for each unit more, between the two largest sizes."""
    small, large = found[-2:]
    return float(large[of] - small[of]) / float(large[by] - small[by])


def line(found: Sequence[Found], of: str, by: str, at: int) -> float:
    return float(found[-1][of]) + slope(found, of, by) * float(at - found[-1][by])


def _along(found: Sequence[Found], by: str) -> Iterator[Found]:
    """Every figure, at the sizes that were not measured."""
    if len(found) > 1:
        for at in _FARTHER[by]:
            if at > found[-1][by]:
                yield {**{of: line(found, of, by, at) for of in found[-1]}, by: at}


def _asset_row(one: Found, mark: str = "") -> str:
    cells = (
        f"{mark}{one['assets']:,}",
        f"{one['plain']:.1f} s ({one['plain_cpu']:.1f} s of CPU)",
        f"{one['start']:.1f} s ({one['start_cpu']:.1f} s of CPU)",
        f"{one['start_memory'] / _MIB:,.0f} MiB",
        f"{one['memory'] / _MIB:,.0f} MiB",
        f"{one['request_cpu']:.1f} ms, {one['request']:.1f} ms",
        f"{one['disk'] / _MIB:,.0f} MiB",
        f"{one['snapshot'] / _MIB:,.0f} MiB",
    )
    return "| " + " | ".join(cells) + " |"


def _assets(found: Sequence[Found]) -> Iterator[str]:
    yield "| assets | start without snapshot | start from snapshot | memory then | memory after building and "
    yield "requests | request | disk | snapshot |"
    yield "|---|---|---|---|---|---|---|---|"
    yield from map(_asset_row, found)
    yield from (_asset_row(one, "≈ ") for one in _along(found, "assets"))
    if len(found) > 1:
        first, last = found[0], found[-1]
        yield ""
        yield (
            f"- Each further asset costs {slope(found, 'start_memory', 'assets') / 1024:.1f} KiB of memory "
            f"after a start from a snapshot, {slope(found, 'memory', 'assets') / 1024:.1f} KiB once an index "
            f"was built and kept, {slope(found, 'disk', 'assets') / 1024:.1f} KiB of disk."
        )
        yield (
            f"- A request at {last['assets']:,} assets costs "
            f"**{last['request_cpu'] / first['request_cpu']:.2f}** times one at {first['assets']:,} "
            f"(target: under {GROWTH_TARGET:g}); a start from a snapshot takes "
            f"**{last['start']:.1f} s** there (target: under {START_TARGET:g} s)."
        )


def _signal_row(one: Found, mark: str = "") -> str:
    cells = (
        f"{mark}{one['signals']:,}",
        f"{int(one['signals']) // SIGNALS_A_BUYER:,}",
        f"{one['signal_disk'] / _GIB:,.2f} GiB",
        f"{one['start']:.1f} s",
        f"{one['request_cpu']:.1f} ms, {one['request']:.1f} ms",
        f"{one['learn']:.1f} s",
        f"{one['memory'] / _GIB:,.2f} GiB",
    )
    return "| " + " | ".join(cells) + " |"


def _signals(found: Sequence[Found]) -> Iterator[str]:
    yield "| signals | profiles | disk of the log | start | a buyer's request | learning | memory |"
    yield "|---|---|---|---|---|---|---|"
    yield from map(_signal_row, found)
    yield from (_signal_row(one, "≈ ") for one in _along(found, "signals"))
    if len(found) > 1:
        size = found[-1]["profile_disk"]
        rates = ", ".join(f"{one['folds']:.0f}/s with {one['signals']:,}" for one in found)
        yield ""
        yield (
            f"- A signal costs {slope(found, 'signal_disk', 'signals'):.0f} bytes of disk with indexes and "
            f"message id; a profile with buyer and identity {size:,.0f} bytes, so 10 million "
            f"about {size * 1e7 / _GIB:.0f} GiB (≈)."
        )
        yield f"- Profiles folded beside it, {SIGNALS_A_BUYER} signals each: {rates}."
        yield (
            f"- Memory grows by {slope(found, 'memory', 'signals'):.0f} bytes a signal, as learning reads 18 "
            "months of the log at once: what ends first."
        )


def section(assets: Sequence[Found], signals: Sequence[Found]) -> str:
    today = time.strftime("%Y-%m-%d", time.gmtime())
    load = f"load average at the end {os.getloadavg()[0]:.1f}"
    lines = ["## Scale", "", f"`make bench-scale`, {today}, {machine()}; {load}."]
    lines += [_HEAD, ""]
    if assets:
        head, more, *rest = _assets(assets)
        lines += [head + more, *rest, ""]
    if signals:
        lines += _signals(signals)
    return "\n".join(lines) + "\n"
