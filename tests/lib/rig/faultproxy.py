"""A TCP proxy that misbehaves on demand: one process with any number of links, steered by JSON lines.

A link forwards bytes until it is told otherwise by Link.set(...):

  blackhole=True        holds back everything in both directions; new connections are accepted and ignored
  syn_blackhole=True    as blackhole, and new connections get no answer at all (the listen backlog is full)
  refuse=True           nobody listens: connection refused; open connections go on
  reset="connect"       RST to each new connection
  reset="send"          RST at the first bytes that a client sends
  cut_reply=N, cut="reset" | "close" | "hold"
                        after N bytes of replies on a connection, counted from now on
  limit=N               the faults above hit only the next N connections
  latency_ms, jitter    delays replies; jitter 0.5 means 50 to 150 % of it
  cut_request=N         RST to both sides after N bytes of commands on a connection, counted from now on
  slice=True            replies in pieces of one byte
  bytes_per_second=N    replies at that rate
  command_bytes_per_second=N   commands are taken from the client at that rate
  free_bytes=N          with that: of what comes at once, so many bytes cost no time
  slow_close_ms=N       the node's closing of a connection reaches the client so much later
  rules=[{"verb": "GET" or "*", "do": ..., "share": 1.0, ...}]
                        per command: "answer" (reply) instead of the node, "swallow" its reply, "twice",
                        "delay" (delay_ms) it and what follows, "reset" when the command comes,
                        "corrupt" / "corrupt_command": one bit of the reply / the command is flipped

Link.clear() heals. Rules need whole frames from the first byte on, so commands are always parsed.
"""
import asyncio
import json
import os
import random
import socket
import struct
import subprocess
import sys

if __name__ != "__main__":
    from .process import end, spawn


class FaultProxy:
    """The proxy process as seen from the tests."""

    def __init__(self):
        library = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
        self._process = spawn([sys.executable, "-B", "-m", "rig.faultproxy"], stdin=subprocess.PIPE,
                              stdout=subprocess.PIPE, env=dict(os.environ, PYTHONPATH=library))
        self._links = {}

    def add(self, name, target):
        """A new link to target (host, port); returns the port where it listens on 127.0.0.1."""
        self._links[name] = Link(self, name, self.ask(name, "add", host=target[0], port=target[1])["port"])
        return self._links[name].port

    def link(self, name):
        return self._links[name]

    def has(self, name):
        return name in self._links

    def ask(self, name, verb, **details):
        self._process.stdin.write(json.dumps({"link": name, "verb": verb, **details}).encode() + b"\n")
        self._process.stdin.flush()
        return json.loads(self._process.stdout.readline())

    def close(self):
        end(self._process)


class Link:
    def __init__(self, proxy, name, port):
        self._proxy, self._name, self.port = proxy, name, port

    def set(self, **faults):
        """Replaces all faults of this link by these."""
        self._proxy.ask(self._name, "set", faults=faults)

    def clear(self):
        self.set()

    def reset_all(self):
        """RST to all open connections."""
        self._proxy.ask(self._name, "reset_all")

    def counts(self):
        """Since start: connections, commands, records (GETs of sessions), command_bytes, reply_bytes, hit (rules and faults that
        struck)."""
        return self._proxy.ask(self._name, "counts")


# The proxy process

class _Server:
    """One link: listener, faults and the connections made through it."""

    def __init__(self, target):
        self.target, self.faults, self.connections = target, {}, set()
        self.counts = {"connections": 0, "commands": 0, "records": 0, "command_bytes": 0, "reply_bytes": 0, "hit": 0}
        self._listener, self._fillers = None, []
        self._socket = self._bind(0)
        self.port = self._socket.getsockname()[1]

    @staticmethod
    def _bind(port):
        listener = socket.socket()
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(("127.0.0.1", port))
        listener.setblocking(False)
        return listener

    async def listen(self):
        self._listener = await asyncio.get_running_loop().create_server(
            lambda: _Front(self), sock=self._socket, backlog=512)

    async def set(self, faults):
        was_deaf = "refuse" in self.faults or "syn_blackhole" in self.faults
        deaf = "refuse" in faults or "syn_blackhole" in faults
        self.faults = faults
        if was_deaf or deaf:
            await self._reopen(faults)
        for connection in list(self.connections):
            connection.faults_changed()

    async def _reopen(self, faults):
        if self._listener:
            self._listener.close()
            self._listener = None
        for filler in self._fillers:
            filler.close()
        self._fillers = []
        self._socket.close()
        self._socket = self._bind(self.port)
        if "syn_blackhole" in faults:
            self._socket.listen(0)
            # The queue takes one more than its length; what comes after that gets no answer to its SYN.
            for _ in range(4):
                filler = socket.socket()
                filler.setblocking(False)
                filler.connect_ex(("127.0.0.1", self.port))
                self._fillers.append(filler)
        elif "refuse" not in faults:
            await self.listen()

    def strikes(self):
        """True when a fault that has a limit may hit one more connection."""
        limit = self.faults.get("limit")
        if limit is not None:
            if limit <= 0:
                return False
            self.faults["limit"] = limit - 1
        self.counts["hit"] += 1
        return True


