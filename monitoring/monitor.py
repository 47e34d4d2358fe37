"""`make monitor`: Prometheus and Alertmanager over a Foreword, load, and a contact sheet of every panel.

Uses the Foreword that runs (its ports and data folder as for `make run`), or starts one for the time being.
What it started it stops at its end, and on Ctrl-C, a plain kill or a closed terminal.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import orjson
import urllib3
from urllib3.exceptions import HTTPError

from foreword_client import Client
from foreword_dev import sample_firm
from foreword_dev.embedded_postgres import DatabaseBroken
from foreword_dev.processes import ServiceDied
from foreword_dev.settings import ConfigurationMistake, RunSettings
from foreword_dev.stack import CommandFailed, running
from foreword_dev.stopping import heed_stops, ignore_stops
from monitoring.looking import contact_sheet, drawing
from monitoring.looking.cluster import cluster
from monitoring.looking.load import Load
from monitoring.looking.prometheus import NotReady, ToolMissing, watching

OUT = Path("build/monitor")
# `for: 1m` becomes 3 s: a sheet does not wait for hours.
_HURRY = 20.0
_MISTAKES = (ToolMissing, NotReady, ConfigurationMistake, DatabaseBroken, CommandFailed, ServiceDied)


def main() -> int:
    heed_stops()
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--minutes", type=float, default=3.0, help="how long the load lasts")
    parser.add_argument("--out", type=Path, default=OUT, help="folder for the pictures")
    given = parser.parse_args()
    try:
        settings = RunSettings.from_environment(os.environ)
        with ExitStack() as stack:
            stack.callback(_say, "Stopped.")
            try:
                panels = _under_load(settings, given.minutes, stack)
            finally:
                ignore_stops()
                _say("Stopping …")
    except KeyboardInterrupt:
        return 130
    except _MISTAKES as error:
        _say(str(error))
        return 1
    pictures = drawing.draw(panels, given.out)
    empty = [f"{panel.dashboard}: {panel.title}" for panel in panels if panel.is_empty]
    _say(f"{len(panels)} panels on {', '.join(str(path) for path in pictures)}")
    _say(f"Empty: {'; '.join(empty) or 'none'}")
    return 1 if empty else 0


def _under_load(settings: RunSettings, minutes: float, stack: ExitStack) -> list[contact_sheet.Drawn]:
    """What every panel shows after so many minutes; what it starts is stopped with `stack`."""
    folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="foreword-monitor-")))
    url, key = stack.enter_context(_foreword(settings))
    services = {
        "gateway": settings.gateway,
        "recommender": settings.recommender,
        "embedder": settings.embedder,
    }
    stand_in = stack.enter_context(cluster({name: ports.service for name, ports in services.items()}))
    targets = {name: ports.metrics for name, ports in services.items()} | {"cluster": stand_in}
    seen = stack.enter_context(watching(targets, folder, times=_HURRY, scrape_seconds=2))
    _say(f"Prometheus: {seen.prometheus}, Alertmanager: {seen.alertmanager}")
    users = [buyer["user_id"] for buyer in sample_firm.sample_buyers()]
    load = Load(url, key, users)
    start = time.time()
    load.start()
    stack.callback(load.stop)
    _say(f"Load for {minutes:g} minutes …")
    time.sleep(minutes * 60)
    end = time.time()
    panels = [contact_sheet.read(seen, *one, start, end) for one in contact_sheet.panels()]
    _say(f"Calls: {load.done}, without an answer: {load.failed}")
    firing = ", ".join(f"{alert} ({severity})" for alert, severity in sorted(seen.firing()))
    _say(f"Firing: {firing}")
    return panels


@contextmanager
def _foreword(settings: RunSettings) -> Iterator[tuple[str, str]]:
    """→ (its address, a secret key)."""
    if _answers(settings.gateway_url):
        yield settings.gateway_url, orjson.loads(settings.keys_file.read_bytes())["secret"]
        return
    with running(settings, _say) as stack:
        loaded = settings.data_dir / "sample-loaded"
        if settings.load_sample and not loaded.exists():
            _say("Loading the sample firm …")
            sample_firm.load(
                Client(stack.url, stack.keys["secret"]), sample_firm.start_of_today(), lambda *_: None
            )
            loaded.write_text("The sample firm is loaded. Remove this file to load it again.\n")
        yield stack.url, stack.keys["secret"]


def _answers(url: str) -> bool:
    try:
        return urllib3.request("GET", f"{url}/livez", retries=False, timeout=2.0).status == 200
    except HTTPError:
        return False


def _say(text: str) -> None:
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main())
