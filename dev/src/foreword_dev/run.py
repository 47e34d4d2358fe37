"""`make run`: starts Foreword, loads the sample firm the first time, shows what it does, waits for Ctrl-C."""

from __future__ import annotations

import os
import sys
import time
from pathlib import Path

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from foreword_client import Client, ForewordUnavailable, RequestRefused
from foreword_dev import sample_firm
from foreword_dev.demonstration import show
from foreword_dev.embedded_postgres import DatabaseBroken
from foreword_dev.processes import ServiceDied
from foreword_dev.sample_firm import SampleMissing
from foreword_dev.settings import ConfigurationMistake, RunSettings
from foreword_dev.stack import CommandFailed, Stack, running
from foreword_dev.stopping import heed_stops, ignore_stops

_MISTAKES = (
    ConfigurationMistake,
    DatabaseBroken,
    CommandFailed,
    ServiceDied,
    SampleMissing,
    ForewordUnavailable,
    RequestRefused,
)


def main() -> int:
    console = Console(highlight=False)
    heed_stops()
    stack: Stack | None = None
    try:
        settings = RunSettings.from_environment(os.environ)
        with console.status("Starting") as status:
            context = running(settings, lambda text: status.update(text))
            stack = context.__enter__()
        try:
            _serve(stack, console)
        finally:
            ignore_stops()
            console.print("\nStopping …")
            context.__exit__(None, None, None)
            console.print("Stopped.")
    except KeyboardInterrupt:
        return 0
    except _MISTAKES as error:
        # What is left to stop is stopped as the interpreter ends.
        ignore_stops()
        console.print(
            "[bold red]Foreword did not start:[/]" if stack is None else "[bold red]Stopped:[/]", end=" "
        )
        console.print(str(error), markup=False, soft_wrap=True)
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
