"""What pages load: every file they name is there, and is asked for once and not with every page."""

from __future__ import annotations

import re
from importlib import resources

from flask import Flask

from gateway.studio import static_files


def the_app() -> Flask:
    app = Flask(__name__, static_folder=None)
    static_files.init_app(app)
    return app


def test_every_file_that_a_template_names_is_there_and_kept_for_good() -> None:
    app = the_app()
    templates = resources.files("gateway.studio").joinpath("templates")
    named = {
        name
        for template in templates.iterdir()
        if template.name.endswith(".html")
        for name in re.findall(r"static\('([^']+)'\)", template.read_text())
    }
    assert {"styles.css", "scripts.js", "vendor/inter.woff2"} <= named
    with app.test_request_context():
        addresses = {name: static_files.address(name) for name in named}
    for name, address in addresses.items():
        answer = app.test_client().get(address)
        assert answer.status_code == 200, name
        assert "immutable" in answer.headers["Cache-Control"], name


def test_the_typeface_is_loaded_from_the_address_that_pages_load_it_from_in_advance() -> None:
    app = the_app()
    styles = app.test_client().get("/static/styles.css").get_data(as_text=True)
    with app.test_request_context():
        in_advance = static_files.address("vendor/inter.woff2")
    assert [f"/static/{url}" for url in re.findall(r"url\((vendor[^)]+)\)", styles)] == [in_advance]
    assert "no-cache" in app.test_client().get("/static/vendor/inter.woff2").headers["Cache-Control"]
