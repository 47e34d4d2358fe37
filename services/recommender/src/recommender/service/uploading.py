"""Files from the content team: read in the sandbox, completed from what was said of them, and stored."""

from __future__ import annotations

import hashlib
import re
import unicodedata
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Any
from urllib.parse import quote, urljoin

from pydantic import ValidationError

from contract.assets import AssetInput, ImportResult
from recommender.domain.assets import UNCONDITIONAL, Precondition
from recommender.domain.errors import EquivalenceInvalid, RevisionMismatch
from recommender.extraction.content import Extracted
from recommender.extraction.errors import ExtractionError
from recommender.extraction.sandbox import Sandbox
from recommender.service.asset_records import record_of
from recommender.service.assets import AssetService
from servicekit.errors import Unprocessable
from servicekit.wire import field_problems

_LONGEST_SLUG = 100
_FRONT_MATTER_FIELDS = frozenset(AssetInput.model_fields) - {"body", "metadata"}


@dataclass(frozen=True, slots=True)
class UploadedFile:
    filename: str
    declared_type: str | None
    data: bytes


class AssetUpload:
    """Stores one asset per file; a file that cannot be read says why and spoils no other."""

    def __init__(self, assets: AssetService, sandbox: Sandbox) -> None:
        self._assets = assets
        self._sandbox = sandbox

    def store(
        self,
        file: UploadedFile,
        stated: Mapping[str, Any],
        *,
        base_url: str | None,
        status: str | None,
        expected: Precondition = UNCONDITIONAL,
    ) -> ImportResult:
        """`stated` are the sender's own fields for this file; they win over what the file says.

        `expected` may ask that there be no asset under the file's id yet: replacing takes it off the air.
        """
        try:
            extracted = self._sandbox.extract(file.data, file.filename, file.declared_type)
        except ExtractionError as error:
            return _failed(file, error.code, str(error))
        try:
            merged = _merge(extracted, stated, file.filename, base_url, status)
        except ValueError:
            return _failed(file, "base_url_invalid", "The base_url is no address.")
        if merged.get("url") is None:
            return _failed(
                file,
                "url_missing",
                "The file does not say where it is published; give its url, or a base_url for all files.",
            )
        try:
            fields = AssetInput.model_validate(merged)
        except ValidationError as error:
            first = field_problems(error)[0]
            return _failed(file, "fields_invalid", f"{first.pointer.lstrip('/')}: {first.detail}")
        asset_id = fields.id or _slug(file.filename)
        try:
            outcome = self._assets.write([record_of(asset_id, fields)], expected)[0]
        except RevisionMismatch:
            failed = _failed(file, "asset_exists", f"There is an asset {asset_id} already.")
            return failed.model_copy(update={"id": asset_id})
        except Unprocessable as error:
            return _failed(file, error.code, error.detail)
        except EquivalenceInvalid as error:
            return _failed(file, "equivalence_invalid", str(error))
        return ImportResult(
            filename=file.filename,
            id=asset_id,
            result=outcome.result,
            asset=self._assets.get(asset_id).output,
            warnings=extracted.warnings,
        )


def _failed(file: UploadedFile, code: str, detail: str) -> ImportResult:
    return ImportResult(filename=file.filename, result="failed", code=code, detail=detail)


def _merge(
    extracted: Extracted,
    stated: Mapping[str, Any],
    filename: str,
    base_url: str | None,
    status: str | None,
) -> dict[str, Any]:
    """What the sender states over what the front matter says over what was read out of the file.

    The status is the sender's to state: a file must not put itself on the air.
    """
    front = {k: v for k, v in extracted.metadata.front_matter.items() if k in _FRONT_MATTER_FIELDS}
    published = extracted.metadata.published_at
    found: dict[str, Any] = {
        "title": extracted.title,
        "summary": extracted.summary,
        "body": extracted.body,
        "language": extracted.language,
        "url": extracted.metadata.url or _url_under(base_url, filename),
        "image_url": extracted.metadata.image_url,
        "publish_at": published,
    }
    asked = {} if status is None else {"status": status}
    merged = {**{k: v for k, v in found.items() if v is not None}, **front, **asked, **stated}
    return {k: v for k, v in merged.items() if v is not None}


def _url_under(base_url: str | None, filename: str) -> str | None:
    if base_url is None:
        return None
    name = PurePosixPath(filename.replace("\\", "/")).name
    return urljoin(base_url.rstrip("/") + "/", quote(name))


def _slug(filename: str) -> str:
    """An id from a file name, the same each time, so that uploading again replaces."""
    stem = PurePosixPath(filename.replace("\\", "/")).stem
    letters = "".join(
        c for c in unicodedata.normalize("NFKD", stem.casefold()) if not unicodedata.combining(c)
    )
    plain = re.sub(r"[^a-z0-9]+", "-", letters).strip("-")
    if all(c.isascii() or not c.isalnum() for c in letters) and 0 < len(plain) <= _LONGEST_SLUG:
        return plain
    # Other scripts leave nothing, or too little to tell two files apart.
    digest = hashlib.blake2b(stem.encode("utf-8", "surrogatepass"), digest_size=5).hexdigest()
    return f"{plain[:_LONGEST_SLUG]}-{digest}".lstrip("-")
