"""One KeyDB/Redis/Valkey server in a folder of its own."""
import os
import shutil
import signal
import subprocess
import time

from . import record
from .process import end, spawn, until
from .resp import Client

PROGRAMS = ("redis-server", "valkey-server", "keydb-server")


def available_programs():
    return [program for program in PROGRAMS if shutil.which(program)]


class Node:
    """Unix socket for its own host and for looking inside, TCP for the others."""

    def __init__(self, name, folder, host, port, namespace=None, program="redis-server", settings=(), environment=None):
        self.name, self.folder, self.host, self.port = name, folder, host, port
        self.socket = os.path.join(folder, "node.sock")
        self._namespace, self._program, self._settings = namespace, program, list(settings)
        self._environment = dict(os.environ, **environment) if environment else None
        self._process, self._password = None, None
        os.makedirs(folder)

    @property
    def pid(self):
        return self._process.pid

    def start(self):
        if os.path.exists(self.socket):
            os.unlink(self.socket)
        self._process = spawn(
            [self._program, "--port", self.port, "--bind", self.host, "--unixsocket", self.socket,
             "--unixsocketperm", "777", "--protected-mode", "no", "--dir", self.folder, "--save", "", "--appendonly", "no",
             "--loglevel", "notice", *self._settings],
            namespace=self._namespace, log=os.path.join(self.folder, "log"), env=self._environment)
        until(self._answers, 20, lambda: f"{self.name} answers; its log ends: {self.log_tail()}")
        return self

    def _answers(self):
        if self._process.poll() is not None:
            raise AssertionError(f"{self.name} ended at start: {self.log_tail()}")
        try:
            with Client(self.socket) as client:
                return client.call("PING") == b"PONG"
        except Exception:
            return False

    def log_tail(self, size=1500):
        with open(os.path.join(self.folder, "log"), "rb") as log:
            return log.read()[-size:].decode(errors="replace")

    # Faults

    def kill(self):
        end(self._process, signal.SIGKILL)

    def stop(self):
        """SIGSTOP, and back when the kernel has stopped it."""
        os.kill(self.pid, signal.SIGSTOP)
        until(lambda: open(f"/proc/{self.pid}/stat").read().rsplit(")", 1)[1].split()[0] in "Tt", 5,
              f"{self.name} stopped", every=0.001)

    def cont(self):
        os.kill(self.pid, signal.SIGCONT)

    def restart(self, empty=True):
        """Starts a killed (or running) node again, without data or with the last save()."""
        self.kill()
        dump = os.path.join(self.folder, "dump.rdb")
        if empty and os.path.exists(dump):
            os.unlink(dump)
        return self.start()

    def save(self):
        self.call("SAVE")

    # A look inside

    def client(self, timeout=5.0):
        client = Client(self.socket, timeout)
        if self._password:
            client.call("AUTH", self._password)
        return client

    def require_password(self, password):
        """From now on; connections that stand are closed, as they would stay authenticated."""
        with self.client() as client:
            client.call("CONFIG", "SET", "requirepass", password)
            client.call("CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes")
        self._password = password

    def call(self, *words):
        with self.client() as client:
            return client.call(*words)

    def info(self, section="everything"):
        lines = self.call("INFO", section).decode().splitlines()
        return dict(line.split(":", 1) for line in lines if ":" in line)

    def command_calls(self):
        """Calls per command since start or CONFIG RESETSTAT, names in lower case."""
        calls = {}
        for name, text in self.info("commandstats").items():
            calls[name[len("cmdstat_"):]] = int(text.split(",")[0].split("=")[1])
        return calls

    def connections(self):
        """Connections of clients other than this one."""
        lines = self.call("CLIENT", "LIST", "TYPE", "normal").decode().splitlines()
        return len(lines) - 1

    def keys(self, pattern="*"):
        found, cursor = [], b"0"
        with self.client() as client:
            while True:
                cursor, batch = client.call("SCAN", cursor, "MATCH", pattern, "COUNT", 1000)
                found += batch
                if cursor == b"0":
                    return sorted(set(found))

    def raw_records(self, prefix="mms:"):
        """Session id -> stored bytes; the module's own keys (prefix + ":") left out."""
        keys = [key.decode() for key in self.keys(prefix + "*")]
        keys = [key for key in keys if not key.startswith(prefix + ":")]
        found = {}
        with self.client(timeout=30) as client:
            for start in range(0, len(keys), 500):
                batch = keys[start:start + 500]
                for key, value in zip(batch, client.pipeline([("GET", key) for key in batch])):
                    if isinstance(value, bytes):
                        found[key[len(prefix):]] = value
        return found

    def record(self, session_id, prefix="mms:"):
        """The parsed record, None when the node has none."""
        data = self.call("GET", prefix + session_id)
        return None if data is None else record.parse(data)


def wait_equal(nodes, seconds=10, prefix="mms:"):
    """Polls until all nodes hold the same bytes under the same session ids; returns how long that took."""
    began = time.monotonic()
    last = {}

    def equal():
        contents = [node.raw_records(prefix) for node in nodes]
        last["different"] = differences(contents)
        return not last["different"]
    until(equal, seconds, lambda: f"nodes equal; different: {len(last['different'])}, such as "
          f"{sorted(last['different'])[:5]}", every=0.1)
    return time.monotonic() - began


def differences(contents):
    ids = set().union(*contents)
    return {key for key in ids if len({content.get(key) for content in contents}) > 1}
