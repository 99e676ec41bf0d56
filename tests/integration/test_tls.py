"""TLS: data both ways, flow control, and what a program can ask of the transport."""

import asyncio
import os
import ssl
from pathlib import Path
from typing import Any

import pytest

from .recorder import MEGABYTE, turns
from .secure import (
    VERSIONS,
    Run,
    certificate,
    client_context,
    end,
    secured,
    server_context,
    with_peer,
)
from .streams import Recorder


class Echo(Recorder):
    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        self.transport.write(data)


@pytest.fixture
def run_riata() -> Run:
    import riata

    return riata.run


@pytest.mark.parametrize("version", VERSIONS, ids=["1.2", "1.3"])
@pytest.mark.parametrize("size", [1, 16 * 1024, 16 * 1024 + 1, 300 * 1024, 3 * MEGABYTE])
def test_what_is_sent_arrives(run: Run, version: ssl.TLSVersion, size: int) -> None:
    async def main() -> None:
        client, served, server = await secured({"ssl": server_context(version)})
        there, back = os.urandom(size), os.urandom(size)
        client.transport.write(there)
        served.transport.write(back)
        await served.until(size)
        await client.until(size)
        assert served.received == there
        assert client.received == back
        assert client.transport.get_extra_info("ssl_object").version() == f"TLSv1.{2 if version == VERSIONS[0] else 3}"
        client.transport.close()
        assert await client.lost is None
        assert await served.lost is None
        assert client.events[0] == served.events[0] == "made"
        assert client.events[-1] == served.events[-1] == "lost"
        await end(server)

    run(main())


@pytest.mark.parametrize("room", [1, 7, 4096, 16 * 1024, MEGABYTE])
def test_a_buffer_that_the_protocol_lends(run: Run, room: int) -> None:
    class Lending(asyncio.BufferedProtocol):
        def __init__(self) -> None:
            self.recorder = Recorder()
            self.buffer = bytearray(room)
            self.connection_made = self.recorder.connection_made
            self.connection_lost = self.recorder.connection_lost

        def get_buffer(self, sizehint: int) -> memoryview:
            return memoryview(self.buffer)

        def buffer_updated(self, nbytes: int) -> None:
            assert 0 < nbytes <= room
            self.recorder.data_received(bytes(self.buffer[:nbytes]))

    async def main() -> None:
        client, served, server = await secured(factory=Lending)
        text = os.urandom(min(50_000, room * 3000))
        client.recorder.transport.write(text)
        await served.recorder.until(len(text))
        assert served.recorder.received == text
        client.recorder.transport.close()
        await client.recorder.lost
        await served.recorder.lost
        await end(server)

    run(main())


def test_another_protocol_gets_what_comes_next(run: Run) -> None:
    async def main() -> None:
        client, served, server = await secured()
        client.transport.write(b"one")
        await served.until(3)
        other = Recorder()
        other.connection_made(served.transport)
        served.transport.set_protocol(other)
        assert served.transport.get_protocol() is other
        client.transport.write(b"two")
        await other.until(3)
        assert (served.received, other.received) == (b"one", b"two")
        client.transport.close()
        await client.lost
        await other.lost
        assert "lost" not in served.events
        await end(server)

    run(main())


def test_what_may_be_written(run: Run) -> None:
    async def main() -> None:
        client, served, server = await secured()
        transport = client.transport
        changing = bytearray(b"ab")
        transport.write(changing)
        changing[:] = b"XY"
        transport.write(memoryview(b"-cd-")[1:3])
        transport.write(b"")
        transport.writelines([b"e", bytearray(b"f"), memoryview(b"g"), b""])
        transport.writelines(part for part in (b"h", b"i"))
        transport.writelines([])
        await served.until(9)
        assert served.received == b"abcdefghi"
        with pytest.raises(TypeError, match=r"^data: expecting a bytes-like instance, got str$"):
            transport.write("text")
        assert not transport.can_write_eof()
        with pytest.raises(NotImplementedError):
            transport.write_eof()
        transport.close()
        await client.lost
        await served.lost
        await end(server)

    run(main())


