"""A company's proxy on loopback: it connects every host to this machine, may want a login, and opens https with a certificate of its own."""

from __future__ import annotations

import asyncio
import base64
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path

import httpx
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

HOST = "images.corp.test"
"""A name that nobody but the proxy knows."""
LOGIN = "robot:p%40ss-word"
PASSWORD = "p@ss-word"
REFUSED = b"HTTP/1.1 407 Proxy Authentication Required\r\nProxy-Authenticate: Basic\r\nContent-Length: 0\r\n\r\n"


@dataclass
class ForwardProxy:
    """The proxy: its address without a login, and what it was asked for."""

    tls: ssl.SSLContext
    authority: Path
    """Its certificate, as SSL_CERT_FILE wants it."""
    login: str | None = None
    url: str = ""
    asked: list[str] = field(default_factory=list)
    """Method and target of each request."""
    connections: set[asyncio.Task[None]] = field(default_factory=set)

    async def accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Carry one connection, until its end or the proxy's."""
        task = asyncio.create_task(self._carry(reader, writer))
        self.connections.add(task)
        task.add_done_callback(self.connections.discard)
        await asyncio.wait([task])
        writer.close()

    async def _carry(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(asyncio.IncompleteReadError, ConnectionError, ssl.SSLError):
            head = await reader.readuntil(b"\r\n\r\n")
            method, target, _ = head.split(b"\r\n")[0].decode().split(" ")
            self.asked.append(f"{method} {target}")
            if self.login is not None and self._wanted not in head:
                # A close with a body unread resets the connection, and the answer is lost on its way on a busy machine.
                lengths = [line[15:] for line in head.lower().split(b"\r\n") if line.startswith(b"content-length:")]
                await reader.readexactly(int(lengths[0]) if lengths else 0)
                writer.write(REFUSED)
                await writer.drain()
            elif method == "CONNECT":
                writer.write(b"HTTP/1.1 200 Connection established\r\n\r\n")
                await writer.start_tls(self.tls)
                await self._connect(reader, writer, int(target.rpartition(":")[2]), b"")
            else:
                url = httpx.URL(target)
                # One request a connection, so that the next one is seen too.
                lines = [
                    line for line in head.split(b"\r\n") if not line.lower().startswith((b"connection", b"proxy-"))
                ]
                lines[0] = f"{method} {url.raw_path.decode()} HTTP/1.1".encode()
                lines.insert(1, b"Connection: close")
                await self._connect(reader, writer, url.port or 80, b"\r\n".join(lines))

    @property
    def _wanted(self) -> bytes:
        return b"Proxy-Authorization: Basic " + base64.b64encode((self.login or "").encode())

    async def _connect(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, port: int, first: bytes
    ) -> None:
        service_reader, service = await asyncio.open_connection("127.0.0.1", port)
        service.write(first)
        there = asyncio.create_task(_copy(reader, service))
        try:
            await _copy(service_reader, writer)
        finally:
            there.cancel()
            service.close()


async def _copy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with suppress(ConnectionError, ssl.SSLError):
        while part := await reader.read(65_536):
            writer.write(part)
            await writer.drain()


@asynccontextmanager
async def forward_proxy(folder: Path, *, login: str | None = None) -> AsyncIterator[ForwardProxy]:
    """A proxy for the duration of the block; its certificate lies in the folder."""
    path = write_certificate(folder / "proxy.pem")
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    tls.load_cert_chain(path)
    proxy = ForwardProxy(tls, path, login)
    server = await asyncio.start_server(proxy.accept, "127.0.0.1", 0)
    proxy.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    try:
        yield proxy
    finally:
        server.close()
        for task in tuple(proxy.connections):
            task.cancel()
        await asyncio.gather(*proxy.connections, return_exceptions=True)
        await asyncio.sleep(0)  # `accept` closes what they left


def write_certificate(path: Path) -> Path:
    """Write a key and a certificate for the name, signed by itself."""
    key, now = ec.generate_private_key(ec.SECP256R1()), datetime.now(UTC)
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "Test proxy")])
    public = x509.SubjectKeyIdentifier.from_public_key(key.public_key())
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(HOST)]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .add_extension(public, critical=False)
        .sign(key, hashes.SHA256())
    )
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    path.write_bytes(private + certificate.public_bytes(serialization.Encoding.PEM))
    return path
