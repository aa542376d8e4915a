"""How requests travel: bounded answers, the environment's proxies, and certificates, on real sockets."""

from __future__ import annotations

import asyncio
import gzip
import socket
import zlib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path

import httpx
import pytest

from tasks.backends.client.calls import HttpCalls
from tasks.backends.client.downloads import Delivery
from tasks.backends.client.proxies import UnusableProxy, find_proxy
from tasks.backends.client.transport import TooLarge, build_ssl_context
from tasks.core.errors import Ambiguous, ConfigError, JobError, LeaseLost, NotCreated
from tasks.core.last_check import checking_last
from tests.support.raw_server import RawServer, http, raw_server
from tests.support.waiting import PATIENCE_S

VARIABLES = ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY", "SSL_CERT_FILE", "SSL_CERT_DIR")


@pytest.fixture(autouse=True)
def _no_proxies(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in VARIABLES:
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.lower(), raising=False)


def encoded(body: bytes, encoding: str) -> bytes:
    """A whole answer with this body, which is encoded already."""
    head = f"HTTP/1.1 200 OK\r\nContent-Type: x\r\nContent-Length: {len(body)}\r\nContent-Encoding: {encoding}\r\n\r\n"
    return head.encode() + body


async def pay(server: RawServer, most_bytes: int = 100_000) -> httpx.Response:
    """One paid call to the server."""
    calls = HttpCalls(connections=1)
    try:
        return await calls.pay("POST", server.url, most_bytes=most_bytes)
    finally:
        await calls.close()


@pytest.mark.parametrize("size", [200_000, 900_000])
async def test_a_create_that_is_given_up_arrives_no_more(size: int) -> None:
    """Bytes that wait in a buffer for a stalled network are dropped: later they would make what was paid for again."""
    with socket.socket() as server:
        server.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 8_192)
        server.bind(("127.0.0.1", 0))
        server.listen()
        calls = HttpCalls(connections=1, answer_timeout_s=0.5)
        with pytest.raises(Ambiguous):
            await calls.pay("POST", f"http://127.0.0.1:{server.getsockname()[1]}", content=b"x" * size)
        # The event loop closes the connection at its next turn, and the thread would read beside it.
        await asyncio.sleep(0)
        # The network is back: the service reads whatever still comes.
        arrived = await asyncio.to_thread(read_to_end, server)
        await calls.close()
    assert arrived < size


async def test_a_call_that_may_no_longer_be_sent_never_leaves() -> None:
    """The check is made when the connection is open: the service reads nothing, and the next call goes out on it."""

    def refuse() -> None:
        raise LeaseLost("its lease ended")

    async with raw_server(http("200 OK")) as server:
        calls = HttpCalls(connections=1)
        with pytest.raises(LeaseLost), checking_last(refuse):
            await calls.pay("POST", server.url, content=b"paid")
        assert (await calls.pay("POST", server.url, content=b"free")).status_code == 200
        await calls.close()
        assert [request.partition("\r\n\r\n")[2] for request in server.requests] == ["free"]


async def test_a_call_whose_lease_ends_while_its_body_waits_for_its_turn_leaves_no_more() -> None:
    """Between the connection and the body other work may hold the event loop, and the call would come after its look-up."""
    checks = iter([None, LeaseLost("it ended")])

    def check() -> None:
        if (problem := next(checks)) is not None:
            raise problem

    async with raw_server(http("200 OK")) as server:
        calls = HttpCalls(connections=1)
        with pytest.raises(LeaseLost, match="it ended"), checking_last(check):
            await calls.pay("POST", server.url, content=b"paid")
        assert (await calls.pay("POST", server.url, content=b"free")).status_code == 200
        await calls.close()
        assert [request.partition("\r\n\r\n")[2] for request in server.requests if request] == ["free"]


def read_to_end(server: socket.socket) -> int:
    """Accept one connection and count its bytes, until it ends or is reset."""
    connection, _ = server.accept()
    arrived = 0
    with connection, suppress(ConnectionError):
        connection.settimeout(PATIENCE_S)
        while part := connection.recv(65_536):
            arrived += len(part)
    return arrived


async def test_an_answer_is_read_up_to_its_bound() -> None:
    """A body without end takes no more memory than the bound, and a paid call that gave one is ambiguous."""
    async with raw_server(http("200 OK", "x" * 1_000)) as server:
        assert len((await pay(server, 1_000)).content) == 1_000
        with pytest.raises(Ambiguous, match="larger than 999 bytes"):
            await pay(server, 999)