def test_a_turns_small_writes_share_a_record(run_riata: Run) -> None:
    async def main() -> None:
        transport, protocol, peer = await with_peer()
        for number in range(100):
            transport.write(b"%02d" % number)
        assert await peer.receive(200) == b"".join(b"%02d" % number for number in range(100))
        # A record has a header of five bytes and, in TLS 1.3, a type and a tag of 17.
        transport.write(b"a")
        transport.write(b"b")
        wire = await peer.loop.sock_recv(peer.sock, MEGABYTE)
        assert len(wire) == 5 + 2 + 17
        transport.abort()
        await protocol.lost
        peer.sock.close()

    run_riata(main())


def test_extra_info(run: Run) -> None:
    async def main() -> None:
        context, serving = client_context(), server_context()
        client, served, server = await secured({"ssl": serving}, {"ssl": context})
        info = client.transport.get_extra_info
        assert isinstance(info("ssl_object"), ssl.SSLObject)
        assert info("sslcontext") is context
        assert served.transport.get_extra_info("sslcontext") is serving
        assert info("peercert")["subjectAltName"] == (("DNS", "localhost"),)
        assert served.transport.get_extra_info("peercert", "nothing") is None
        assert info("cipher") == info("ssl_object").cipher()
        assert info("compression", "nothing") is None
        assert info("peername") == served.transport.get_extra_info("sockname")
        assert info("socket").fileno() >= 0
        assert info("nonsense") is None
        assert info("nonsense", "default") == "default"
        client.transport.close()
        await client.lost
        await served.lost
        assert info("peercert")["subjectAltName"] == (("DNS", "localhost"),)
        assert info("ssl_object") is not None
        assert info("peername", "gone") == "gone"
        await end(server)

    run(main())


def test_it_is_asyncios_transport(run: Run) -> None:
    async def main() -> None:
        client, served, server = await secured()
        transport = client.transport
        assert isinstance(transport, asyncio.Transport)
        assert type(transport).__name__ != "object"
        assert transport.__class__.__name__ == "_SSLProtocolTransport"
        assert repr(transport).startswith("<asyncio.sslproto._SSLProtocolTransport object at 0x")
        below = transport._ssl_protocol
        assert isinstance(below, asyncio.BufferedProtocol)
        assert below.__class__.__name__ == "SSLProtocol"
        assert below._app_transport is transport
        assert below._app_protocol is client
        assert below._transport.get_extra_info("peername") == transport.get_extra_info("peername")
        assert below._state.name == "WRAPPED"
        assert below._sslobj is transport.get_extra_info("ssl_object")
        assert set(below._extra) == {"sslcontext", "peercert", "cipher", "compression", "ssl_object"}
        assert transport._start_tls_compatible
        transport.close()
        await client.lost
        await served.lost
        assert below._transport is below._app_protocol is None
        await end(server)

    run(main())


def test_application_protocols_are_negotiated(run: Run) -> None:
    async def main() -> None:
        serving, context = server_context(), client_context()
        serving.set_alpn_protocols(["h2", "http/1.1"])
        context.set_alpn_protocols(["http/1.1"])
        client, served, server = await secured({"ssl": serving}, {"ssl": context})
        for protocol in (client, served):
            assert protocol.transport.get_extra_info("ssl_object").selected_alpn_protocol() == "http/1.1"
        client.transport.close()
        await client.lost
        await served.lost
        await end(server)

    run(main())


def test_the_name_asked_for_chooses_the_certificate(run: Run) -> None:
    async def main() -> None:
        serving, other = server_context(), server_context(name="other.example")
        names = []

        def chooses(tls: ssl.SSLObject, name: str, context: ssl.SSLContext) -> None:
            names.append(name)
            assert context is serving
            if name == "other.example":
                tls.context = other

        serving.sni_callback = chooses  # type: ignore[assignment]
        client, served, server = await secured(
            {"ssl": serving}, {"ssl": client_context(name="other.example"), "server_hostname": "other.example"}
        )
        assert names == ["other.example"]
        assert client.transport.get_extra_info("peercert")["subjectAltName"] == (("DNS", "other.example"),)
        client.transport.close()
        await client.lost
        await served.lost
        await end(server)

    run(main())


