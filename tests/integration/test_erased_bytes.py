"""An erased buyer cannot be found by a byte search over the database's files, its logs and our snapshots."""

from __future__ import annotations

import io
import tempfile
from collections.abc import Iterator
from contextlib import redirect_stdout
from pathlib import Path
from urllib.parse import quote

import pytest
import sqlalchemy as sa
from click.testing import CliRunner

from foreword_dev.embedded_postgres import EmbeddedPostgres
from recommender_rig import Rig, ServedEmbedder, SettableClock, SwitchableEmbedder
from servicekit.crash_text import kinds

WHO = "maria.planted@firm.example"
DEVICE = "device-of-planted-maria-8731"
FORMER = "former-name-of-planted-maria"
MAIL = "planted.private.address@mail.example"
NAME = "Maria Plantedsdottir"
NAMES = (WHO, DEVICE, FORMER, MAIL, NAME)


@pytest.fixture(scope="module")
def place() -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix="foreword-erased-", ignore_cleanup_errors=True) as folder:
        yield Path(folder)


@pytest.fixture(scope="module")
def cluster(place: Path) -> Iterator[str]:
    """A PostgreSQL of this test's own: others' data would be in the way of the search, and it in theirs."""
    from recommender.store.migrate import migrate

    server = EmbeddedPostgres(place / "data")
    migrate(server.url)
    yield server.url
    server.stop()


@pytest.fixture
def firm(
    cluster: str, place: Path, embedder_server: ServedEmbedder, embedder: SwitchableEmbedder
) -> Iterator[Rig]:
    from recommender.app import create_app
    from recommender.settings import RecommenderSettings

    clock = SettableClock()
    settings = RecommenderSettings.load(
        database_url=cluster,
        embedder_url=embedder_server.url,
        threads=4,
        snapshot_dir=str(place / "snapshots"),
    )
    app = create_app(settings, clock=clock, background=False)
    yield Rig(app, clock)
    app.extensions["close"]()


def found_in(folder: Path) -> dict[str, set[str]]:
    """Each planted name, and the files below the folder that hold it in any of its spellings."""
    found: dict[str, set[str]] = {name: set() for name in NAMES}
    for path in folder.rglob("*"):
        if not path.is_file():
            continue
        data = path.read_bytes()
        for name in NAMES:
            if any(
                form in data
                for form in (name.encode(), quote(name, safe="").encode(), name.encode("utf-16-le"))
            ):
                found[name].add(str(path.relative_to(folder)))
    return found


def live(rig: Rig) -> None:
    """A life that leaves traces wherever there are any, some of them in other people's records."""
    events = [
        {"type": "identify", "messageId": "1", "userId": WHO, "anonymousId": DEVICE,
         "traits": {"email": MAIL, "name": NAME}, "context": {"groupId": "acme"}},
        {"type": "alias", "messageId": "2", "previousId": FORMER, "userId": WHO},
        {"type": "track", "messageId": "3", "userId": WHO, "event": "Pricing Viewed"},
        {"type": "page", "messageId": "4", "anonymousId": DEVICE},
        {"type": "purchase", "messageId": "5", "anonymousId": DEVICE, "note": NAME},
        {"type": "purchase", "messageId": "6", "email": MAIL},
        {"type": "track", "messageId": "7", "userId": "colleague", "event": "Invited",
         "properties": {"by": WHO, "text": f"asked by {MAIL}", "url": f"https://e.example/{quote(WHO)}"}},
        {"type": "group", "messageId": "8", "userId": "colleague", "groupId": "acme",
         "traits": {"contact": MAIL}},
    ]  # fmt: skip
    assert rig.send(*events).status_code == 200
    for number in range(40):  # enough that statistics keep samples of them
        rig.send(
            {"type": "page", "messageId": f"p{number}", "userId": WHO, "anonymousId": DEVICE},
            {"type": "page", "messageId": f"o{number}", "userId": f"somebody {number}"},
        )
    # A browser that claims an account before any server has named it.
    rig.send({"type": "page", "messageId": "c", "anonymousId": DEVICE, "context": {"groupId": "claimed"}},
             X_Signal_Source="publishable")  # fmt: skip
    while rig.parts["folder"].fold_stale():
        pass
    for _ in range(3):
        rig.recommend(user_id=WHO)
    rig.parts["answers_log"].flush()
    slot = {"user_id": WHO, "send_id": "s-1", "slot": "1", "count": 2}
    assert rig.client.post("/v1/email/slots", json=slot).status_code == 200
    # A statement that fails on their row, of which PostgreSQL would log the key.
    twice = (
        "INSERT INTO recommender.identities (kind, external_id, buyer_id) "
        "SELECT kind, external_id, buyer_id FROM recommender.identities WHERE external_id = %s"
    )
    with pytest.raises(sa.exc.IntegrityError) as error, rig.engine.begin() as connection:
        connection.exec_driver_sql(twice, (WHO,))
    assert WHO not in kinds(error.value)
    with rig.engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        connection.exec_driver_sql("ANALYZE")
        connection.exec_driver_sql("CHECKPOINT")


def test_no_byte_of_an_erased_buyer_is_left_in_any_file(firm: Rig, cluster: str, place: Path) -> None:
    from recommender.commands.wipe_erased import wipe_erased

    said = io.StringIO()
    with redirect_stdout(said):
        firm.put("a")
        firm.put("b")
        live(firm)
        before = found_in(place)
        assert all(before.values()), before
        exported = firm.client.get(f"/v1/buyers/{quote(WHO)}:export").get_data(as_text=True)
        assert all(name in exported for name in NAMES)
        receipt = firm.client.post(f"/v1/buyers/{quote(FORMER)}:erase")
        assert receipt.status_code == 200
        assert not any(name in receipt.get_data(as_text=True) for name in NAMES)
        with firm.engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
            connection.exec_driver_sql("VACUUM")
            connection.exec_driver_sql("CHECKPOINT")
        assert any(found_in(place).values()), "if VACUUM were enough, the command would not be needed"
        done = CliRunner().invoke(wipe_erased, ["--database-url", cluster], catch_exceptions=False)
    assert done.exit_code == 0, done.output
    assert "duplicate key" in (place / "data" / "log").read_text()
    assert "recommender.identities" in done.output
    after = found_in(place)
    assert after == {name: set() for name in NAMES}
    assert not any(name in said.getvalue() + done.output for name in NAMES)
    # What belongs to others is all there.
    assert firm.buyer("somebody 1")["signal_count"] == 1
    (invited,) = firm.rows("SELECT event FROM recommender.signals WHERE event->>'messageId' = '7'")
    assert invited[0]["properties"]["by"] == "[erased]"
    assert invited[0]["properties"]["text"] == "asked by [erased]"
    again = CliRunner().invoke(wipe_erased, ["--database-url", cluster], catch_exceptions=False)
    assert "nothing was due" in again.output