async def test_a_gzip_body_of_several_members_is_read_whole() -> None:
    """As RFC 1952 allows it; what stands behind the last one is no part of it."""
    body = gzip.compress(b"a" * 70_000) + gzip.compress(b"") + gzip.compress(b"b") + b"\0\0"
    async with raw_server(encoded(body, "gzip")) as server:
        assert (await pay(server)).content == b"a" * 70_000 + b"b"


@pytest.mark.parametrize(("encoding", "encode"), [("gzip", gzip.compress), ("deflate", zlib.compress)])
async def test_an_encoded_answer_is_bounded_after_decoding(encoding: str, encode: type[bytes]) -> None:
    """A few bytes on the wire cannot become gigabytes in memory."""
    body = b"x" * 1_000_000
    async with raw_server(encoded(encode(body), encoding)) as server:
        assert (await pay(server, len(body))).content == body
        with pytest.raises(Ambiguous, match="larger than"):
            await pay(server, len(body) - 1)


@pytest.mark.parametrize("encoding", ["gzip, gzip", "gzip,deflate", "br", "zstd", "aws-chunked, br"])
async def test_stacked_and_unasked_encodings_are_refused(encoding: str) -> None:
    """Gzip inside gzip multiplies; what was not asked for is not decoded."""
    async with raw_server(encoded(gzip.compress(gzip.compress(b"x")), encoding)) as server:
        with pytest.raises(Ambiguous, match="encoding"):
            await pay(server)
        assert "accept-encoding: gzip\r\n" in server.requests[0].lower()


@pytest.mark.parametrize("encoding", ["aws-chunked", "utf-8", "none", "binary", "identity, aws-chunked"])
async def test_a_word_that_is_no_encoding_leaves_the_body_as_it_is(encoding: str) -> None:
    """Storages keep such words of an upload, and every other client takes the body as it comes."""
    async with raw_server(encoded(b"x", encoding)) as server:
        assert (await pay(server)).content == b"x"
    async with raw_server(encoded(gzip.compress(b"x"), f"gzip, {encoding}")) as server:
        assert (await pay(server)).content == b"x"


@pytest.mark.parametrize("damage", [lambda body: body[:-9], lambda body: b"not gzip" + body])
async def test_a_damaged_encoding_is_no_answer(damage: type[bytes]) -> None:
    """A cut or broken body is told, and never taken for a shorter one."""
    async with raw_server(encoded(damage(gzip.compress(b"x" * 5_000)), "gzip")) as server:
        with pytest.raises(Ambiguous, match=r"not whole|cannot be decoded"):
            await pay(server)


async def test_an_image_may_be_larger_than_a_json_answer_and_is_bounded_too() -> None:
    """Images of 64 MiB are fetched; what is longer is cut off there."""
    source = Delivery(["127.0.0.1"], connections=1)
    async with raw_server(http("200 OK", "x" * (17 * 2**20))) as server:
        assert len(await source.fetch(f"{server.url}/a.png")) == 17 * 2**20
        calls = HttpCalls(connections=1)
        with pytest.raises(TooLarge):
            await calls.http.get(server.url)
        await calls.close()
    async with raw_server(encoded(gzip.compress(bytes(65 * 2**20)), "gzip")) as server:
        with pytest.raises(JobError) as caught:
            await source.fetch(f"{server.url}/a.png")
    assert caught.value.error_kind == "too_large"
    await source.close()


@asynccontextmanager
async def proxy_server(answer: bytes = b"HTTP/1.1 200 Connection established\r\n\r\n") -> AsyncIterator[RawServer]:
    """A proxy on loopback that connects every host to this machine, and keeps what it was asked."""
    state = RawServer("", [])

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = (await reader.readuntil(b"\r\n\r\n")).decode()
        state.requests.append(head)
        method, target, _ = head.split("\r\n")[0].split(" ")
        if method == "CONNECT":
            writer.write(answer)
            await writer.drain()
            writer.close()
            return
        port = httpx.URL(target).port or 80
        upstream_reader, upstream = await asyncio.open_connection("127.0.0.1", port)
        upstream.write(head.replace(target, httpx.URL(target).raw_path.decode(), 1).encode())
        length = next((int(line[15:]) for line in head.lower().split("\r\n") if line.startswith("content-length")), 0)
        upstream.write(await reader.readexactly(length))
        upstream.write_eof()
        writer.write(await upstream_reader.read())
        upstream.close()
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    state.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    try:
        yield state
    finally:
        server.close()