def test_a_name_that_is_not_the_certificates(run: Run) -> None:
    async def main() -> None:
        loop = asyncio.get_running_loop()
        server = await loop.create_server(asyncio.Protocol, "127.0.0.1", 0, ssl=server_context())
        address = server.sockets[0].getsockname()
        with pytest.raises(ssl.SSLCertVerificationError, match="Hostname mismatch"):
            await loop.create_connection(Recorder, *address, ssl=client_context(), server_hostname="elsewhere.example")
        await end(server)

    run(main())


@pytest.mark.parametrize("version", VERSIONS, ids=["1.2", "1.3"])
def test_certificates_of_clients(run: Run, version: ssl.TLSVersion) -> None:
    async def main() -> None:
        serving, context = server_context(version), client_context(version)
        serving.verify_mode = ssl.CERT_REQUIRED
        serving.load_verify_locations(certificate("a client").with_suffix(".crt"))
        context.load_cert_chain(certificate("a client"))
        client, served, server = await secured({"ssl": serving}, {"ssl": context})
        assert served.transport.get_extra_info("peercert")["subject"] == ((("commonName", "a client"),),)
        client.transport.write(b"hello")
        await served.until(5)
        client.transport.close()
        await client.lost
        await served.lost
        await end(server)

    run(main())


def test_a_session_is_taken_up_again(run: Run) -> None:
    async def main() -> None:
        sessions: list[ssl.SSLSession] = []

        class Resuming(ssl.SSLContext):
            def wrap_bio(self, *args: Any, **options: Any) -> ssl.SSLObject:
                session = sessions[-1] if sessions else None
                return super().wrap_bio(*args, **{**options, "session": session})

        context = Resuming(ssl.PROTOCOL_TLS_CLIENT)
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
        context.maximum_version = ssl.TLSVersion.TLSv1_2
        serving = server_context()
        reused = []
        for _ in range(2):
            client, served, server = await secured({"ssl": serving}, {"ssl": context})
            tls = client.transport.get_extra_info("ssl_object")
            reused.append(tls.session_reused)
            sessions.append(tls.session)
            client.transport.close()
            await client.lost
            await served.lost
            await end(server)
        assert reused == [False, True]

    run(main())


def test_an_object_class_of_the_programs_own(run: Run) -> None:
    class Noting(ssl.SSLObject):
        read_calls = written = 0

        def read(self, *args: Any) -> Any:
            type(self).read_calls += 1
            return super().read(*args)

        def write(self, data: Any) -> int:
            type(self).written += len(data)
            return super().write(data)

    async def main() -> None:
        context = client_context()
        context.sslobject_class = Noting
        client, served, server = await secured(client_options={"ssl": context}, factory=Echo)
        client.data_received = lambda data: Recorder.data_received(client, data)
        client.transport.write(b"hello")
        await client.until(5)
        assert Noting.read_calls > 0
        assert Noting.written == 5
        client.transport.close()
        await client.lost
        await served.lost
        await end(server)

    run(main())


def test_reading_is_paused_and_resumed(run: Run) -> None:
    async def main() -> None:
        client, served, server = await secured()
        assert served.transport.is_reading()
        served.transport.pause_reading()
        assert not served.transport.is_reading()
        client.transport.write(b"while paused")
        while not served.transport.get_read_buffer_size():
            await asyncio.sleep(0)
        await turns()
        assert served.received == b""
        served.transport.resume_reading()
        served.transport.resume_reading()
        await served.until(12)
        assert served.received == b"while paused"
        client.transport.close()
        await client.lost
        await served.lost
        await end(server)

    run(main())


