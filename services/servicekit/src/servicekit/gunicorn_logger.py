"""gunicorn's own messages in the same JSON as the service's."""

from __future__ import annotations

from typing import Any

from gunicorn.glogging import Logger

from servicekit import logs

_UNREADABLE = "Invalid request from ip="


class JsonLogger(Logger):  # type: ignore[misc] # gunicorn has no types
    """Hands gunicorn's messages to the root logger instead of writing them in a format of their own."""

    def setup(self, cfg: Any) -> None:
        super().setup(cfg)
        logs.configure(str(cfg.default_proc_name).split(".")[0])
        self.error_log.handlers.clear()
        self.error_log.propagate = True

    def warning(self, msg: str, *args: Any, **kwargs: Any) -> None:
        """Of a request that cannot be read gunicorn quotes the line and its sender's address: people's."""
        if msg.startswith(_UNREADABLE):
            msg, args = "invalid_request", ()
        super().warning(msg, *args, **kwargs)
