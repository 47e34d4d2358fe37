"""How much one upload or one import may cost."""

from __future__ import annotations

from dataclasses import dataclass

MEBIBYTE = 1024 * 1024


@dataclass(frozen=True, slots=True)
class Limits:
    """What reading one file may cost; the last four are held by the sandbox, the others by the readers.

    `memory_bytes` is what a job may take on top of what an idle worker holds. `max_ratio` (inflated to
    packed) applies to archive entries above `ratio_floor_bytes`: small XML parts honestly shrink a lot. A
    PDF's pages are read for `page_…_seconds`; what was read until then is its text, and it is said so.
    """

    max_bytes: int = 32 * MEBIBYTE
    max_pages: int = 1_000
    max_characters: int = 1_000_000
    max_archive_entries: int = 5_000
    max_inflated_bytes: int = 48 * MEBIBYTE
    max_ratio: int = 200
    ratio_floor_bytes: int = 4 * MEBIBYTE
    page_cpu_seconds: float = 5.0
    page_wall_seconds: float = 7.0
    cpu_seconds: int = 9
    wall_seconds: float = 9.5
    memory_bytes: int = 512 * MEBIBYTE
    max_answer_bytes: int = 16 * MEBIBYTE


@dataclass(frozen=True, slots=True)
class RowLimits:
    """What reading an import may hold in memory at once, and how far a packed stream may inflate."""

    max_record_characters: int = 1 * MEBIBYTE
    max_array_bytes: int = 16 * MEBIBYTE
    max_inflated_bytes: int = 4 * 1024 * MEBIBYTE
    max_ratio: int = 500
    ratio_floor_bytes: int = 16 * MEBIBYTE
    max_columns: int = 500
    sample_bytes: int = 64 * 1024
