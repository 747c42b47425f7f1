"""What is measured and what it is measured against: servers, and one php.ini per save handler."""
import json
import os
import shutil
import signal
import socket
import subprocess
import tempfile
import urllib.parse
import urllib.request

from rig.host import files_settings, mmsession_settings, php_environment, php_program, phpredis_settings, write_ini
from rig.node import Node
from rig.process import children, end, free_port, spawn, until

HERE = os.path.dirname(os.path.abspath(__file__))
RING_BYTES = 32 << 20  # mmsession.mailbox_size, by default: gone round once, its pages are there as in a PHP that has been up for a while
RING_VIEW_BYTES = 65536
SPIN_US = 50  # default of mmsession.spin_us
MODES = ("newest", "local", "session-token")
CONTROLS = ("phpredis", "phpredis persistent")
SIGNED = "session-token signed"  # with mmsession.token_key_file
MESH, MEMCACHED = "phpredis on KeyDB mesh", "php-memcached, 2 replicas"


def scratch(name):
    folder = tempfile.mkdtemp(prefix=name, dir=os.environ.get("MMS_RUN_DIR"))
    os.chmod(folder, 0o755)
    return folder


# --- servers ----------------------------------------------------------------------------------------------------------

def start_nodes(count, folder, program="redis-server", settings=()):
    nodes = []
    for index in range(count):
        node = Node(f"web{len(nodes) + 1}", os.path.join(folder, f"{program}-{index + 1}"), "127.0.0.1", free_port(),
                    program=program, settings=settings)
        nodes.append(node)
        node.start()
    return nodes


class Mesh:
    """KeyDB nodes that replicate to each other as active replicas: what is used today for several masters."""

    def __init__(self, folder, count=3):
        self.nodes = start_nodes(count, folder, "keydb-server",
                                 ["--active-replica", "yes", "--multi-master", "yes", "--notify-keyspace-events", ""])
        for node in self.nodes:
            self.join(node)
        until(self.joined, 60, "the KeyDB mesh is joined", every=0.1)

    @staticmethod
    def available():
        return shutil.which("keydb-server") is not None

    def join(self, node):
        for other in self.nodes:
            if other is not node:
                node.call("REPLICAOF", other.host, other.port)

    def joined(self):
        """Every node has a link up to every other."""
        for node in self.nodes:
            info = node.info("replication")
            links = [value for name, value in info.items() if name.startswith("master") and name.endswith("link_status")]
            if links.count("up") < len(self.nodes) - 1 or info.get("master_sync_in_progress", "0") == "1":
                return False
        return True

    def full_syncs(self):
        return sum(int(node.info("stats").get("sync_full", 0)) for node in self.nodes)

    def close(self):
        close_nodes(self.nodes)


class MemcachedServer:
    """What the sections need of a Node, for memcached."""

    def __init__(self, folder, megabytes):
        self.port = free_port()
        self._log, self._megabytes, self._process = os.path.join(folder, f"memcached-{self.port}.log"), megabytes, None

    @property
    def pid(self):
        return self._process.pid  # setpriv has become memcached itself

    def start(self):
        user = ["-u", "nobody"] if os.geteuid() == 0 else []
        self._process = spawn(["memcached", "-l", "127.0.0.1", "-p", self.port, "-U", "0", "-m", self._megabytes, "-I", "4m", "-t", "2",
                               *user], log=self._log)
        until(lambda: answers(self.port), 10, f"memcached answers on {self.port}")

    def kill(self):
        end(self._process)

    def restart(self, empty=True):
        assert empty
        self.kill()
        self.start()

    def stop(self):
        os.kill(self.pid, signal.SIGSTOP)

    def cont(self):
        os.kill(self.pid, signal.SIGCONT)


class Memcached:
    def __init__(self, folder, count=3, megabytes=256):
        self.servers = [MemcachedServer(folder, megabytes) for _ in range(count)]
        try:
            for server in self.servers:
                server.start()
        except BaseException:
            self.close()
            raise

    @property
    def ports(self):
        return [server.port for server in self.servers]

    @property
    def pids(self):
        return [server.pid for server in self.servers]

    def close(self):
        for server in self.servers:
            server.kill()


def answers(port):
    try:
        socket.create_connection(("127.0.0.1", port), 1).close()
        return True
    except OSError:
        return False


def close_nodes(nodes):
    for node in nodes:
        if node._process is not None:
            node.kill()


# --- settings ---------------------------------------------------------------------------------------------------------

def memcached_settings(ports, connect_timeout_ms=1000):
    folder = subprocess.run([php_program(), "-n", "-r", "echo ini_get('extension_dir');"], capture_output=True, text=True,
                            check=True).stdout
    names = [name for name in ("igbinary", "msgpack", "memcached") if os.path.exists(f"{folder}/{name}.so")]
    return [f"extension={name}.so" for name in names], {
        "session.save_handler": "memcached", "session.save_path": ",".join(f"127.0.0.1:{port}" for port in ports),
        "memcached.sess_number_of_replicas": "2", "memcached.sess_consistent_hash": "On",
        "memcached.sess_binary_protocol": "On", "memcached.sess_persistent": "On", "memcached.sess_locking": "Off",
        "memcached.sess_connect_timeout": str(connect_timeout_ms), "memcached.sess_server_failure_limit": "1",
        "memcached.sess_remove_failed_servers": "On",
    }


