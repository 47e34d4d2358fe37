"""gunicorn's settings are ones that gunicorn knows, and those that Kubernetes needs."""

from __future__ import annotations

import os
import subprocess
import sys
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
    assert gunicorn_conf.worker_class == "servicekit.gunicorn_worker.AdmittingWorker"
    assert gunicorn_conf.max_requests == 0, "a worker holds an index or a model"
    assert gunicorn_conf.control_socket_disable is True, "the root file system is read-only"
    if Path("/dev/shm").is_dir():
        assert gunicorn_conf.worker_tmp_dir == "/dev/shm", "a slow disk must not look like a hung worker"


def test_small_products_of_matrices_keep_no_threads_spinning() -> None:
    asked = (
        "import servicekit.gunicorn_conf, numpy, threadpoolctl;"
        "print(*(one['num_threads'] for one in threadpoolctl.threadpool_info()))"
    )
    environment = {name: value for name, value in os.environ.items() if not name.endswith("_NUM_THREADS")}
    done = subprocess.run(
        [sys.executable, "-c", asked], env=environment, capture_output=True, text=True, check=True, timeout=60
    )
    assert set(done.stdout.split()) == {"1"}
