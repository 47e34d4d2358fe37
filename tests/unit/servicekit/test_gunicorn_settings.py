"""gunicorn's settings are ones that gunicorn knows, and those that Kubernetes needs."""

from __future__ import annotations

import types
from pathlib import Path

from gunicorn.config import Config

from servicekit import gunicorn_conf

_NAMES = {
    name
    for name, value in vars(gunicorn_conf).items()
    if not name.startswith("_")
    and not isinstance(value, (types.ModuleType, type))
    and name not in {"annotations", "Any"}
}


def test_gunicorn_knows_every_name() -> None:
    known = Config().settings
    assert _NAMES - set(known) == set()


def test_nothing_is_recycled_and_no_file_stands_in_the_way() -> None:
    assert gunicorn_conf.worker_class == "servicekit.gunicorn_worker.WaitingWorker"
    assert gunicorn_conf.max_requests == 0, "a worker holds an index or a model"
    assert gunicorn_conf.control_socket_disable is True, "the root file system is read-only"
    if Path("/dev/shm").is_dir():
        assert gunicorn_conf.worker_tmp_dir == "/dev/shm", "a slow disk must not look like a hung worker"