def test_a_paused_protocol_gets_nothing_more_of_what_is_there(run: Run) -> None:
    class OneAtATime(Recorder):
        def data_received(self, data: bytes) -> None:
            assert self.transport.is_reading()
            super().data_received(data)
            self.transport.pause_reading()

    async def main() -> None:
        client, served, server = await secured(factory=OneAtATime)
        text = os.urandom(3 * MEGABYTE)
        client.transport.write(text)
        while len(served.received) < len(text):
            served.arrived.clear()
            served.transport.resume_reading()
            await served.arrived.wait()
        assert served.received == text
        served.transport.resume_reading()
        client.transport.close()
        await client.lost
        await served.lost
        await end(server)

    run(main())


def test_a_peer_that_does_not_read(run: Run) -> None:
    async def main() -> None:
        client, served, server = await secured()
        served.transport.pause_reading()
        text = os.urandom(MEGABYTE)
        count = 0
        while client.events[-1] != "pause":  # what the kernel still takes within the turn is no back-pressure
            client.transport.write(text)
            count += 1
            await asyncio.sleep(0)
        assert client.transport.get_write_buffer_size() > client.transport.get_write_buffer_limits()[0]
        served.transport.resume_reading()
        await served.until(count * MEGABYTE)
        assert served.received == text * count
        assert client.events[-2:] == ["pause", "resume"]
        assert client.transport.get_write_buffer_size() == 0
        client.transport.close()
        await client.lost
        await served.lost
        await end(server)

    run(main())


def test_a_large_write_is_encrypted_as_the_peer_takes_it(run_riata: Run) -> None:
    async def main() -> None:
        transport, protocol, peer = await with_peer()
        text = os.urandom(32 * MEGABYTE)
        transport.write(text)
        await turns()
        below = transport._ssl_protocol
        held = below._outgoing.pending + below._transport.get_write_buffer_size()
        assert held < MEGABYTE, "what is encrypted and waits"
        assert protocol.events == ["made", "pause"]
        assert transport.get_write_buffer_size() > 16 * MEGABYTE
        received = await peer.receive(len(text))
        assert received == text
        await turns()
        assert protocol.events == ["made", "pause", "resume"]
        transport.abort()
        await protocol.lost
        peer.sock.close()

    run_riata(main())


def test_watermarks(run: Run) -> None:
    async def main() -> None:
        client, served, server = await secured()
        transport = client.transport
        assert transport.get_write_buffer_limits() == (128 * 1024, 512 * 1024)
        assert transport.get_read_buffer_limits() == (64 * 1024, 256 * 1024)
        transport.set_write_buffer_limits(high=1000)
        assert transport.get_write_buffer_limits() == (250, 1000)
        transport.set_write_buffer_limits(low=100)
        assert transport.get_write_buffer_limits() == (100, 400)
        transport.set_write_buffer_limits()
        assert transport.get_write_buffer_limits() == (128 * 1024, 512 * 1024)
        transport.set_read_buffer_limits(high=4000, low=1000)
        assert transport.get_read_buffer_limits() == (1000, 4000)
        text = r"^high \(10\) must be >= low \(20\) must be >= 0$"
        with pytest.raises(ValueError, match=text):
            transport.set_write_buffer_limits(high=10, low=20)
        with pytest.raises(ValueError, match=text):
            transport.set_read_buffer_limits(high=10, low=20)
        transport.write(b"x" * 100)
        assert transport.get_write_buffer_size() == 0
        await served.until(100)
        transport.close()
        await client.lost
        await served.lost
        await end(server)

    run(main())


def test_the_transport_below_pauses_at_the_read_mark(run: Run) -> None:
    async def main() -> None:
        transport, protocol, peer = await with_peer()
        transport.pause_reading()
        below = transport._ssl_protocol
        text = os.urandom(8 * MEGABYTE)
        sending = asyncio.create_task(peer.send(text))
        while below._transport.is_reading():
            await asyncio.sleep(0)
        assert 256 * 1024 <= transport.get_read_buffer_size() < MEGABYTE
        transport.resume_reading()
        await protocol.until(len(text))
        await sending
        assert protocol.received == text
        assert below._transport.is_reading()
        transport.abort()
        await protocol.lost
        peer.sock.close()

    run(main())


