"""An answer as an email block: a table with inlined styles, and plain text for those who prefer it."""

from __future__ import annotations

from collections.abc import Mapping
from importlib import resources
from typing import Any

import css_inline
from flask import render_template


class EmailRenderer:
    """Mail programs drop <style>, so the style sheet is written into each element by css-inline."""

    def __init__(self) -> None:
        self._style = resources.files("gateway").joinpath("templates/email.css").read_text()
        self._inliner = css_inline.CSSInliner(load_remote_stylesheets=False, keep_style_tags=False)

    def html(self, answer: Mapping[str, Any], *, heading: str, accent: str, open_url: str | None) -> str:
        """A fragment to paste into a mail; empty where there is nothing to show."""
        if not answer["items"]:
            return ""
        fragment = render_template(
            "email_block.html", items=answer["items"], heading=heading, open_url=open_url
        )
        return self._inliner.inline_fragment(fragment, self._style.replace("#0b6e5f", accent)).strip() + "\n"

    @staticmethod
    def text(answer: Mapping[str, Any], *, heading: str) -> str:
        if not answer["items"]:
            return ""
        return render_template("email_block.txt", items=answer["items"], heading=heading).strip() + "\n"
