"""Every setting of every service stands in docs/operations.md, with its default and its meaning."""

from pathlib import Path

from foreword_dev.settings_table import SERVICES, table

OPERATIONS = Path(__file__).resolve().parents[2] / "docs" / "operations.md"


def test_the_table_is_what_the_settings_say() -> None:
    text = OPERATIONS.read_text()
    written = text.split("<!-- settings:begin -->")[1].split("<!-- settings:end -->")[0].strip()
    assert written == table(), "write it anew with: python -m foreword_dev.settings_table"


def test_every_setting_has_a_meaning() -> None:
    silent = [
        f"{service}.{field}"
        for service, settings in SERVICES
        for field, info in settings.model_fields.items()
        if not info.description
    ]
    assert silent == []
