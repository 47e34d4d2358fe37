"""Upload: one file a request, stored as a draft, and what was read out of it shown for correction."""

from __future__ import annotations

from flask import Blueprint, make_response, render_template, request
from werkzeug.wrappers import Response

from gateway.studio.catalogue import Document
from gateway.studio.desk import Desk, go
from gateway.studio.drafted_rows import as_drafts
from gateway.studio.editing import WRITTEN, Editing, fields_of, read_tags
from gateway.studio.library_filters import MOST_TAGS
from gateway.studio.roles import Role, needs
from gateway.studio.topic_reading import topics_in
from gateway.studio.web_sources import WebFile
from servicekit.errors import BadRequest, Conflict, ForewordError, NotFound, Unavailable, Unprocessable
from servicekit.wire import json_response

_MOST_LISTED = 50
_MOST_ROWS = 2_000


def blueprint(desk: Desk) -> Blueprint:
    pages = Blueprint("upload", __name__)
    editing = Editing(desk)

    @pages.get("/upload")
    @needs(Role.EDITOR)
    def page() -> str:
        brief = {name: request.args.get(name, "") for name in ("stage", "persona", "topic")}
        return render_template("upload.html", brief=brief, base_url=_base_url())

    @pages.post("/upload/file")
    @needs(Role.EDITOR)
    def one_file() -> Response:
        """A part of the page comes back, whatever the file was: a broken one spoils no other."""
        file = request.files.get("file")
        if file is None or not file.filename:
            raise BadRequest("Send one file.")
        name = file.filename.replace("\\", "/").rpartition("/")[2][:200]
        data = file.read()
        try:
            if name.lower().endswith((".csv", ".tsv")):
                return make_response(_rows(name, data))
            return make_response(_read(name, data, file.mimetype))
        except Unavailable as error:
            return make_response(
                render_template("upload_failed.html", name=name, problem=error.detail, again=True)
            )
        except ForewordError as error:
            return make_response(render_template("upload_failed.html", name=name, problem=error.detail))

    @pages.get("/upload/likeness")
    @needs(Role.EDITOR)
    def likeness() -> str:
        asset = desk.catalogue.asset(request.args.get("id", ""))
        return render_template("likeness.html", **_likeness(asset))

    @pages.post("/upload/link")
    @needs(Role.EDITOR)
    def link() -> Response:
        """An asset that lives on the web already: its address and its title, as a draft."""
        fields = {k: v for k, v in fields_of(request.form).items() if v}
        fields["status"] = "draft"
        asset_id = (
            request.form.get("asset_id", "").strip()
            or fields.get("url", "").rstrip("/").rpartition("/")[2][:100]
        )
        if not asset_id or not fields.get("title"):
            return go("upload.page", "A link needs its address and a title.", "problem")
        try:
            desk.catalogue.asset(asset_id)
        except NotFound:
            pass
        else:
            return go(
                "upload.page", f"There is an asset {asset_id} already; open it in the library.", "problem"
            )
        try:
            stored = desk.catalogue.put(asset_id, fields)
        except (Unprocessable, BadRequest, Conflict) as error:
            told = "; ".join(f"{f.pointer.strip('/')}: {f.detail}" for f in error.fields) or error.detail
            return go("upload.page", f"Not stored. {told}", "problem")
        desk.note("asset.created", ("asset", asset_id), f"Added the link “{stored['title']}”")
        return go("asset.page", "Stored as a draft. Check it, then approve it.", id=asset_id)

    @pages.post("/upload/url")
    @needs(Role.EDITOR)
    def one_address() -> Response:
        """A page of the web as a draft; of a feed, the addresses that the browser asks for one by one."""
        url = request.form.get("url", "").strip()[:2000]
        try:
            found = desk.web.fetch(url)
            if not isinstance(found, WebFile):
                return json_response({"addresses": found})
            return make_response(_read(found.name, found.data, found.media_type, found.url))
        except Unavailable as error:
            return make_response(
                render_template("upload_failed.html", name=url, problem=error.detail, again=True)
            )
        except ForewordError as error:
            return make_response(render_template("upload_failed.html", name=url, problem=error.detail))

    def _read(name: str, data: bytes, media_type: str, url: str | None = None) -> str:
        row = _send(name, data, media_type, url, replace=False)
        before: Document | None = None
        if row.get("code") == "asset_exists" and _may_replace():
            before = editing.replaceable(row["id"])
            row = _send(name, data, media_type, url, replace=True)
        if row["result"] == "failed":
            problem = row.get("detail") or "It could not be read."
            if row.get("code") == "asset_exists":
                problem += " Rename the file, or tick “Replace what is there” and send it again."
            return render_template("upload_failed.html", name=name, problem=problem)
        asset = row["asset"]
        entry: int | None = None
        if before is not None:
            entry = editing.replaced(before, asset, f"Replaced by {name}, as a draft")
        elif row["result"] == "stored":
            desk.note("asset.uploaded", ("asset", asset["id"]), f"Uploaded {name} as a draft")
        return render_template(
            "upload_row.html",
            asset=asset,
            form=_offered(asset),
            problem="",
            name=name,
            warnings=row.get("warnings", []),
            fresh=True,
            unchanged=row["result"] == "unchanged",
            replaced=entry,
        )

    def _offered(asset: Document) -> dict[str, str]:
        """Tags in the form, to be saved with the rest: topics that the text names, and those of the gap that
        the upload is to close.
        """
        topics = asset["topics"] or _named(asset)
        gap = {name: read_tags(request.form.get(name, "")[:200]) for name in ("persona", "topic")}
        offered = {
            "topics": list(dict.fromkeys([*topics, *gap["topic"]])),
            "personas": list(dict.fromkeys([*asset["personas"], *gap["persona"]])),
        }
        return {name: ", ".join(tags) for name, tags in offered.items()}

    def _named(asset: Document) -> list[str]:
        try:
            known = desk.catalogue.tags(MOST_TAGS)["topics"]
        except (ForewordError, KeyError):
            return []  # the file is stored: nobody should miss it for want of an offer
        text = f"{asset.get('summary') or ''} {asset.get('body') or ''}"
        return topics_in(asset["title"], text, known)

    def _send(name: str, data: bytes, media_type: str, url: str | None, *, replace: bool) -> Document:
        return desk.catalogue.upload(
            name,
            data,
            media_type or "application/octet-stream",
            _base_url(request.form.get("base_url", "")),
            url,
            replace=replace,
        )

    def _rows(name: str, data: bytes) -> str:
        rows, media_type = as_drafts(data, most_rows=_MOST_ROWS)
        results = desk.catalogue.import_drafts(rows, media_type, replace=False)
        there = [str(row["id"]) for row in results if row.get("code") == "asset_exists"]
        if there and _may_replace():
            before = {asset_id: editing.replaceable(asset_id) for asset_id in there}
            again = desk.catalogue.import_drafts(rows, media_type, replace=True)
            results = [
                new if old.get("code") == "asset_exists" else old
                for old, new in zip(results, again, strict=False)
            ]
            for asset_id, was in before.items():
                now = desk.catalogue.asset(asset_id)
                editing.replaced(was, now, f"Replaced by a row of {name}, as a draft")
        stored = [r for r in results if r["result"] == "stored"]
        failed = [r for r in results if r["result"] == "failed"]
        if stored:
            desk.note("assets.imported", ("file", name), f"Imported {len(stored)} rows of {name} as drafts")
        return render_template(
            "upload_rows.html",
            name=name,
            stored=stored,
            failed=failed[:_MOST_LISTED],
            failures=len(failed),
            unchanged=len(results) - len(stored) - len(failed),
            there=there and not _may_replace(),
        )

    def _likeness(asset: Document) -> Document:
        fields = {k: asset[k] for k in WRITTEN if asset.get(k) is not None}
        try:
            preview = desk.catalogue.preview({**fields, "id": asset["id"]})
        except ForewordError:
            preview = None
        return {
            "like": [] if preview is None else preview["near_duplicates"],
            "audience": None if preview is None else preview["audience"],
            "asset": asset,
        }

    def _may_replace() -> bool:
        return request.form.get("replace") == "yes"

    def _base_url(stated: str = "") -> str:
        if stated.startswith(("http://", "https://")) and not any(c.isspace() for c in stated):
            return stated[:1000]
        return (desk.parts.settings.public_url or request.host_url).rstrip("/") + "/content"

    return pages