@pytest.mark.parametrize("variable", ["HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"])
async def test_every_call_goes_through_the_environment_s_proxy(variable: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Creates and images reach a host that only the proxy knows, with the proxy's own login."""
    async with raw_server(http("200 OK", "{}", Connection="close")) as server, proxy_server() as proxy:
        monkeypatch.setenv(variable, proxy.url.replace("http://", "http://user:pass@"))
        port = httpx.URL(server.url).port
        calls, source = HttpCalls(connections=1), Delivery(["images.corp.test"], connections=1)
        assert (await calls.pay("POST", f"http://images.corp.test:{port}/v1", json={})).is_success
        assert await source.fetch(f"http://images.corp.test:{port}/a.png") == b"{}"
        await calls.close()
        await source.close()
    assert [request.split(" ")[0] for request in proxy.requests] == ["POST", "GET"]
    assert all("proxy-authorization: basic" in request.lower() for request in proxy.requests)


async def test_a_proxy_that_refuses_to_connect_proves_that_nothing_was_sent(monkeypatch: pytest.MonkeyPatch) -> None:
    """An https create that never got past the proxy may be sent again."""
    async with proxy_server(b"HTTP/1.1 502 Bad Gateway\r\n\r\n") as proxy:
        monkeypatch.setenv("HTTPS_PROXY", proxy.url)
        calls = HttpCalls(connections=1)
        with pytest.raises(NotCreated, match="502"):
            await calls.pay("POST", "https://images.corp.test/v1")
        await calls.close()


@pytest.mark.parametrize("address", ["socks5://127.0.0.1:1080", "http://", "http://[::", "ftp://proxy"])
async def test_a_proxy_that_cannot_be_used_is_told_and_nothing_leaves(
    address: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The message names the variable, never the address, which may hold a password."""
    monkeypatch.setenv("ALL_PROXY", address)
    calls = HttpCalls(connections=1)
    with pytest.raises(NotCreated, match="ALL_PROXY") as caught:
        await calls.pay("POST", "https://images.corp.test/v1")
    assert "1080" not in str(caught.value)
    await calls.close()


@pytest.mark.parametrize(
    ("exempt", "url", "direct"),
    [
        ("127.0.0.1,localhost", "http://127.0.0.1:8000/", True),
        ("127.0.0.1,localhost", "http://localhost/", True),
        (".corp.test", "https://images.corp.test/", True),
        ("corp.test", "https://images.corp.test/", True),
        ("images.corp.test:8443", "https://images.corp.test:8443/", True),
        ("images.corp.test:8443", "https://images.corp.test/", False),
        ("10.0.0.0/8", "http://10.1.2.3/", True),
        ("10.0.0.0/8", "http://11.1.2.3/", False),
        ("fd00::/8", "http://[fd00::1]/", True),
        ("*", "https://images.corp.test/", True),
        ("", "http://127.0.0.1:8000/", False),
        ("nonsense/x", "http://10.1.2.3/", False),
        ("[::1]:443", "https://[::1]/", True),
        ("[::1]:8443", "https://[::1]/", False),
        ("::1", "https://[::1]/", True),
        ("corp.test.", "http://images.corp.test/", True),
        ("corp.test", "http://images.corp.test./", True),
        ("localhost 127.0.0.1", "http://127.0.0.1:8000/", True),
    ],
)
def test_hosts_that_need_no_proxy(exempt: str, url: str, direct: bool, monkeypatch: pytest.MonkeyPatch) -> None:  # noqa: FBT001  a case
    """NO_PROXY names hosts, ends of hosts, ports and networks."""
    monkeypatch.setenv("ALL_PROXY", "http://proxy.corp.test:3128")
    monkeypatch.setenv("NO_PROXY", exempt)
    assert (find_proxy(httpx.URL(url)) is None) is direct


def test_the_scheme_decides_which_variable_is_read(monkeypatch: pytest.MonkeyPatch) -> None:
    """HTTPS_PROXY is for https; ALL_PROXY where the scheme has none; a proxy may be written without its scheme."""
    monkeypatch.setenv("HTTPS_PROXY", "secure.corp.test:3128")
    assert find_proxy(httpx.URL("http://images.corp.test/")) is None
    found = find_proxy(httpx.URL("https://images.corp.test/"))
    assert found is not None
    assert str(found.url) == "http://secure.corp.test:3128"
    monkeypatch.setenv("HTTP_PROXY", "socks5://x:1")
    with pytest.raises(UnusableProxy, match="HTTP_PROXY"):
        find_proxy(httpx.URL("http://images.corp.test/"))


def test_certificates_that_cannot_be_read_are_a_setting(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A wrong SSL_CERT_FILE is named; no traceback reaches the user."""
    assert build_ssl_context().get_ca_certs()
    assert build_ssl_context() is build_ssl_context()  # read once for all clients
    for content in (None, "no certificate"):
        path = tmp_path / "ca.pem"
        if content is not None:
            path.write_text(content)
        monkeypatch.setenv("SSL_CERT_FILE", str(path))
        with pytest.raises(ConfigError, match="SSL_CERT_FILE"):
            build_ssl_context()
