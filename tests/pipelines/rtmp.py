"""An RTMP server: ffmpeg's, which gives what it sends to no stream at all (number
0), so that other clients than its own ignore it; here it goes to the one that it
has told the client (1).

SPDX-License-Identifier: LGPL-2.1-or-later
"""
import socket
import threading
import time

HANDSHAKE = 1 + 2 * 1536
SET_CHUNK_SIZE, AUDIO, VIDEO, DATA = 1, 8, 9, 18
# Bytes of a chunk's header by its kind: time, length, type, stream.
HEADERS = (11, 7, 3, 0)


class Chunks:
    """Passes on what the server says, chunk by chunk."""

    def __init__(self, stream, out):
        self.stream, self.out = stream, out
        self.size = 128
        self.messages = {}  # by chunk stream: length, type, bytes left

    def read(self, n):
        data = self.stream.read(n)
        if len(data) < n:
            raise ConnectionError
        return data

    def copy(self):
        first = self.read(1)
        number = first[0] & 63
        assert number >= 2, "numbers of more bytes"
        header = bytearray(self.read(HEADERS[first[0] >> 6]))
        length, kind, left = self.messages.get(number, (0, 0, 0))
        if len(header) >= 7:
            length, kind = int.from_bytes(header[3:6], "big"), header[6]
        if len(header) == 11 and kind in (AUDIO, VIDEO, DATA):
            header[7:] = (1).to_bytes(4, "little")
        if header[:3] == b"\xff\xff\xff":
            header += self.read(4)
        left = left or length
        n = min(left, self.size)
        data = self.read(n)
        self.messages[number] = length, kind, left - n
        self.out.sendall(first + header + data)
        if kind == SET_CHUNK_SIZE:
            self.size = int.from_bytes(data, "big")


def connect(port):
    """As soon as somebody listens."""
    for _ in range(600):
        try:
            return socket.create_connection(("127.0.0.1", port))
        except ConnectionRefusedError:
            time.sleep(0.1)
    raise AssertionError(f"nobody listens at port {port}")


class Relay:
    """Passes one client at `port` on to the server at `to`."""

    def __init__(self, port, to):
        self.server = connect(to)
        self.listener = socket.create_server(("127.0.0.1", port))
        self.sockets = [self.server, self.listener]
        threading.Thread(target=self.run, daemon=True).start()

    def run(self):
        try:
            client = self.listener.accept()[0]
            self.sockets.append(client)
            threading.Thread(target=self.up, args=[client], daemon=True).start()
            stream = self.server.makefile("rb")
            client.sendall(stream.read(HANDSHAKE))
            chunks = Chunks(stream, client)
            while True:
                chunks.copy()
        except OSError:
            self.close()

    def up(self, client):
        try:
            while data := client.recv(4096):
                self.server.sendall(data)
        except OSError:
            pass

    def close(self):
        for s in self.sockets:
            s.close()
