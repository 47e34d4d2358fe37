"""The process that reads files for the sandbox: `python -m recommender.extraction.worker`.

Takes jobs on standard input and answers on standard output (see `wire`), until its input ends.
"""

from __future__ import annotations

import importlib
import logging
import os
import sys
from typing import BinaryIO

from recommender.extraction.confinement import allow_for_job, confine_process, job_is_over, prefer_as_victim
from recommender.extraction.documents import extract
from recommender.extraction.errors import ExtractionError, Malformed, ReaderFailed, TooMuchMemory
from recommender.extraction.language import detect_language
from recommender.extraction.limits import Limits
from recommender.extraction.wire import LENGTH, decode_head, encode_error, encode_extracted, frame

READY = b"ready"
# Parsers import these when a file first needs them; better now than under the clock of someone's upload.
_LATE_IMPORTS = (
    "cryptography.hazmat.primitives.ciphers.aead",
    "encodings.idna",
    "encodings.cp1252",
    "encodings.utf_16",
)
# After these errors, and unforeseen ones, a parser may have been left half way, so the worker is replaced.
_TAINTING = (TooMuchMemory, ReaderFailed)


def main() -> int:
    """Serve until the parent closes the pipe; 0 on a clean end."""
    jobs = sys.stdin.buffer
    answers = os.fdopen(os.dup(sys.stdout.fileno()), "wb", buffering=0)
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())  # a parser that prints must not break the frames
    logging.disable(logging.CRITICAL)  # parsers log what they find in the file; the warnings tell the user
    prefer_as_victim()
    _warm_up()
    confine_process()
    _send(answers, READY)
    while (head := _receive(jobs)) is not None:
        data = _receive(jobs)
        if data is None:
            return 0
        answer, fit = _answer(head, data)
        del data
        _send(answers, answer)
        if not fit:
            return 0
    return 0


def _answer(head: bytes, data: bytes) -> tuple[bytes, bool]:
    job = decode_head(head)
    allow_for_job(job.limits)
    try:
        payload = encode_extracted(extract(data, job.filename, job.declared_type, job.limits), fit=True)
        fit = True
        if len(payload) > job.limits.max_answer_bytes:
            payload = encode_error(
                Malformed("The file yields far too much text; split it and upload parts."), True
            )
    except ExtractionError as error:
        fit = not (error.unforeseen or isinstance(error, _TAINTING))
        payload = encode_error(error, fit)
    except MemoryError:
        fit = False
        payload = encode_error(TooMuchMemory("Reading the file takes too much memory; split it."), fit)
    finally:
        job_is_over()
    return payload, fit


def _warm_up() -> None:
    for name in _LATE_IMPORTS:
        importlib.import_module(name)
    page = (
        b"<html><body><article><h1>Ready</h1><p>Every part is read in once, before work begins.</p></article>"
    )
    extract(page, "ready.html", None, Limits())
    extract(b"# Ready\n\n- one\n- two\n", "ready.md", None, Limits())
    extract("Prüfe, ob Umlaute gelesen werden können.".encode("cp1252"), "ready.txt", None, Limits())
    detect_language("The model that tells languages apart is read on first use, so use it once.")


def _receive(stream: BinaryIO) -> bytes | None:
    """The next frame, or None when the parent has closed the pipe, even in the middle of a frame."""
    length = stream.read(LENGTH.size)
    if len(length) < LENGTH.size:
        return None
    size = LENGTH.unpack(length)[0]
    payload = stream.read(size)
    return payload if len(payload) == size else None


def _send(stream: BinaryIO, payload: bytes) -> None:
    rest = memoryview(frame(payload))
    while rest:
        rest = rest[stream.write(rest) :]


if __name__ == "__main__":
    try:
        sys.exit(main())
    except BrokenPipeError:
        sys.exit(0)  # the parent has gone
