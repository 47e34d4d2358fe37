"""Styles, scripts and the typeface: read once, kept compressed, and cached by browsers under their digest."""

from __future__ import annotations

import gzip
import hashlib
import re
from dataclasses import dataclass
from functools import cache
from importlib import resources
from importlib.resources.abc import Traversable

from flask import Flask, Response, request, url_for

from gateway.studio.roles import needs
from servicekit.errors import NotFound

_TYPES = {
    ".css": "text/css; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".woff2": "font/woff2",
    ".svg": "image/svg+xml",
    ".txt": "text/plain; charset=utf-8",
}

# A page paints once the last of its sheets is there, and each file is a request.
_TOGETHER = {
    "styles.css": ("vendor/pico.css", "studio.css"),
    "scripts.js": ("vendor/htmx.js", "studio.js", "many.js"),
}
# Under its digest as well, or browsers would ask for the typeface again with every page.
_NAMED_FONT = re.compile(rb"url\(([\w./-]+\.woff2)\)")


@dataclass(frozen=True, slots=True)
class _File:
    data: bytes
    packed: bytes | None
    media_type: str
    digest: str


@cache
def _files() -> dict[str, _File]:
    """All of them, some 200 KB: what a request names is looked up here and never becomes a path."""
    found: dict[str, bytes] = {}

    def gather(folder: Traversable, prefix: str) -> None:
        for entry in folder.iterdir():
            if entry.is_dir():
                gather(entry, f"{prefix}{entry.name}/")
            elif _suffix(entry.name) in _TYPES:
                found[prefix + entry.name] = entry.read_bytes()

    gather(resources.files("gateway.studio").joinpath("static"), "")

    for name, parts in _TOGETHER.items():
        found[name] = b"\n".join(found.pop(part) for part in parts)

    def with_digest(match: re.Match[bytes]) -> bytes:
        return b"url(%b?v=%b)" % (match[1], _digest(found[match[1].decode()]).encode())

    for name in found:
        if _suffix(name) == ".css":
            found[name] = _NAMED_FONT.sub(with_digest, found[name])
    return {name: _kept(data, _suffix(name)) for name, data in found.items()}


def _suffix(name: str) -> str:
    return name[name.rfind(".") :]


def _digest(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()[:12]


def _kept(data: bytes, suffix: str) -> _File:
    packed = None if suffix == ".woff2" else gzip.compress(data, 9, mtime=0)
    return _File(data, packed, _TYPES[suffix], _digest(data))


def address(name: str) -> str:
    """The file's address with its digest, so that a new version is fetched and an old one never asked for."""
    return url_for("static_files", name=name, v=_files()[name].digest)


def init_app(app: Flask) -> None:
    @app.get("/static/<path:name>", endpoint="static_files")
    @needs(None)
    def serve(name: str) -> Response:
        file = _files().get(name)
        if file is None:
            raise NotFound("There is no such file.")
        headers = {"ETag": f'"{file.digest}"', "Vary": "Accept-Encoding"}
        current = request.args.get("v") == file.digest
        headers["Cache-Control"] = "public, max-age=31536000, immutable" if current else "no-cache"
        if request.if_none_match.contains(file.digest):
            return Response(status=304, headers=headers)
        if file.packed is not None and request.accept_encodings.quality("gzip") > 0:
            return Response(
                file.packed, content_type=file.media_type, headers={**headers, "Content-Encoding": "gzip"}
            )
        return Response(file.data, content_type=file.media_type, headers=headers)

    app.jinja_env.globals["static"] = address
