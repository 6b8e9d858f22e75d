"""A WebSocket client (RFC 6455), as small as the tests of this folder need it.

SPDX-License-Identifier: LGPL-2.1-or-later
"""
import base64
import json
import os
import socket
import struct
import urllib.parse

TEXT, CLOSE, PING, PONG = 1, 8, 9, 10


class Refused(Exception):
    """The server answered with another status than 101."""


class Closed(Exception):
    """The server closed; its code, if it gave one and it came through."""


class WebSocket:
    def __init__(self, url, origin=None, timeout=20, tls=None):
        """`tls`: the context of a wss: address."""
        parts = urllib.parse.urlsplit(url)
        self.socket = socket.create_connection((parts.hostname, parts.port),
                                               timeout)
        if tls:
            self.socket = tls.wrap_socket(self.socket,
                                          server_hostname=parts.hostname)
        self.stream = self.socket.makefile("rb")
        lines = [f"GET {parts.path} HTTP/1.1", f"Host: {parts.netloc}",
                 "Upgrade: websocket", "Connection: Upgrade",
                 "Sec-WebSocket-Version: 13", "Sec-WebSocket-Key: "
                 + base64.b64encode(os.urandom(16)).decode()]
        if origin:
            lines.append(f"Origin: {origin}")
        self.socket.sendall("\r\n".join([*lines, "", ""]).encode())
        status = int(self.stream.readline().split()[1])
        while self.stream.readline().strip():
            pass
        if status != 101:
            self.close()
            raise Refused(status)

    def close(self):
        self.stream.close()
        self.socket.close()

    def __enter__(self):
        return self

    def leave(self):
        """Returns when the server has heard of it."""
        try:
            self.send_frame(CLOSE, struct.pack(">H", 1000))
            while self.stream.read(4096):
                pass
        except OSError:
            pass  # it was quicker
        self.close()

    def __exit__(self, *_):
        self.leave()

    def send_frame(self, kind, data):
        mask = os.urandom(4)
        n = len(data)
        if n < 126:
            head = struct.pack(">BB", 0x80 | kind, 0x80 | n)
        elif n < 65536:
            head = struct.pack(">BBH", 0x80 | kind, 0x80 | 126, n)
        else:
            head = struct.pack(">BBQ", 0x80 | kind, 0x80 | 127, n)
        masked = bytes(byte ^ mask[i % 4] for i, byte in enumerate(data))
        self.socket.sendall(head + mask + masked)

    def send(self, message):
        """Text as it is, all else as JSON."""
        text = message if isinstance(message, str) else json.dumps(message)
        self.send_frame(TEXT, text.encode())

    def read(self, n):
        try:
            data = self.stream.read(n)
        except ConnectionError:
            data = b""
        if len(data) < n:
            raise Closed(None)
        return data

    def receive_frame(self):
        first, n = self.read(2)
        if n == 126:
            n, = struct.unpack(">H", self.read(2))
        elif n == 127:
            n, = struct.unpack(">Q", self.read(8))
        return first & 0x80, first & 0xf, self.read(n)

    def receive(self):
        """The next message, from JSON."""
        text = b""
        while True:
            last, kind, data = self.receive_frame()
            if kind == CLOSE:
                raise Closed(struct.unpack(">H", data[:2])[0] if data
                             else None)
            if kind == PING:
                self.send_frame(PONG, data)
            elif kind != PONG:
                text += data
                if last:
                    return json.loads(text)
