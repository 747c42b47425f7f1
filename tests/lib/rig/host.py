"""One web host: a php-fpm master with its own settings, and the way to call scripts on it."""
import copy
import os
import shutil
import signal
import subprocess
import urllib.parse

from . import fastcgi
from .nameserver import with_resolv_conf
from .process import alive, children, end, kill_with_children, spawn, until

WWW = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..", "cluster", "www")


def _first_in_path(*names):
    return next((found for found in map(shutil.which, names) if found), names[0])


def fpm_program():
    return os.environ.get("MMS_PHP_FPM") or _first_in_path("php-fpm8.2", "php-fpm8.4", "php-fpm")


def php_program():
    return os.environ.get("MMS_PHP") or _first_in_path("php8.2", "php8.4", "php")


def redis_extensions():
    """Lines that load phpredis: Debian's build of it wants igbinary first."""
    folder = subprocess.run([php_program(), "-n", "-r", "echo ini_get('extension_dir');"],
                            capture_output=True, text=True, check=True).stdout
    names = [name for name in ("igbinary", "redis") if os.path.exists(f"{folder}/{name}.so")]
    return [f"extension={name}.so" for name in names]


def mmsession_settings(nodes, host_id, **more):
    """php.ini of a host that uses mmsession; nodes is the value of mmsession.nodes."""
    settings = {"session.save_handler": "mmsession", "mmsession.nodes": nodes, "mmsession.host_id": host_id}
    settings.update({f"mmsession.{name}": value for name, value in more.items()})
    return [f"extension={os.environ['MMS_MODULE']}"], settings


def phpredis_settings(save_path):
    """php.ini of a control host: phpredis on the same nodes."""
    return redis_extensions(), {"session.save_handler": "redis", "session.save_path": save_path}


def files_settings(folder):
    os.makedirs(folder, mode=0o777, exist_ok=True)
    os.chmod(folder, 0o777)
    return [], {"session.save_handler": "files", "session.save_path": folder}


def write_ini(path, extensions, settings):
    base = {
        "log_errors": "1", "display_errors": "0", "html_errors": "0", "session.use_strict_mode": "0",
        "session.gc_maxlifetime": "1440", "session.gc_probability": "0", "session.lazy_write": "1",
        "session.cookie_httponly": "1", "max_execution_time": "30", "memory_limit": "256M",
    }
    base.update(settings)
    with open(path, "w") as ini:
        ini.write("zend_extension=opcache\n")
        ini.writelines(line + "\n" for line in extensions)
        ini.writelines(f'{name} = "{value}"\n' for name, value in base.items())


def php_environment():
    """The distribution's conf.d stays out: only the ini written here counts."""
    return dict(os.environ, PHP_INI_SCAN_DIR="")