def persistent_settings(node):
    """phpredis at its fastest: it asks nothing before it takes up a connection from an earlier request (an ECHO by default, one
    round trip more). node: a Node, over its Unix socket, or a ready URL."""
    url = node if isinstance(node, str) else f"unix://{node.socket}"
    extensions, values = phpredis_settings(f"{url}?persistent=1")
    return extensions, {**values, "redis.pconnect.echo_check_liveness": "0"}


def our_settings(nodes, local_tcp=False, **more):
    """nodes: the local one first; each a Node, or a ready URL."""
    urls = []
    for index, node in enumerate(nodes):
        if isinstance(node, str):
            urls.append(node)
        elif index == 0 and not local_tcp:
            urls.append(f"unix://{node.socket}?name={node.name}")
        else:
            urls.append(f"tcp://{node.host}:{node.port}?name={node.name}")
    more = {name: str(value) for name, value in more.items()}
    return mmsession_settings(", ".join(urls), more.pop("host_id", "bench"), **more)


def known_modes(folder):
    """Read modes that this build of the module has; a value that it does not know falls back to the default."""
    found = []
    for mode in MODES:
        path = os.path.join(folder, "probe.ini")
        extensions, values = mmsession_settings("tcp://127.0.0.1:1", "probe", read=mode)
        write_ini(path, extensions, {**values, "log_errors": "0"})
        shown = subprocess.run([php_program(), "-c", path, "-r", "echo ini_get('mmsession.read');"], capture_output=True,
                               text=True, env=php_environment(), check=True).stdout
        if shown == mode:
            found.append(mode)
    return found


# --- running ----------------------------------------------------------------------------------------------------------

def cpu_us(pid):
    """CPU of all threads of a process, in microseconds, finer than /proc/pid/stat."""
    total = 0
    for task in os.listdir(f"/proc/{pid}/task"):
        try:
            with open(f"/proc/{pid}/task/{task}/schedstat") as stat:
                total += int(stat.read().split()[0])
        except FileNotFoundError:
            pass
    return total / 1000


class Cores:
    """The time of all cores of this machine, from when it is made."""

    def __init__(self):
        self._before = self._times()

    @staticmethod
    def _times():
        """(idle or waiting for a disk, all); guests are in the time of their users."""
        with open("/proc/stat") as stat:
            times = [int(word) for word in stat.readline().split()[1:9]]
        return times[3] + times[4], sum(times)

    def idle(self):
        """Share that nobody used since then; it has steps of 10 ms."""
        now = self._times()
        return (now[0] - self._before[0]) / max(1, now[1] - self._before[1])


class Awake:
    """Keeps all cores awake while it is open: whoever sleeps for an answer does not pay for waking one. The loops run only
    where nobody else wants to (SCHED_IDLE)."""

    def __enter__(self):
        self._loops = [spawn(["chrt", "--idle", "0", "sh", "-c", "while :; do :; done"]) for _ in range(os.cpu_count())]
        return self

    def __exit__(self, *_exception):
        for loop in self._loops:
            end(loop)


