"""A DNS server with a network and a resolv.conf of the run's own: it tells what it is told to, late, never, or is not there.

It answers to UDP on port 53 of an address. Names are asked for in any case of letters; other names do not exist.
"""
import asyncio
import json
import os
import socket
import struct
import subprocess
import sys

if __name__ != "__main__":
    from .process import end, spawn

_IPV4, _INTERNET, _HEADER = 1, 1, 12
_ANSWER, _NO_SUCH_NAME = 0x8180, 0x8183


def own_resolv_conf_allowed():
    """May a process have an /etc/resolv.conf of its own?"""
    probe = ["unshare", "--mount", "--", "mount", "--bind", "/etc/hosts", "/etc/resolv.conf"]
    try:
        return subprocess.run(probe, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL).returncode == 0
    except OSError:
        return False


def with_resolv_conf(path, command):
    """The command with this file in the place of /etc/resolv.conf; its pid stays the one that is started."""
    return ["unshare", "--mount", "--", "sh", "-c", 'mount --bind "$1" /etc/resolv.conf && shift && exec "$@"', "sh", path, *command]


class NameServer:
    """The server's process as seen from the tests."""

    def __init__(self, namespace, address):
        library = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
        self.address = address
        self._process = spawn([sys.executable, "-B", "-m", "rig.nameserver", address], namespace=namespace,
                              stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=dict(os.environ, PYTHONPATH=library))
        self.asked()

    def _ask(self, order):
        self._process.stdin.write(json.dumps(order).encode() + b"\n")
        self._process.stdin.flush()
        return json.loads(self._process.stdout.readline())["asked"]

    def set(self, names=None, how="answers", delay_ms=0):
        """names: name -> addresses, None: as before. how: "answers" after delay_ms, "silent", "away" (nobody listens)."""
        self._ask({"how": how, "delay_ms": delay_ms, **({} if names is None else {"names": names})})

    def asked(self):
        """Questions that have come in since it was started; none comes in while it is away."""
        return self._ask({})

    def close(self):
        end(self._process)


# The process

def _question(packet):
    """(name in lower case, type, where the question ends)"""
    labels, position = [], _HEADER
    while packet[position]:
        labels.append(packet[position + 1:position + 1 + packet[position]])
        position += 1 + packet[position]
    return b".".join(labels).decode().lower(), struct.unpack_from("!H", packet, position + 1)[0], position + 5


def _answer(packet, names):
    name, kind, stop = _question(packet)
    addresses = names.get(name, []) if kind == _IPV4 else []
    records = b"".join(struct.pack("!HHHIH", 0xc00c, _IPV4, _INTERNET, 1, 4) + socket.inet_aton(each) for each in addresses)
    flags = _ANSWER if name in names else _NO_SUCH_NAME
    return packet[:2] + struct.pack("!HHHHH", flags, 1, len(addresses), 0, 0) + packet[_HEADER:stop] + records


class _Server(asyncio.DatagramProtocol):
    def __init__(self, address):
        self.address, self.names, self.how, self.delay_ms, self.asked = address, {}, "silent", 0, 0
        self._transport = None

    async def listen(self, wanted):
        if wanted and self._transport is None:
            self._transport, _ = await asyncio.get_running_loop().create_datagram_endpoint(
                lambda: self, local_addr=(self.address, 53))
        elif not wanted and self._transport is not None:
            self._transport.abort()
            self._transport = None

    def datagram_received(self, packet, asker):
        self.asked += 1
        if self.how == "answers":
            asyncio.get_running_loop().call_later(self.delay_ms / 1000, self._send, _answer(packet, self.names), asker)

    def _send(self, packet, asker):
        if self._transport is not None and self.how == "answers":
            self._transport.sendto(packet, asker)


async def _serve(address):
    server = _Server(address)
    await server.listen(True)
    reader = asyncio.StreamReader()
    await asyncio.get_running_loop().connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
    while line := await reader.readline():
        order = json.loads(line)
        server.names, server.delay_ms = order.get("names", server.names), order.get("delay_ms", server.delay_ms)
        server.how = order.get("how", server.how)
        await server.listen(server.how != "away")
        sys.stdout.write(json.dumps({"asked": server.asked}) + "\n")
        sys.stdout.flush()


if __name__ == "__main__":
    asyncio.run(_serve(sys.argv[1]))
