"""Draws what `make run` shows, from a running Foreword: `python -m foreword_dev.picture OUT.svg`."""

from __future__ import annotations

import io
import os
import re
import sys
from pathlib import Path

import orjson
from rich.console import Console

from foreword_client import Client
from foreword_dev.demonstration import show_buyer
from foreword_dev.sample_firm import sample_buyers
from foreword_dev.settings import RunSettings


def main(path: str) -> None:
    settings = RunSettings.from_environment(os.environ)
    client = Client(settings.gateway_url, orjson.loads(settings.keys_file.read_bytes())["secret"])
    console = Console(record=True, width=112, file=io.StringIO(), highlight=False, force_terminal=True)
    for buyer in sample_buyers():
        show_buyer(buyer, client, console)
    drawn = console.export_svg(title="make run")
    # Whoever looks at the README should not load a font from somebody's server: any monospace will do.
    Path(path).write_text(re.sub(r"@font-face \{.*?\}\s*", "", drawn, flags=re.DOTALL))


if __name__ == "__main__":
    main(sys.argv[1])
