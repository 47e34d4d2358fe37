"""Where the studio is: the link that sets it up while nobody works there yet, then its plain address."""

from __future__ import annotations

import subprocess
import sys

from foreword_dev.stack import Stack


def studio_address(stack: Stack) -> str:
    """A new link each time; the ones before it work as well until somebody has used one of them."""
    command = [sys.executable, "-m", "servicekit.cli", "studio", "setup-link", "--only-first"]
    command += ["--url", stack.url, "--database-url", stack.database_url]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    return done.stdout.strip() or f"{stack.url}/studio/"
