"""`python -m embedder.prepare`: convert and test the settings' model now, so that a start finds it ready.

For building an image: what is kept in `FOREWORD_EMBEDDER_CACHE_DIR` may be read-only afterwards.
"""

from __future__ import annotations

import sys

from embedder.encoder import ModelUnusable
from embedder.loading import load
from embedder.settings import EmbedderSettings
from servicekit import logs
from servicekit.settings import SettingsInvalid


def main() -> None:
    try:
        settings = EmbedderSettings.load()
        logs.configure("embedder", settings.log_level)
        load(settings)
    except (SettingsInvalid, ModelUnusable) as error:
        sys.exit(f"The model cannot be prepared. {error}")


if __name__ == "__main__":
    main()
