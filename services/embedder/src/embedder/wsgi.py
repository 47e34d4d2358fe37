"""What gunicorn serves: `gunicorn -c python:servicekit.gunicorn_conf embedder.wsgi:app`."""

from __future__ import annotations

from embedder.app import create_app
from embedder.settings import EmbedderSettings

app = create_app(EmbedderSettings.load())
