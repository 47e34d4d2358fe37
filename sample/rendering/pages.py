"""Sets a source as a whole web page, with the navigation, banner and footer of a real site around it."""

from __future__ import annotations

import json
from datetime import date, timedelta
from html import escape
from typing import Any

from sample.rendering.markup import Block, parse_blocks, spans

TAGS = {"bold": "strong", "italic": "em", "code": "code"}
# The pages' own dates are frozen, so that making them again gives the same bytes.
PAGE_EPOCH = date(2026, 11, 1)
SCHEMA_TYPES = {
    "blog": "BlogPosting",
    "case_study": "Article",
    "demo_video": "VideoObject",
    "pricing": "Product",
}
WORDS: dict[str, dict[str, Any]] = {
    "en": {
        "nav": ["Products", "Industries", "Customers", "Pricing", "Learn", "Sign in"],
        "banner": "We use cookies to measure which pages are read. Nothing is set before you choose.",
        "choices": ["Accept all", "Only what is needed", "Settings"],
        "aside": (
            "Cold Comfort, our letter",
            "One story about refrigeration, on the first Tuesday of each month.",
        ),
        "button": "Subscribe",
        "more": "Keep reading",
        "footer": "Isbryn AB, Lindholmen 7, Gothenburg. Offices in Hamburg, Leeds and Columbus.",
        "legal": ["Imprint", "Privacy", "Terms", "Status page"],
        "strip": "612 fridges, 46 vans, one cheese cellar: see who works with Isbryn.",
    },
    "de": {
        "nav": ["Produkte", "Branchen", "Kunden", "Preise", "Wissen", "Anmelden"],
        "banner": "Wir messen mit Cookies, welche Seiten gelesen werden. Vor Ihrer Wahl wird nichts gesetzt.",
        "choices": ["Alle zulassen", "Nur notwendige", "Einstellungen"],
        "aside": ("Kalte Füße, unser Brief", "Jeden ersten Dienstag im Monat eine Geschichte aus der Kälte."),
        "button": "Bestellen",
        "more": "Weiterlesen",
        "footer": "Isbryn GmbH, Am Sandtorkai 91, Hamburg. Hauptsitz in Göteborg.",
        "legal": ["Impressum", "Datenschutz", "AGB", "Betriebsstatus"],
        "strip": "612 Kühlschränke, 46 Fahrzeuge, ein Käsekeller: wer mit Isbryn arbeitet.",
    },
}


def render_page(fields: dict[str, Any], text: str) -> str:
    """The HTML of one asset; ``fields`` is the front matter of its source."""
    words = WORDS[fields["language"]]
    body = "\n".join(_block(block) for block in parse_blocks(text))
    return f"""<!DOCTYPE html>
<html lang="{fields["language"]}">
<head>
<meta charset="utf-8">
<title>{escape(fields["title"])} | Isbryn</title>
<meta name="description" content="{escape(fields["summary"])}">
<meta name="viewport" content="width=device-width, initial-scale=1">
<link rel="canonical" href="{fields["url"]}">
<meta property="og:title" content="{escape(fields["title"])}">
<meta property="og:url" content="{fields["url"]}">
<script type="application/ld+json">
{_structured_data(fields)}
</script>
<script>window.consent = window.consent || {{ state: "unknown" }};</script>
<style>.cookie {{ position: fixed; bottom: 0 }} nav li {{ display: inline }}</style>
</head>
<body class="{fields["layout"]}">
<div class="cookie" role="dialog"><p>{words["banner"]}</p>{_buttons(words["choices"])}</div>
<header><a class="logo" href="/">Isbryn</a>
<nav aria-label="main"><ul>{_links(words["nav"])}</ul></nav></header>
{_LAYOUTS[fields["layout"]](fields, words, body)}
<footer><p>{words["footer"]}</p><ul>{_links(words["legal"])}</ul></footer>
</body>
</html>
"""


def _article(fields: dict[str, Any], words: dict[str, Any], body: str) -> str:
    heading, pitch = words["aside"]
    return f"""<main><article>
<p class="breadcrumb"><a href="/">Isbryn</a> › {escape(fields["topics"][0])}</p>
<h1>{escape(fields["title"])}</h1>
<p class="standfirst">{escape(fields["summary"])}</p>
{body}
</article></main>
<aside><h2>{heading}</h2><p>{pitch}</p>
<form action="/letter"><input name="email"><button>{words["button"]}</button>
</form></aside>"""


def _product(fields: dict[str, Any], words: dict[str, Any], body: str) -> str:
    return f"""<section class="hero"><h1>{escape(fields["title"])}</h1></section>
<main>
{body}
</main>
<section class="strip"><p>{words["strip"]}</p></section>"""


def _case(fields: dict[str, Any], words: dict[str, Any], body: str) -> str:
    tags = "".join(f"<li>{escape(name)}</li>" for name in fields["industries"] + fields["regions"])
    return f"""<main><article class="customer-story">
<h1>{escape(fields["title"])}</h1>
<ul class="tags">{tags}</ul>
{body}
</article></main>
<section class="related"><h2>{words["more"]}</h2><p>{words["strip"]}</p></section>"""


_LAYOUTS = {"article": _article, "product": _product, "case": _case}


def _block(block: Block) -> str:
    if block.kind == "paragraph":
        return f"<p>{_inline(block.lines[0])}</p>"
    if block.kind in ("heading", "subheading"):
        tag = "h2" if block.kind == "heading" else "h3"
        return f"<{tag}>{_inline(block.lines[0])}</{tag}>"
    if block.kind == "table":
        rows = "".join(
            "<tr>" + "".join(f"<td>{_inline(cell)}</td>" for cell in row) + "</tr>" for row in block.rows
        )
        return f"<table>{rows}</table>"
    tag = "ol" if block.kind == "numbers" else "ul"
    return f"<{tag}>" + "".join(f"<li>{_inline(line)}</li>" for line in block.lines) + f"</{tag}>"


def _inline(text: str) -> str:
    return "".join(
        escape(span.text, quote=False)
        if span.style == "plain"
        else f"<{TAGS[span.style]}>{escape(span.text, quote=False)}</{TAGS[span.style]}>"
        for span in spans(text)
    )


def _links(names: list[str]) -> str:
    return "".join(f'<li><a href="#">{escape(name)}</a></li>' for name in names)


def _buttons(names: list[str]) -> str:
    return "".join(f"<button>{escape(name)}</button>" for name in names)


def _structured_data(fields: dict[str, Any]) -> str:
    published = PAGE_EPOCH - timedelta(days=int(fields["published_days_ago"]))
    data = {
        "@context": "https://schema.org",
        "@type": SCHEMA_TYPES.get(fields["type"], "WebPage"),
        "name" if fields["type"] != "blog" else "headline": fields["title"],
        "url": fields["url"],
        "inLanguage": fields["language"],
        "datePublished": published.isoformat(),
        "publisher": {"@type": "Organization", "name": "Isbryn"},
    }
    return json.dumps(data, ensure_ascii=False, indent=1)
