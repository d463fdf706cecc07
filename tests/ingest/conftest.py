"""A free port, the embedded broker, and a raw client that may send what no library would."""

import socket
from collections.abc import Callable, Iterator

import pytest

from ingest.broker import Broker
from zhiwei.settings import Mqtt
from zhiwei.testing.scripted_broker import length


class RawClient:
    """An MQTT 3.1.1 client over a bare socket."""

    def __init__(self, port: int, client_id: bytes) -> None:
        self.socket = socket.create_connection(("127.0.0.1", port), timeout=10)
        body = b"\x00\x04MQTT\x04\x02\x00\x3c" + len(client_id).to_bytes(2, "big") + client_id
        self.socket.sendall(b"\x10" + length(len(body)) + body)
        assert self.read(4) == b"\x20\x02\x00\x00"

    def read(self, size: int) -> bytes:
        """So many bytes, or fewer if the broker hangs up."""
        data = b""
        while len(data) < size:
            try:
                piece = self.socket.recv(size - len(data))
            except ConnectionError:
                return data
            if not piece:
                return data
            data += piece
        return data

    def send(self, data: bytes) -> None:
        self.socket.sendall(data)

    def close(self) -> None:
        self.socket.close()


@pytest.fixture(scope="session")
def free_port() -> Callable[[], int]:
    def find() -> int:
        with socket.create_server(("127.0.0.1", 0)) as free:
            return int(free.getsockname()[1])

    return find


@pytest.fixture(scope="module")
def broker_port(free_port: Callable[[], int]) -> Iterator[int]:
    """A port on which the embedded broker listens."""
    port = free_port()
    with Broker(Mqtt(port=port)):
        yield port


@pytest.fixture
def raw(broker_port: int) -> Iterator[RawClient]:
    client = RawClient(broker_port, b"raw")
    yield client
    client.close()
