"""A FastCGI client: calls a script on a chosen php-fpm host, without a web server between."""
import json
import socket
import struct
import time
from dataclasses import dataclass, field

_BEGIN_REQUEST, _END_REQUEST, _PARAMS, _STDIN, _STDOUT, _STDERR = 1, 3, 4, 5, 6, 7
_CHUNK = 65000


@dataclass
class Reply:
    status: int
    headers: list
    body: bytes
    log: bytes
    seconds: float
    _json: dict = field(default=None, repr=False)

    @property
    def json(self):
        if self._json is None:
            try:
                self._json = json.loads(self.body)
            except ValueError:
                raise AssertionError(f"status {self.status}, no JSON: {self.body[:300]!r} {self.log[:300]!r}")
        return self._json

    def cookie(self, name="PHPSESSID"):
        """Value that the reply sets for a cookie, None when it sets none; the last one counts."""
        value = None
        for header, text in self.headers:
            if header.lower() == "set-cookie" and text.startswith(name + "="):
                value = text[len(name) + 1:].split(";")[0]
        return value


def _record(kind, content):
    return struct.pack(">BBHHBB", 1, kind, 1, len(content), 0, 0) + content


def _length(number):
    return struct.pack(">B", number) if number < 128 else struct.pack(">I", number | 0x80000000)


def _encode(params, body):
    block = bytearray()
    for name, value in params.items():
        name, value = name.encode(), value.encode()
        block += _length(len(name)) + _length(len(value)) + name + value
    message = bytearray(_record(_BEGIN_REQUEST, struct.pack(">HB5x", 1, 0)))
    for kind, content in ((_PARAMS, bytes(block)), (_STDIN, body)):
        for start in range(0, len(content), _CHUNK):
            message += _record(kind, content[start:start + _CHUNK])
        message += _record(kind, b"")
    return message


def _receive(connection):
    """Reads to the end of the request; returns stdout and stderr of the script."""
    data, out, log = bytearray(), bytearray(), bytearray()
    while True:
        chunk = connection.recv(65536)
        if not chunk:
            raise ConnectionError("php-fpm closed the connection before the end of the request")
        data += chunk
        position = 0
        while len(data) - position >= 8:
            _version, kind, _id, length, padding = struct.unpack_from(">BBHHB", data, position)
            if len(data) - position < 8 + length + padding:
                break
            content = data[position + 8:position + 8 + length]
            position += 8 + length + padding
            if kind == _STDOUT:
                out += content
            elif kind == _STDERR:
                log += content
            elif kind == _END_REQUEST:
                return bytes(out), bytes(log)
        del data[:position]


def request(address, script, query="", cookie="", body=b"", params=None, timeout=60.0):
    """One request on a connection of its own; address is a Unix socket path or (host, port)."""
    everything = {
        "GATEWAY_INTERFACE": "CGI/1.1", "SERVER_PROTOCOL": "HTTP/1.1", "SERVER_SOFTWARE": "rig",
        "REQUEST_METHOD": "POST" if body else "GET", "SCRIPT_FILENAME": script, "SCRIPT_NAME": "/" + script.rsplit("/", 1)[1],
        "QUERY_STRING": query, "REQUEST_URI": "/?" + query, "REMOTE_ADDR": "127.0.0.1",
        "CONTENT_LENGTH": str(len(body)), "HTTP_COOKIE": cookie,
    }
    everything.update(params or {})
    began = time.perf_counter()
    family = socket.AF_UNIX if isinstance(address, str) else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as connection:
        connection.settimeout(timeout)
        connection.connect(address)
        connection.sendall(_encode(everything, body))
        out, log = _receive(connection)
    seconds = time.perf_counter() - began
    head, _, content = out.partition(b"\r\n\r\n")
    headers = [tuple(line.split(": ", 1)) for line in head.decode(errors="replace").split("\r\n") if ": " in line]
    status = next((int(value.split()[0]) for name, value in headers if name.lower() == "status"), 200)
    return Reply(status, headers, content, log, seconds)
