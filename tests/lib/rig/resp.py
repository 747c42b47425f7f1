"""A tiny RESP2 client, only to look into nodes and to prepare them."""
import socket


class ReplyError(Exception):
    """The node answered with an error."""


class Client:
    """One blocking connection; address is a Unix socket path or (host, port)."""

    def __init__(self, address, timeout=5.0):
        family = socket.AF_UNIX if isinstance(address, str) else socket.AF_INET
        self._socket = socket.socket(family, socket.SOCK_STREAM)
        self._socket.settimeout(timeout)
        try:
            self._socket.connect(address)
        except OSError:
            self._socket.close()
            raise
        self._file = self._socket.makefile("rb")

    def shutdown(self):
        """Whoever waits for an answer in another thread gets none."""
        self._socket.shutdown(socket.SHUT_RDWR)

    def close(self):
        self._file.close()
        self._socket.close()

    def __enter__(self):
        return self

    def __exit__(self, *_exception):
        self.close()

    def call(self, *words):
        """One command; errors are raised."""
        reply = self.pipeline([words])[0]
        if isinstance(reply, ReplyError):
            raise reply
        return reply

    def pipeline(self, commands):
        """Several commands in one round trip; errors come back as ReplyError objects."""
        self._socket.sendall(b"".join(encode(*words) for words in commands))
        return [self._read() for _ in commands]

    def _read(self):
        line = self._file.readline()
        if not line.endswith(b"\r\n"):
            raise ConnectionError("connection closed by the node")
        kind, rest = line[:1], line[1:-2]
        if kind == b"+":
            return rest
        if kind == b"-":
            return ReplyError(rest.decode(errors="replace"))
        if kind == b":":
            return int(rest)
        if kind == b"$":
            return None if rest == b"-1" else self._file.read(int(rest) + 2)[:-2]
        if kind == b"*":
            return None if rest == b"-1" else [self._read() for _ in range(int(rest))]
        raise ConnectionError(f"unknown reply type {kind!r}")


def encode(*words):
    parts = [word if isinstance(word, bytes) else str(word).encode() for word in words]
    return b"*%d\r\n" % len(parts) + b"".join(b"$%d\r\n%s\r\n" % (len(part), part) for part in parts)


def frame_end(data, start=0):
    """Index after the RESP frame (command or reply) that begins at start; None while it is incomplete."""
    newline = data.find(b"\r\n", start)
    if newline < 0:
        return None
    kind, after = data[start:start + 1], newline + 2
    if kind == b"$":
        length = int(data[start + 1:newline])
        stop = after if length < 0 else after + length + 2
        return stop if stop <= len(data) else None
    if kind == b"*":
        for _ in range(max(int(data[start + 1:newline]), 0)):
            after = frame_end(data, after)
            if after is None:
                return None
    return after


def command_words(frame):
    """The words of one complete command frame."""
    words, position = [], frame.index(b"\r\n") + 2
    while position < len(frame):
        newline = frame.index(b"\r\n", position)
        length = int(frame[position + 1:newline])
        words.append(bytes(frame[newline + 2:newline + 2 + length]))
        position = newline + 2 + length + 2
    return words
