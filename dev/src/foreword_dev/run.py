"""`make run`: starts Foreword, loads the sample firm the first time, shows what it does, waits for Ctrl-C."""

from __future__ import annotations

import os
import signal
import sys
import time
from pathlib import Path

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from foreword_client import Client, ForewordUnavailable
from foreword_dev import sample_firm
from foreword_dev.demonstration import show
from foreword_dev.embedded_postgres import DatabaseBroken
from foreword_dev.processes import ServiceDied
from foreword_dev.settings import ConfigurationMistake, RunSettings
from foreword_dev.stack import CommandFailed, Stack, running

_SETTLE_SECONDS = 60.0


def main() -> int:
    console = Console(highlight=False)
    # Started from a script's background, Ctrl-C would be ignored; SIGTERM stops as cleanly.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        settings = RunSettings.from_environment(os.environ)
        with console.status("Starting") as status:
            context = running(settings, lambda text: status.update(text))
            stack = context.__enter__()
        try:
            _serve(stack, console)
        finally:
            console.print("\nStopping …")
            context.__exit__(None, None, None)
            console.print("Stopped.")
    except KeyboardInterrupt:
        return 0
    except (ConfigurationMistake, DatabaseBroken, CommandFailed, ServiceDied, ForewordUnavailable) as error:
        console.print(f"[bold red]Foreword did not start:[/] {error}", markup=True)
        return 1
    return 0


def _serve(stack: Stack, console: Console) -> None:
    client = Client(stack.url, stack.keys["secret"])
    loaded = stack.settings.data_dir / "sample-loaded"
    if stack.settings.load_sample and not loaded.exists():
        _load_sample(client, loaded, console)
    show(stack, client, console)
    while True:
        time.sleep(1.0)
        stack.services.check_alive()


def _load_sample(client: Client, marker: Path, console: Console) -> None:
    columns = (
        TextColumn("Sample firm: {task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
    )
    with Progress(*columns, console=console, transient=True) as bars:
        tasks = {}

        def on_progress(what: str, done: int, total: int) -> None:
            if what not in tasks:
                tasks[what] = bars.add_task(what, total=total)
            bars.update(tasks[what], completed=done)

        failures = sample_firm.load(client, sample_firm.start_of_today(), on_progress)
    for failure in failures:
        console.print(f"[yellow]Not loaded:[/] {failure}")
    marker.write_text("The sample firm is loaded. Remove this file to load it again.\n")


if __name__ == "__main__":
    sys.exit(main())
