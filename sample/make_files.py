"""Makes the sample firm's HTML, DOCX and PDF files and their manifest from the texts under ``sources/``.

Run it from the repository after editing a source: ``python sample/make_files.py``. The same sources give the
same bytes, so a second run changes nothing.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

if __package__ in (None, ""):  # started as a file, which puts this folder and not the one above on the path
    sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from sample.assets import SAMPLE_ROOT, split_front_matter
from sample.rendering.documents import render_document
from sample.rendering.pages import render_page
from sample.rendering.papers import render_paper

LAYOUT_FIELDS = ("layout", "author")


def make_files(root: Path) -> Iterator[tuple[Path, bytes]]:
    """Each file to be written, as its path and bytes; the manifest comes last."""
    manifest: list[dict[str, Any]] = []
    for source in sorted((root / "sources").glob("*.md")):
        fields, text = split_front_matter(source)
        manifest.append({name: value for name, value in fields.items() if name not in LAYOUT_FIELDS})
        yield root / "content" / fields["file"], _render(fields, text)
    listing = json.dumps(manifest, ensure_ascii=False, indent=2) + "\n"
    yield root / "content" / "manifest.json", listing.encode()


def _render(fields: dict[str, Any], text: str) -> bytes:
    form = Path(fields["file"]).suffix
    if form == ".html":
        return render_page(fields, text).encode()
    if form == ".docx":
        return render_document(fields, text)
    if form == ".pdf":
        return render_paper(fields, text)
    raise ValueError(f"{fields['id']}: no maker for files that end in {form!r}")


def main() -> None:
    """Writes every file and says how many have changed."""
    changed = 0
    for path, content in make_files(SAMPLE_ROOT):
        path.parent.mkdir(parents=True, exist_ok=True)
        if not path.exists() or path.read_bytes() != content:
            path.write_bytes(content)
            changed += 1
    print(f"{changed} files written")


if __name__ == "__main__":
    main()