def _flipped(data):
    """The same bytes with one bit of one of them changed."""
    position = random.randrange(len(data))
    return data[:position] + bytes([data[position] ^ 1 << random.randrange(8)]) + data[position + 1:]


def _abort(transport):
    """Closes with RST instead of FIN."""
    if transport is None or transport.is_closing():
        return
    raw = transport.get_extra_info("socket")
    raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    transport.abort()


class _Entry:
    """A command on its way: its reply, once known, and the time before which it may not leave."""
    __slots__ = ("data", "not_before", "rule")

    def __init__(self, data=None, rule=None):
        self.data, self.rule, self.not_before = data, rule, 0.0


class _Front(asyncio.Protocol):
    """The client's side of one connection; the node's side is a _Back."""

    def __init__(self, server):
        self.server, self.transport, self.back = server, None, None
        self._incoming, self._early = bytearray(), []
        self._entries, self._sent, self._taken = [], 0, 0
        self._timer = None
        self._sending = None

    def connection_made(self, transport):
        self.transport = transport
        transport.get_extra_info("socket").setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        server = self.server
        server.counts["connections"] += 1
        server.connections.add(self)
        if server.faults.get("reset") == "connect" and server.strikes():
            _abort(transport)
            return
        asyncio.ensure_future(self._connect())

    async def _connect(self):
        try:
            _, self.back = await asyncio.get_running_loop().create_connection(
                lambda: _Back(self), *self.server.target)
        except OSError:
            _abort(self.transport)
            return
        self._process()

    def _held(self):
        return self.server.faults.get("blackhole") or self.server.faults.get("syn_blackhole")

    def data_received(self, data):
        self._incoming += data
        self._process()

    def _process(self):
        if self.back is None or self._held():
            return
        if self._incoming and self.server.faults.get("reset") == "send" and self.server.strikes():
            _abort(self.transport)
            return
        forward, position = bytearray(), 0
        while position < len(self._incoming):
            stop = frame_end(self._incoming, position)
            if stop is None:
                break
            frame = bytes(self._incoming[position:stop])
            position = stop
            if not self._take(frame, forward):
                return
        del self._incoming[:position]
        if forward and not self._forward(bytes(forward)):
            return
        self._emit()

    def _forward(self, data):
        """Hands commands to the node; False when the connection died of it."""
        faults = self.server.faults
        self.server.counts["command_bytes"] += len(data)
        cut = faults.get("cut_request")
        if cut is not None and self._taken + len(data) > cut and self.server.strikes():
            self.back.transport.write(data[:max(0, cut - self._taken)])
            # As in _cut(): the bytes before it must arrive.
            asyncio.get_running_loop().call_later(0.002, self._abort_both)
            self._sending = True
            return False
        self._taken += len(data)
        self.back.transport.write(data)
        rate = faults.get("command_bytes_per_second")
        slow = len(data) - faults.get("free_bytes", 0)
        if rate and slow > 0:
            self.transport.pause_reading()
            asyncio.get_running_loop().call_later(slow / rate, self._read_on)
        return True

    def _read_on(self):
        if not self.transport.is_closing():
            self.transport.resume_reading()

    def _abort_both(self):
        _abort(self.back.transport)
        _abort(self.transport)

    def _take(self, frame, forward):
        """Queues one command; False when the connection died of it."""
        self.server.counts["commands"] += 1
        # Of a session's id; mmsession's own keys have one colon more.
        self.server.counts["records"] += frame.startswith(b"*2\r\n$3\r\nGET\r\n") and b"\r\nmms::" not in frame
        rule = self._rule(frame)
        if rule and rule["do"] == "reset":
            _abort(self.transport)
            return False
        if rule and rule["do"] == "answer":
            self._entries.append(_Entry(rule["reply"].encode() + b"\r\n"))
        else:
            self._entries.append(_Entry(rule=rule))
            forward += _flipped(frame) if rule and rule["do"] == "corrupt_command" else frame
        return True

    def _rule(self, frame):
        rules = self.server.faults.get("rules")
        if not rules:
            return None
        verb = command_words(frame)[0].upper().decode()
        for rule in rules:
            if rule["verb"] in ("*", verb) and random.random() < rule.get("share", 1.0):
                self.server.counts["hit"] += 1
                return rule
        return None

    def reply(self, data):
        """One whole reply of the node: belongs to the oldest command that went there."""
        entry = next((entry for entry in self._entries if entry.data is None), None)
        if entry is None:
            self._entries.append(_Entry(data))
        else:
            self._settle(entry, data)
        self._emit()

    def _settle(self, entry, data):
        action = entry.rule["do"] if entry.rule else None
        entry.data = _flipped(data) if action == "corrupt" else {"swallow": b"", "twice": data * 2}.get(action, data)
        delay = entry.rule["delay_ms"] if action == "delay" else 0
        latency = self.server.faults.get("latency_ms", 0)
        if latency:
            jitter = self.server.faults.get("jitter", 0)
            delay += latency * random.uniform(1 - jitter, 1 + jitter)
        if delay:
            entry.not_before = asyncio.get_running_loop().time() + delay / 1000

    def _emit(self):
        if self._held() or self._timer or self._sending:
            return
        now, ready = asyncio.get_running_loop().time(), bytearray()
        while self._entries and self._entries[0].data is not None:
            if self._entries[0].not_before > now:
                self._timer = asyncio.get_running_loop().call_at(self._entries[0].not_before, self._timer_fired)
                break
            ready += self._entries.pop(0).data
        if ready:
            self._send(bytes(ready))

    def _timer_fired(self):
        self._timer = None
        self._emit()

    def _send(self, data):
        faults = self.server.faults
        self.server.counts["reply_bytes"] += len(data)
        if "cut_reply" in faults and self._sent + len(data) > faults["cut_reply"] and faults.get("limit", 1) > 0:
            self.transport.write(data[:faults["cut_reply"] - self._sent])
            self._sent += len(data)
            self.server.strikes()
            self._cut(faults.get("cut", "reset"))
            return
        self._sent += len(data)
        if faults.get("slice"):
            self._sending = asyncio.ensure_future(self._send_pieces(data, 1, 0))
        elif faults.get("bytes_per_second"):
            self._sending = asyncio.ensure_future(self._send_pieces(data, max(1, faults["bytes_per_second"] // 50), 0.02))
        else:
            self.transport.write(data)

    def _cut(self, how):
        if how == "close":
            self.transport.close()
        elif how == "reset":
            # The bytes before the cut must arrive: RST at once could overtake them in the client's kernel.
            asyncio.get_running_loop().call_later(0.002, _abort, self.transport)
        self._sending = True  # nothing more leaves on this connection

    async def _send_pieces(self, data, size, pause):
        for index in range(0, len(data), size):
            if self.transport.is_closing():
                return
            self.transport.write(data[index:index + size])
            await asyncio.sleep(pause)
        self._sending = None
        self._emit()

    def faults_changed(self):
        self._sent = self._taken = 0
        if not self._held():
            self._process()

    def node_closed(self):
        if not self._held() and self.transport:
            pause = self.server.faults.get("slow_close_ms", 0) / 1000
            asyncio.get_running_loop().call_later(pause, self.transport.close)

    def connection_lost(self, _error):
        self.server.connections.discard(self)
        if self._timer:
            self._timer.cancel()
        if self.back and self.back.transport:
            self.back.transport.close()


class _Back(asyncio.Protocol):
    def __init__(self, front):
        self._front, self.transport, self._incoming = front, None, bytearray()

    def connection_made(self, transport):
        self.transport = transport
        transport.get_extra_info("socket").setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def data_received(self, data):
        self._incoming += data
        position = 0
        while position < len(self._incoming):
            stop = frame_end(self._incoming, position)
            if stop is None:
                break
            self._front.reply(bytes(self._incoming[position:stop]))
            position = stop
        del self._incoming[:position]

    def connection_lost(self, _error):
        self._front.node_closed()


async def _serve():
    try:
        os.setpriority(os.PRIO_PROCESS, 0, -10)  # a network does not wait for a busy machine's scheduler
    except PermissionError:
        pass
    reader = asyncio.StreamReader(limit=1 << 20)
    await asyncio.get_running_loop().connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
    servers = {}
    while line := await reader.readline():
        order = json.loads(line)
        answer = await _obey(servers, order)
        sys.stdout.write(json.dumps(answer) + "\n")
        sys.stdout.flush()


async def _obey(servers, order):
    if order["verb"] == "add":
        server = servers[order["link"]] = _Server((order["host"], order["port"]))
        await server.listen()
        return {"port": server.port}
    server = servers[order["link"]]
    if order["verb"] == "set":
        await server.set(order["faults"])
    elif order["verb"] == "reset_all":
        for connection in list(server.connections):
            _abort(connection.transport)
    return server.counts


if __name__ == "__main__":
    from rig.resp import command_words, frame_end
    asyncio.run(_serve())
