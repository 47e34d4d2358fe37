"""What gunicorn runs: `gunicorn -c python:servicekit.gunicorn_conf gateway.wsgi:app`."""

from __future__ import annotations

import sys

from gateway.app import create_app
from gateway.settings import GatewaySettings
from servicekit import logs
from servicekit.database import SchemaUnknown
from servicekit.settings import SettingsInvalid

try:
    settings = GatewaySettings.load()
    logs.configure("gateway", settings.log_level)
    app = create_app(settings)
except (SettingsInvalid, SchemaUnknown) as error:
    sys.exit(f"The gateway cannot start. {error}")
