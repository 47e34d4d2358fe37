"""gunicorn's own messages in the same JSON as the service's."""

from __future__ import annotations

from typing import Any

from gunicorn.glogging import Logger

from servicekit import logs


class JsonLogger(Logger):  # type: ignore[misc] # gunicorn has no types
    """Hands gunicorn's messages to the root logger instead of writing them in a format of their own."""

    def setup(self, cfg: Any) -> None:
        super().setup(cfg)
        logs.configure(str(cfg.default_proc_name).split(".")[0])
        self.error_log.handlers.clear()
        self.error_log.propagate = True