def test_unix_sockets(run: Run, tmp_path: Path) -> None:
    async def main() -> None:
        async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            writer.write((await reader.readline()).upper())
            await writer.drain()
            writer.close()

        path = str(tmp_path / "socket")
        server = await asyncio.start_unix_server(handle, path, ssl=server_context())
        reader, writer = await asyncio.open_unix_connection(path, ssl=client_context(), server_hostname="localhost")
        writer.write(b"hello\n")
        assert await reader.read() == b"HELLO\n"
        writer.close()
        await writer.wait_closed()
        await end(server)

    run(main())


def test_sendfile_falls_back(run: Run, tmp_path: Path) -> None:
    async def main() -> None:
        path = tmp_path / "file"
        path.write_bytes(os.urandom(300_000))
        client, served, server = await secured()
        loop = asyncio.get_running_loop()
        client.transport.write(b"head")
        with path.open("rb") as file:
            assert await loop.sendfile(client.transport, file) == 300_000
            with pytest.raises(RuntimeError, match="fallback is disabled"):
                await loop.sendfile(client.transport, file, fallback=False)
        client.transport.write(b"tail")
        await served.until(300_008)
        assert bytes(served.received) == b"head" + path.read_bytes() + b"tail"
        client.transport.close()
        await client.lost
        await served.lost
        await end(server)

    run(main())


def test_a_client_is_asked_for_its_certificate_in_between(run: Run) -> None:
    async def main() -> None:
        serving = server_context(ssl.TLSVersion.TLSv1_3)
        serving.verify_mode = ssl.CERT_OPTIONAL
        serving.post_handshake_auth = True
        serving.load_verify_locations(certificate("a client").with_suffix(".crt"))
        context = client_context()
        context.post_handshake_auth = True
        context.load_cert_chain(certificate("a client"))
        client, served, server = await secured({"ssl": serving}, {"ssl": context})
        tls = served.transport.get_extra_info("ssl_object")
        assert tls.getpeercert() is None
        tls.verify_client_post_handshake()  # asked for with the next bytes to the client, answered in between
        served.transport.write(b"who are you?")
        await client.until(12)
        client.transport.write(b"me")
        await served.until(2)
        assert tls.getpeercert()["subject"] == ((("commonName", "a client"),),)
        client.transport.close()
        await client.lost
        await served.lost
        await end(server)

    run(main())


@pytest.mark.parametrize(("version", "command"), [("-tls1_3", b"K\n"), ("-tls1_3", b"k\n"), ("-tls1_2", b"R\n")])
def test_keys_change_in_between(run: Run, version: str, command: bytes) -> None:
    """New keys in TLS 1.3, ours asked for or not; renegotiation in TLS 1.2, which OpenSSL refuses to clients."""

    async def main() -> None:
        made: list[Echo] = []

        def factory() -> Echo:
            made.append(Echo())
            return made[-1]

        loop = asyncio.get_running_loop()
        server = await loop.create_server(factory, "127.0.0.1", 0, ssl=server_context())
        port = server.sockets[0].getsockname()[1]
        client = await asyncio.create_subprocess_exec(
            "openssl",
            *("s_client", "-connect", f"127.0.0.1:{port}", version, "-CAfile", certificate().with_suffix(".crt")),
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
        )
        assert client.stdin is not None
        assert client.stdout is not None
        assert client.stderr is not None
        client.stdin.write(b"before\n")
        await client.stdout.readuntil(b"before\n")
        client.stdin.write(command)
        if command == b"R\n":
            await made[0].lost
        else:
            await client.stderr.readuntil(b"KEYUPDATE\n")
            client.stdin.write(b"after\n")
            await client.stdout.readuntil(b"after\n")
            assert made[0].received == b"before\nafter\n"
        client.stdin.close()
        await made[0].lost
        assert made[0].events.count("lost") == 1
        await client.wait()
        await end(server)

    run(main())