class Host:
    """name is also mmsession.host_id. pool: lines of the pool's configuration; fpm_global: of [global]; environment: of
    php-fpm. resolv_conf: file that stands in for /etc/resolv.conf there. second: PHP settings of a second pool of this master."""

    def __init__(self, name, folder, extensions, settings, workers=8, namespace=None, pool=(), fpm_global=(),
                 daemonize=False, environment=None, resolv_conf=None, second=None):
        self.name, self.folder, self.workers_max = name, folder, workers
        self.socket = os.path.join(folder, "fpm.sock")
        self.log = os.path.join(folder, "php.log")
        self._namespace, self._daemonize = namespace, daemonize
        self._environment, self._resolv_conf = dict(environment or {}), resolv_conf
        self._pid_file = os.path.join(folder, "fpm.pid")
        self._process = None
        self.master = None
        os.makedirs(folder)
        os.chmod(folder, 0o755)
        self.www = os.path.join(folder, "www")
        shutil.copytree(WWW, self.www)
        self.ini = os.path.join(folder, "php.ini")
        write_ini(self.ini, extensions, settings)
        lines = ["[global]", f"pid = {self._pid_file}", f"error_log = {self.log}", "log_level = notice", *fpm_global,
                 *self._pool_lines("www", self.socket, list(pool))]
        if second is not None:
            values = [f'php_admin_value[{name}] = "{value}"' for name, value in second.items()]
            lines += self._pool_lines("second", f"{self.socket}2", values)
        self._pool_file = os.path.join(self.folder, "fpm.conf")
        with open(self._pool_file, "w") as conf:
            conf.write("\n".join(lines) + "\n")

    def _pool_lines(self, name, socket, more):
        has_pm = any(line.replace(" ", "").startswith("pm=") for line in more)
        lines = [f"[{name}]", f"listen = {socket}", "listen.mode = 0666", "listen.backlog = 1024",
                 f"pm.max_children = {self.workers_max}", "catch_workers_output = yes", f"env[RIG_HOST] = {self.name}", *more]
        if not has_pm:
            lines.append("pm = static")
        if os.geteuid() == 0:
            lines += ["user = www-data", "group = www-data"]
        return lines

    def second_pool(self):
        """What to ask for pages and the status of the second pool."""
        other = copy.copy(self)
        other.socket = f"{self.socket}2"
        return other

    def start(self):
        command = [fpm_program(), "--daemonize" if self._daemonize else "--nodaemonize", "-c", self.ini, "-y", self._pool_file]
        if self._resolv_conf:
            command = with_resolv_conf(self._resolv_conf, command)
        self._process = spawn(command, namespace=self._namespace, log=self.log,
                              env=dict(php_environment(), **self._environment))
        until(self._answers, 20, lambda: f"php-fpm of {self.name} answers; its log ends: {self.log_text()[-2000:]}")
        self.master = self._read_pid()
        return self

    def _read_pid(self):
        try:
            with open(self._pid_file) as pid:
                return int(pid.read())
        except (OSError, ValueError):
            return None

    def _answers(self):
        if self._process.poll() not in (None, 0 if self._daemonize else None):
            raise AssertionError(f"php-fpm of {self.name} ended at start: {self.log_text()[-2000:]}")
        try:
            return os.path.exists(self._pid_file) and self.get("ping.php").body == b"pong"
        except OSError:
            return False

    def log_text(self):
        try:
            with open(self.log, errors="replace") as log:
                return log.read()
        except FileNotFoundError:
            return ""

    def log_lines(self, word="mmsession"):
        return [line for line in self.log_text().splitlines() if word in line]

    def crashes(self):
        """Lines about workers that ended by a signal which only a bug sends."""
        return [line for line in self.log_lines("exited on signal")
                if any(f"({name}" in line for name in ("SIGSEGV", "SIGABRT", "SIGBUS", "SIGILL", "SIGFPE"))]

    # Requests

    def get(self, page, cookie="", timeout=60.0, params=None, **query):
        return fastcgi.request(self.socket, os.path.join(self.www, page), urllib.parse.urlencode(query),
                               cookie, params=params, timeout=timeout)

    def visit(self, session_id, steps, timeout=60.0, **query):
        """Runs session steps (see www/session.php) as the visitor with this session id; its JSON."""
        reply = self.get("session.php", f"PHPSESSID={session_id}", timeout, do=steps, **query)
        answer = reply.json
        answer["status"], answer["seconds"], answer["cookie"] = reply.status, reply.seconds, reply.cookie()
        return answer

    def put(self, session_id, key, value):
        """Writes one value; True when the write was acknowledged without a warning."""
        answer = self.visit(session_id, f"start;set:{key}:{value};close")
        return bool(answer["ok"].get("start") and answer["ok"].get("close") and not answer["warnings"])

    def fetch(self, session_id, key):
        """Reads one value as the next page would, without writing."""
        return self.visit(session_id, f"read_and_close;get:{key}")["values"].get(key)

    def bulk(self, do, prefix, count, start=0, timeout=600, **query):
        """Writes, reads or destroys sessions <prefix><number> in one request (www/bulk.php); its JSON."""
        return self.get("bulk.php", timeout=timeout, do=do, prefix=prefix, count=count, **{"from": start}, **query).json

    def status(self):
        """mmsession_status() of a worker of this host."""
        return self.get("status.php").json

    def node_status(self, name):
        return next(node for node in self.status()["nodes"] if node["name"] == name)

    def flush(self, timeout_ms=5000):
        return self.get("flush.php", ms=timeout_ms).json["flushed"]

    # Processes

    def workers(self):
        return children(self.master)

    def send_signal(self, number):
        os.kill(self.master, number)

    def kill_all(self):
        """SIGKILL to the master and all workers at once, as a crash of the whole service."""
        kill_with_children(self.master)

    def stop(self, number=signal.SIGTERM, seconds=30):
        """Stops php-fpm with a signal and waits until master and workers are gone."""
        victims = [self.master, *self.workers()]
        self.send_signal(number)
        if not self._daemonize:
            self._process.wait(seconds)
        until(lambda: not any(alive(pid) for pid in victims), seconds, f"php-fpm of {self.name} gone")

    def reload(self):
        """SIGUSR2: the master executes itself again; as a daemon it forks once more and has another pid after it."""
        before = set(self.workers())
        self.send_signal(signal.SIGUSR2)
        if self._daemonize:
            old = self.master
            until(lambda: not alive(old) and self._read_pid() not in (None, old), 30, f"new master of {self.name}")
            self.master = self._read_pid()
        until(lambda: self.workers() and not before & set(self.workers()), 30, f"new workers of {self.name}")
        until(self._answers, 20, f"{self.name} answers after its reload")

    def close(self):
        """End of the test: no manners."""
        if self.master is not None and alive(self.master):
            self.kill_all()
        end(self._process)
