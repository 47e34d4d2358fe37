"""Addresses that others give us: what may be called, and that nobody gets us to call anything else."""

from __future__ import annotations

import gzip
import socket
import time

import pytest

from servicekit.outbound import OutboundClient, OutboundFailed, OutboundPolicy, OutboundRefused
from servicekit.outbound_guard import read_url
from unit.servicekit.raw_server import Script, answer, read_request, served

PUBLIC = "93.184.215.14"


def client(
    resolve: object = None, connect: object = socket.create_connection, **changes: object
) -> OutboundClient:
    values = {"timeout_seconds": 2.0, "max_bytes": 100_000, **changes}
    policy = OutboundPolicy(allow_private=bool(values.pop("allow_private", False)))
    if resolve is None:
        return OutboundClient(policy, connect=connect, **values)  # type: ignore[arg-type]
    return OutboundClient(policy, resolve=resolve, connect=connect, **values)  # type: ignore[arg-type]


def says(reply: bytes) -> Script:
    def script(connection: socket.socket, _: int) -> None:
        read_request(connection)
        connection.sendall(reply)

    return script


@pytest.mark.parametrize(
    "url",
    [
        "http://127.0.0.1/",
        "http://127.1/",
        "http://2130706433/",
        "http://0x7f.0.0.1/",
        "http://017700000001/",
        "http://0.0.0.0/",
        "http://[::]/",
        "http://[::1]/",
        "http://[::ffff:127.0.0.1]/",
        "http://[::ffff:7f00:1]/",
        "http://[64:ff9b::10.0.0.1]/",
        "http://[2002:7f00:1::]/",
        "http://[fe80::1%25eth0]/",
        "http://[fd00:ec2::254]/",
        "http://10.0.0.1/",
        "http://172.16.0.1/",
        "http://192.168.1.1/",
        "http://100.64.0.1/",
        "http://169.254.169.254/latest/meta-data/",
        "http://224.0.0.1/",
        "http://255.255.255.255/",
        "http://localhost/",
        "http://LOCALHOST./",
        "http://db.localhost/",
        "http://user:password@example.com/",
        "http://example.com\\@127.0.0.1/",
        "http://example.com:99999/",
        "http://exämple.com/",
        "http:///path",
        "ftp://example.com/",
        "file:///etc/passwd",
        "gopher://example.com/",
        "//example.com/",
        "",
    ],
)
def test_what_must_not_be_called_is_refused_before_a_connection(url: str) -> None:
    def connect(address: tuple[str, int], timeout: float) -> socket.socket:
        raise AssertionError(f"it connected to {address}")

    with pytest.raises(OutboundRefused):
        client(connect=connect).request("GET", url)


@pytest.mark.parametrize(
    "url", ["http://8.8.8.8/", "https://example.com:8443/a?b=c", "http://[2606:4700::1]/"]
)
def test_the_public_internet_may_be_called(url: str) -> None:
    assert read_url(url, OutboundPolicy()).host


def test_plain_http_can_be_forbidden() -> None:
    with pytest.raises(OutboundRefused):
        read_url("http://example.com/", OutboundPolicy(allow_http=False))


def test_one_private_address_among_public_ones_refuses_the_name() -> None:
    with pytest.raises(OutboundRefused, match="private network"):
        client(lambda host, port: [PUBLIC, "10.0.0.7"]).request("GET", "http://trap.example/")


def test_a_name_that_changes_its_address_is_asked_once_and_called_where_it_was_judged() -> None:
    """DNS rebinding: the second answer would be 127.0.0.1, where a server of ours listens."""
    asked: list[str] = []
    called: list[tuple[str, int]] = []

    def resolve(host: str, port: int) -> list[str]:
        asked.append(host)
        return [PUBLIC] if len(asked) == 1 else ["127.0.0.1"]

    with served(says(answer("200 OK", b"ours"))) as url:
        own_port = int(url.rpartition(":")[2])

        def connect(address: tuple[str, int], timeout: float) -> socket.socket:
            called.append(address)
            return socket.create_connection(("127.0.0.1", own_port), timeout)

        got = client(resolve, connect).request("GET", f"http://rebinding.example:{own_port}/")
    assert got.body == b"ours"
    assert asked == ["rebinding.example"]
    assert called == [(PUBLIC, own_port)]


@pytest.fixture
def local() -> OutboundClient:
    return client(allow_private=True, timeout_seconds=1.0)


def test_a_request_arrives_as_it_was_meant(local: OutboundClient) -> None:
    seen: list[bytes] = []

    def script(connection: socket.socket, _: int) -> None:
        seen.append(read_request(connection))
        connection.sendall(answer("201 Created", b"done", X_Kept="yes"))

    with served(script) as url:
        got = local.request("POST", url + "/hook?a=b", body=b"{}", headers={"X-Sent": "1"})
    assert (got.status, got.body, got.headers["x-kept"]) == (201, b"done", "yes")
    assert seen[0].startswith(b"POST /hook?a=b HTTP/1.1\r\n")
    assert b"\r\nHost: " + url.removeprefix("http://").encode() + b"\r\n" in seen[0]
    assert b"X-Sent: 1\r\n" in seen[0]


def test_a_redirect_is_an_answer_and_is_not_followed(local: OutboundClient) -> None:
    def script(connection: socket.socket, number: int) -> None:
        assert number == 0
        read_request(connection)
        connection.sendall(answer("302 Found", b"", Location="http://169.254.169.254/"))

    with served(script) as url:
        assert local.request("GET", url).status == 302


def test_gzip_is_undone(local: OutboundClient) -> None:
    body = gzip.compress(b"text " * 1000)
    with served(says(answer("200 OK", body, Content_Encoding="gzip"))) as u:
        assert local.request("GET", u).body == b"text " * 1000


@pytest.mark.parametrize("packed", [True, False])
def test_an_answer_that_grows_past_the_limit_is_cut_off(local: OutboundClient, packed: bool) -> None:
    body = gzip.compress(bytes(5_000_000)) if packed else bytes(200_000)
    headers = {"Content_Encoding": "gzip"} if packed else {}
    with (
        served(says(answer("200 OK", body, **headers))) as url,
        pytest.raises(OutboundFailed, match="larger than"),
    ):
        local.request("GET", url)


@pytest.mark.slow
@pytest.mark.parametrize("where", ["head", "body"])
def test_an_answer_that_drips_in_is_given_up(where: str) -> None:
    def script(connection: socket.socket, _: int) -> None:
        read_request(connection)
        connection.sendall(b"HTTP/1.1 200 OK\r\n" + (b"\r\n" if where == "body" else b"X-Long: "))
        while True:
            connection.sendall(b"x")
            time.sleep(0.05)

    with served(script) as url, pytest.raises(OutboundFailed, match="in time"):
        client(allow_private=True, timeout_seconds=0.4).request("GET", url)


@pytest.mark.parametrize(
    "reply", [b"", b"nonsense\r\n\r\n", b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nshort"]
)
def test_an_answer_that_makes_no_sense_is_a_failure(local: OutboundClient, reply: bytes) -> None:
    with (
        served(says(reply)) as url,
        pytest.raises(OutboundFailed, match="no sound answer"),
    ):
        local.request("GET", url)


def test_a_name_that_is_not_found_may_be_found_tomorrow() -> None:
    def resolve(host: str, port: int) -> list[str]:
        raise socket.gaierror("not known")

    with pytest.raises(OutboundFailed):
        client(resolve).request("GET", "https://gone.example/")
