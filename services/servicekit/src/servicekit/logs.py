"""JSON logs, one object a line on standard output, with the ids of the request that wrote them."""

from __future__ import annotations

import logging
import sys
from typing import TextIO, cast

import orjson
import structlog
from structlog.typing import EventDict, FilteringBoundLogger, WrappedLogger

from servicekit import request_context
from servicekit.crash_text import add_crash


def _add_request(_: WrappedLogger, __: str, event: EventDict) -> EventDict:
    context = request_context.current()
    if context is not None:
        event.setdefault("request_id", context.request_id)
        event.setdefault("trace_id", context.trace_id)
    return event


def _render(_: WrappedLogger, __: str, event: EventDict) -> str:
    return orjson.dumps(event, default=repr, option=orjson.OPT_NON_STR_KEYS).decode()


class _StandardOutput:
    """Whatever standard output is when a line is written; whoever exchanges it may close the old one."""

    def write(self, text: str) -> int:
        return sys.stdout.write(text)

    def flush(self) -> None:
        sys.stdout.flush()


_OUTPUT = cast(TextIO, _StandardOutput())


def configure(service: str, level: str = "INFO") -> None:
    """Send our logs, gunicorn's and every library's through one JSON renderer. Safe to call twice."""
    shared: list[structlog.typing.Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.stdlib.ExtraAdder(),
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        _add_request,
    ]
    structlog.configure(
        processors=[*shared, add_crash, _render],
        wrapper_class=structlog.make_filtering_bound_logger(logging.getLevelName(level)),
        logger_factory=structlog.WriteLoggerFactory(file=_OUTPUT),
        cache_logger_on_first_use=True,
    )
    structlog.contextvars.clear_contextvars()
    handler = logging.StreamHandler(_OUTPUT)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=[*shared, lambda _, __, e: {**e, "service": service}],
            processors=[
                structlog.stdlib.ProcessorFormatter.remove_processors_meta,
                add_crash,
                _render,
            ],
        )
    )
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(level)
    for noisy in (
        "urllib3",
        "alembic",
        "sentence_transformers",
        "transformers",
        "faiss",
        "trafilatura",
        "pypdf",
    ):
        logging.getLogger(noisy).setLevel(logging.WARNING)


def get(service: str) -> FilteringBoundLogger:
    """A logger whose lines carry the service's name."""
    logger: FilteringBoundLogger = structlog.get_logger(service=service)
    return logger
