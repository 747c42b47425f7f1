#!/usr/bin/env python3
"""A PHP script with the module, once for each call of the module, of hiredis or of libevent that fails (faults.c through
LD_PRELOAD), from the module's start to its end. However it fails: PHP ends by itself and in time, never by a signal; and
what session_write_close() acknowledged is on a node, on all nodes if PHP could do its last drain undisturbed.

    php.py PRELOAD MODULE [STEP [tls]]     tls: the first two nodes are reached by TLS, and OpenSSL's calls fail too

Ends with a line "N passed, N failed", one for each case.
"""
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "lib"))
from rig.process import free_port  # noqa: E402
from rig.tls import Certificates  # noqa: E402

SECONDS = 30
NODES = 3
CALLS_MAX = 20000

SCRIPT = r"""
error_reporting(E_ALL);
$failed = 0;
set_error_handler(function ($number, $text) use (&$failed) { $failed++; return true; });
function store($id, $value) {
    global $failed;
    $failed = 0;
    session_id($id);
    if (!session_start()) { return; }
    $_SESSION['v'] = $value;
    echo "trying $id -\n";
    if (session_write_close() && $failed == 0) { echo "stored $id $value\n"; }
}
$n = getenv('CASE');
store("a$n", "first");
session_id("a$n");                      # unchanged data
@session_start() && session_write_close();
store("a$n", "second");
$failed = 0;
session_id("b$n");                      # login: a new id, the old one destroyed
if (@session_start()) {
    $_SESSION['v'] = 'kept';
    if (session_regenerate_id(true)) {
        $id = session_id();
        if (session_write_close() && $failed == 0) { echo "stored $id kept\n"; }
    }
}
$failed = 0;
session_id("a$n");                      # logout
if (@session_start() && isset($_SESSION['v'])) {
    echo "trying a$n -\n";
    if (session_destroy() && $failed == 0) { echo "destroyed a$n -\n"; }
}
mmsession_flush(50);
echo "done\n";
"""


class Nodes:
    def __init__(self, folder, certificates=None):
        self.sockets, self.processes, self.addresses = [], [], []
        for name in "abc"[:NODES]:
            place = os.path.join(folder, name)
            os.mkdir(place)
            self.sockets.append(os.path.join(place, "s"))
            self.addresses.append(f"unix://{self.sockets[-1]}")
            tls = []
            if certificates and name != "c":
                port = free_port()
                tls = certificates.server_settings(port)
                self.addresses[-1] = f"tls://127.0.0.1:{port}"
            self.processes.append(subprocess.Popen(
                ["redis-server", "--port", "0", "--unixsocket", self.sockets[-1], "--dir", place, "--save", "",
                 "--appendonly", "no", *map(str, tls)], stdout=subprocess.DEVNULL))
        for socket in self.sockets:
            until = time.monotonic() + 20
            while not os.path.exists(socket):
                if time.monotonic() > until:
                    raise SystemExit("redis-server does not start")
                time.sleep(0.02)

    def get(self, index, key):
        return subprocess.run(["redis-cli", "-s", self.sockets[index], "--raw", "GET", key], stdout=subprocess.PIPE,
                              check=True).stdout

    def stop(self):
        for process in self.processes:
            process.kill()
            process.wait()


class Case:
    def __init__(self, preload, module, nodes, secret, certificates):
        self.preload, self.module, self.nodes, self.secret = preload, module, nodes, secret
        self.certificates = certificates
        self.serial = 0

    def run(self, call, way):
        """Returns (calls made, name hit or None, how, ways, list of what is wrong)."""
        self.serial += 1
        reader, writer = os.pipe()
        environment = dict(os.environ, LD_PRELOAD=self.preload, MMS_FAULT=f"{call} {way}", MMS_FAULT_REPORT=str(writer),
                           CASE=f"{self.serial}", USE_ZEND_ALLOC="1")
        ca = self.certificates.path("ca.pem") if self.certificates else ""
        if ca:
            environment["MMS_FAULT_TLS"] = "1"
        path = " ".join(self.nodes.addresses)
        process = subprocess.Popen(
            ["php", "-n", "-d", f"extension={self.module}", "-d", "session.save_handler=mmsession", "-d",
             f'session.save_path="{path}"', "-d", "session.use_cookies=0", "-d", "session.cache_limiter=", "-d",
             "session.use_strict_mode=0", "-d", f"mmsession.password_file={self.secret}", "-d", f"mmsession.tls_ca_file={ca}", "-d", "mmsession.user=default",
             "-d", "mmsession.touch_interval=0", "-d", "mmsession.host_id=web1", "-r", SCRIPT],
            env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, pass_fds=[writer], text=True)
        os.close(writer)
        wrong = []
        try:
            output = process.communicate(timeout=SECONDS)[0]
        except subprocess.TimeoutExpired:
            process.kill()
            output = process.communicate()[0]
            wrong.append(f"still running after {SECONDS} s")
        with os.fdopen(reader, encoding="ascii") as report:
            words = (report.read().split() or ["0", "unreported", "-", "0"])
        hit = None if words[1] == "none" else words[1]
        if process.returncode < 0 and not wrong:
            wrong.append(f"ended by {signal.Signals(-process.returncode).name}")
        wrong += self.judge(output)
        if wrong:
            wrong.append(output)
        return int(words[0]), hit, words[2], int(words[3]), wrong

    def judge(self, output):
        told = {}
        for line in output.splitlines():
            words = line.split()
            if len(words) == 3 and words[0] == "trying": # what fails loudly may be delivered all the same
                told.pop(words[1], None)
            elif len(words) == 3 and words[0] in ("stored", "destroyed"):
                told[words[1]] = words
        for session, (what, _, value) in told.items():
            holders = 0
            for index in range(NODES):
                record = self.nodes.get(index, "mms:" + session)
                if what == "destroyed":
                    holders += len(record) > 4 and record[4] & 1
                else:
                    holders += value.encode() in record
            if holders == 0:
                yield f"{what} {session} {value} was acknowledged and is on no node"


def main(preload, module, step="1", kind="plain"):
    step = int(step)
    passed = failed = 0
    folder = tempfile.mkdtemp(prefix="mms-torture.")
    certificates = Certificates() if kind == "tls" else None
    nodes = Nodes(folder, certificates)
    try:
        secret = os.path.join(folder, "secret")
        with open(secret, "w", encoding="ascii") as file:
            file.write("hunter2\n")
        case = Case(preload, module, nodes, secret, certificates)
        calls, _, _, _, wrong = case.run(CALLS_MAX * 1000, 0)
        if wrong or calls == 0:
            raise SystemExit(f"without a fault: {calls} calls, {wrong}")
        call, sequence = 1, 0
        while call <= calls + calls // 10:
            ways, way = 1, 0
            while way < ways:
                _, hit, how, ways, wrong = case.run(call, way)
                if hit is not None and not wrong:
                    passed += 1
                elif wrong:
                    failed += 1
                    print(f"FAIL call {call}, way {way}: {hit} {how}: " + "; ".join(wrong), flush=True)
                way += 1 if step == 1 else max(1, ways - 1)
            call += step
        print(f"# php, {kind}: {calls} calls")
    finally:
        nodes.stop()
        if certificates:
            certificates.close()
        shutil.rmtree(folder)
    print(f"{passed} passed, {failed} failed")
    return 1 if failed or not passed else 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