class Handlers:
    """php.ini files by the handler's name, with the servers' pids whose CPU counts for it."""

    def __init__(self, folder):
        self.folder, self._files, self._pids, self._made = folder, {}, {}, 0

    def add(self, name, settings, pids=()):
        path = os.path.join(self.folder, f"handler-{self._made}.ini")
        self._made += 1
        extensions, values = settings
        write_ini(path, extensions, {"max_execution_time": "0", **values})
        self._files[name], self._pids[name] = path, list(pids)

    def add_floor(self, name, address, spin_us, pids=()):
        self._files[name], self._pids[name] = (address, spin_us), list(pids)

    @property
    def names(self):
        return list(self._files)

    def command(self, name, script, *arguments):
        return [php_program(), "-c", self._files[name], os.path.join(HERE, script), *map(str, arguments)]

    def start(self, name, script, *arguments, wrapper=()):
        """A PHP process to talk to: lines on stdin and stdout."""
        return subprocess.Popen([*wrapper, *self.command(name, script, *arguments)], stdin=subprocess.PIPE,
                                stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=php_environment())

    def run(self, name, script, *arguments, wrapper=(), timeout=600):
        """The JSON that a script prints."""
        return self._json(name, [*wrapper, *self.command(name, script, *arguments)], timeout)

    def serve(self, name, script, *arguments, wrapper=(), timeout=600):
        """The same by PHP's own web server, whose pages have headers to send; the arguments come as ?a[]=..."""
        port = free_port()
        command = [*wrapper, php_program(), "-c", self._files[name], "-S", f"127.0.0.1:{port}", os.path.join(HERE, script)]
        process = spawn(command, log=os.path.join(self.folder, "served.log"), env=php_environment())
        try:
            until(lambda: answers(port), 60, f"{name}: PHP's web server answers")
            query = urllib.parse.urlencode([("a[]", argument) for argument in arguments])
            with urllib.request.urlopen(f"http://127.0.0.1:{port}/?{query}", timeout=timeout) as answer:
                return self._read(name, answer.read().decode())
        finally:
            for child in children(process.pid):  # strace lets its own signals wait
                os.kill(child, signal.SIGINT)
            end(process, signal.SIGINT)

    @classmethod
    def _json(cls, name, command, timeout):
        result = subprocess.run(command, capture_output=True, text=True, env=php_environment(), timeout=timeout)
        return cls._read(name, result.stdout, result.returncode, result.stderr)

    @staticmethod
    def _read(name, output, code=0, errors=""):
        if code or not output.startswith("{"):
            raise RuntimeError(f"{name}: code {code}: {output[:300]} {errors[:600]}")
        return json.loads(output)

    def loop(self, name, session_id, size, views, kind, busy_us):
        """One turn of page views, by loop.php or floor; with the CPU of all its servers per view, and the cores' idle share."""
        before, cores = [cpu_us(pid) for pid in self._pids[name]], Cores()
        file = self._files[name]
        warm_up, ring_views = 50, RING_BYTES // RING_VIEW_BYTES + 50 if kind == "changed" else 0
        if isinstance(file, tuple):
            figures = self._json(name, [floor_program(), file[0], str(size), str(views), kind, str(busy_us), str(file[1])], 600)
        else:
            figures = self.run(name, "loop.php", session_id, size, views, kind, busy_us, warm_up, ring_views, RING_VIEW_BYTES)
        if not figures["kept"]:
            raise RuntimeError(f"{name}: the session does not hold what was written last")
        figures["servers"] = sum(cpu_us(pid) - then for pid, then in zip(self._pids[name], before)) / (views + warm_up + ring_views)
        figures["idle"] = cores.idle()
        return figures


def compiled(name):
    """A tool of the benchmark in C, built when it is first needed in this run."""
    folder = os.environ.get("MMS_RUN_DIR") or scratch("bench-")
    program = os.path.join(folder, name)
    if not os.path.exists(program):
        subprocess.run([os.environ.get("CC", "cc"), "-O2", "-Wall", "-Wextra", "-Werror", "-o", program + ".new",
                        os.path.join(HERE, name + ".c")], check=True)
        os.rename(program + ".new", program)
    return program


def floor_program():
    return compiled("floor")


class Stage:
    """Servers and handlers for one section; use as context manager.

    controls: also files, the KeyDB mesh and memcached.
    """

    def __init__(self, count=3, mesh=False, memcached=False):
        self.folder = scratch("stage-")
        self.nodes, self.mesh, self.memcached = [], None, None
        self.handlers = Handlers(self.folder)
        self.modes = known_modes(self.folder)
        try:
            self.nodes = start_nodes(count, self.folder)
            if mesh and Mesh.available():
                self.mesh = Mesh(self.folder)
            if memcached:
                self.memcached = Memcached(self.folder)
        except BaseException:
            self.close()
            raise

    def pids(self, count=None):
        return [node.pid for node in self.nodes[:count]]

    def add_phpredis(self, persistent_only=False):
        node = self.nodes[0]
        if not persistent_only:
            self.handlers.add("phpredis", phpredis_settings(f"unix://{node.socket}"), self.pids(1))
        self.handlers.add("phpredis persistent", persistent_settings(node), self.pids(1))

    def add_replicated_controls(self):
        if self.mesh:
            self.handlers.add(MESH, persistent_settings(self.mesh.nodes[0]),
                              [node.pid for node in self.mesh.nodes])
        if self.memcached:
            self.handlers.add(MEMCACHED, memcached_settings(self.memcached.ports), self.memcached.pids)

    def add_files(self):
        self.handlers.add("files", files_settings(os.path.join(self.folder, "sessions")))

    def add_floors(self, address=None):
        address = address or f"unix:{self.nodes[0].socket}"
        self.handlers.add_floor("C floor, asleep", address, 0, self.pids(1))
        self.handlers.add_floor("C floor", address, SPIN_US, self.pids(1))

    def add_ours(self, modes=None, **settings):
        for mode in modes or self.modes:
            self.handlers.add(mode, our_settings(self.nodes[:3], read=mode, **settings), self.pids(3))

    def add_signed(self, name=SIGNED, **settings):
        """session-token with tokens that are signed."""
        key = os.path.join(self.folder, "token-key")
        with open(os.open(key, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w") as file:
            file.write(os.urandom(32).hex() + "\n")
        self.handlers.add(name, our_settings(self.nodes[:3], read="session-token", token_key_file=key, **settings), self.pids(3))

    def close(self):
        close_nodes(self.nodes)
        for server in (self.mesh, self.memcached):
            if server:
                server.close()
        shutil.rmtree(self.folder, ignore_errors=True)

    def __enter__(self):
        return self

    def __exit__(self, *_exception):
        self.close()


