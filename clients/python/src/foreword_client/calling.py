"""What every command that calls Foreword shares: the group, the key, and errors told in one sentence."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import click
import orjson

from foreword_client.client import Client, ForewordUnavailable, RequestRefused
from foreword_client.email_batch import RecipientsUnreadable
from foreword_client.email_csv import RecipientsInvalid
from foreword_client.importing import FileUnreadable


@click.group()
def group() -> None:
    """Commands that call a running Foreword."""


@contextmanager
def told_plainly(refused: str) -> Iterator[None]:
    """What goes wrong between here and Foreword, in one sentence; `refused` begins that of a refusal."""
    try:
        yield
    except (FileUnreadable, RecipientsInvalid, RecipientsUnreadable) as error:
        raise click.ClickException(str(error)) from error
    except ForewordUnavailable as error:
        said = str(error).rstrip(".")
        raise click.ClickException(f"{said}. Run the same command again to go on.") from error
    except RequestRefused as error:
        raise click.ClickException(f"{refused}: {error}") from error


def data_dir() -> Path:
    """Where keys are found and progress is kept."""
    return Path(os.environ.get("FOREWORD_DATA_DIR", ".foreword"))


def client_of(url: str, key: str | None) -> Client:
    return Client(url, key or _own_key())


def _own_key() -> str:
    path = data_dir() / "keys.json"
    try:
        return str(orjson.loads(path.read_bytes())["secret"])
    except (FileNotFoundError, KeyError, orjson.JSONDecodeError) as error:
        raise click.ClickException(
            f"Give a secret key with --key or FOREWORD_KEY; there is none in {path}."
        ) from error
