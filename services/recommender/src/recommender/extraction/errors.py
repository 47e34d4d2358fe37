"""Why a file could not be read: one tree, each branch with a stable code and a sentence that says what to do.

ExtractionError
├── UnsupportedForm      not a form we read, or the name and the bytes contradict each other
├── NoText               nothing to read in it: an empty file, a PDF of scans
├── Encrypted            it needs a password
├── TooLarge             bytes, pages, archive entries, inflated size or ratio over the limit
├── Malformed            damaged, cut short, or built to do harm
├── TooSlow              reading took longer than allowed
├── TooMuchMemory        reading took more memory than allowed
└── ReaderUnavailable    not the file's fault; the same upload may work later
    ├── Busy             every reader is at work and none came free in time
    ├── Interrupted      the reader was stopped from outside while it read
    └── ReaderFailed     a reader would not start, or answered nonsense
"""

from __future__ import annotations

from typing import ClassVar


class ExtractionError(Exception):
    """A file could not be read; `code` is stable, `message` is for the person who uploaded it.

    `unforeseen`: a parser failed in a way that nobody has thought of, and may have been left half way.
    """

    code: ClassVar[str] = "extraction_failed"

    def __init__(self, message: str, *, unforeseen: bool = False) -> None:
        super().__init__(message)
        self.message = message
        self.unforeseen = unforeseen


class UnsupportedForm(ExtractionError):
    code = "unsupported_form"


class NoText(ExtractionError):
    code = "no_text"


class Encrypted(ExtractionError):
    code = "file_encrypted"


class TooLarge(ExtractionError):
    code = "file_too_large"


class Malformed(ExtractionError):
    code = "file_malformed"


class TooSlow(ExtractionError):
    code = "extraction_too_slow"


class TooMuchMemory(ExtractionError):
    code = "extraction_too_much_memory"


class ReaderUnavailable(ExtractionError):
    code = "extraction_unavailable"


class Busy(ReaderUnavailable):
    code = "extraction_busy"


class Interrupted(ReaderUnavailable):
    code = "extraction_interrupted"


class ReaderFailed(ReaderUnavailable):
    code = "extraction_reader_failed"


_LEAVES: tuple[type[ExtractionError], ...] = (
    UnsupportedForm,
    NoText,
    Encrypted,
    TooLarge,
    Malformed,
    TooSlow,
    TooMuchMemory,
    Busy,
    Interrupted,
    ReaderFailed,
)
_BY_CODE = {error.code: error for error in _LEAVES}


def error_from_code(code: str, message: str) -> ExtractionError:
    """The error a worker reported, rebuilt on this side of the pipe; an unknown code is a failed reader."""
    return _BY_CODE.get(code, ReaderFailed)(message)
