"""php-fpm under valgrind, with faults. See run."""
import glob
import os
import re
import shutil
import signal
import socket
import stat
import sys
import tempfile
import time

from rig import host as rig_host
from rig.host import Host, mmsession_settings
from rig.node import Node

NODES = 3
ENDED_SECONDS = 120
HERE = os.path.dirname(os.path.abspath(__file__))

# A healthy server's answers take twenty times as long under valgrind.
TIMES = {"connect_timeout_ms": 1000, "read_timeout_ms": 1500, "budget_ms": 4000, "touch_interval": 0}


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def wrapper(folder, logs):
    """A program that runs php-fpm under valgrind; forks are followed, other programs are not."""
    path = os.path.join(folder, "php-fpm")
    options = ["--tool=memcheck", "--leak-check=full", "--show-leak-kinds=definite", "--errors-for-leak-kinds=definite",
               "--num-callers=20", f"--suppressions={HERE}/../phpt/valgrind.supp", f"--log-file={logs}/%p.log"]
    with open(path, "w", encoding="utf-8") as file:
        file.write("#!/bin/sh\nexport USE_ZEND_ALLOC=0 ZEND_DONT_UNLOAD_MODULES=1\n"
                   f"exec valgrind {' '.join(options)} {rig_host.fpm_program()} \"$@\"\n")
    os.chmod(path, os.stat(path).st_mode | stat.S_IEXEC | stat.S_IXGRP | stat.S_IXOTH)
    return path


def faults(nodes, requests):
    """What happens before the request of that number."""
    local, peer, other = nodes
    at = {
        0.05: lambda: [node.call("SCRIPT", "FLUSH") for node in nodes],
        0.10: lambda: [node.call("CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes") for node in nodes],
        0.15: peer.kill,
        0.25: lambda: peer.restart(empty=True),
        0.35: lambda: other.call("CONFIG", "SET", "maxmemory", "1"),
        0.42: lambda: other.call("CONFIG", "SET", "maxmemory", "0"),
        0.45: local.kill,
        0.55: lambda: local.restart(empty=True),
        0.65: lambda: os.kill(other.pid, signal.SIGSTOP),
        0.72: lambda: os.kill(other.pid, signal.SIGCONT),
        0.80: lambda: [local.call("SET", f"mms:v{number}", b"MMS\x01damaged") for number in range(0, 40, 3)],
        0.85: lambda: [(peer.call("DEL", f"mms:foreign{number}"), peer.call("LPUSH", f"mms:foreign{number}", "x"))
                       for number in range(3)],
        0.90: lambda: [node.call("FLUSHALL") for node in nodes],
    }
    return {int(share * requests): action for share, action in at.items()}


def serve(host, nodes, requests):
    """Counts requests that were answered without a warning."""
    plan, good = faults(nodes, requests), 0
    for number in range(requests):
        if number in plan:
            plan[number]()
        session = f"foreign{number % 3}" if number % 50 == 49 else f"v{number % 40}"
        kind = number % 10
        if kind < 5:
            steps = f"start;set:n:{number};close"
        elif kind < 8:
            steps = "start;close"
        elif kind == 8:
            steps = "start;fill:big:60000:" + str(number) + ";close"
        else:
            steps = "start;destroy" if number % 20 == 9 else "start;regenerate;close"
        answer = host.visit(session, steps)
        good += not answer["warnings"]
    return good


def findings(text):
    """Errors of any code that ran; of leaks those in which the module has a part (php-fpm has some of its own)."""
    for paragraph in re.split(r"\n==\d+== ?\n", text):
        if "are definitely lost in loss record" in paragraph:
            if re.search(r"mms_|mmsession|event_|redisReader", paragraph):
                yield paragraph
        elif re.search(r"==\d+==    at 0x", paragraph) and "WARNING:" not in paragraph:
            yield paragraph


def judge(logs):
    """One result per process: (name, text of what is wrong or empty)."""
    for path in sorted(glob.glob(os.path.join(logs, "*.log"))):
        with open(path, errors="replace", encoding="utf-8") as file:
            text = file.read()
        wrong = "\n".join(findings(text))
        if "ERROR SUMMARY:" not in text:
            wrong += "did not end by itself: " + text[-1000:]
        yield f"process {os.path.basename(path)[:-4]}", wrong[:6000]


def main(requests):
    folder = tempfile.mkdtemp(prefix="mms-valgrind.")
    os.chmod(folder, 0o755)
    logs = os.path.join(folder, "logs")
    os.mkdir(logs)
    os.chmod(logs, 0o777)
    passed = failed = 0
    nodes, host = [], None
    try:
        os.environ["MMS_PHP_FPM"] = wrapper(folder, logs)
        for number in range(NODES):
            name = "abc"[number]
            nodes.append(Node(name, os.path.join(folder, name), "127.0.0.1", free_port()).start())
        text = ", ".join(f"unix://{node.socket}?name={node.name}" for node in nodes)
        extensions, settings = mmsession_settings(text, "web1", **TIMES)
        settings["pcre.jit"] = "0"
        host = Host("web1", os.path.join(folder, "web1"), extensions, settings, workers=1,
                    pool=[f"pm.max_requests = {requests}"], fpm_global=["process_control_timeout = 20s"]).start()
        started = time.monotonic()
        good = serve(host, nodes, requests)
        print(f"{requests} requests in {time.monotonic() - started:.0f} s, {good} without a warning")
        if good < requests * 6 // 10:
            failed += 1
            print("FAIL most requests end with a warning")
        host.stop(signal.SIGQUIT, ENDED_SECONDS)
        results = list(judge(logs))
        for name, wrong in results:
            passed += not wrong
            failed += bool(wrong)
            if wrong:
                print(f"FAIL {name}: {wrong}")
        if len(results) < 3: # master, the worker that ended, its successor
            failed += 1
            print(f"FAIL only {len(results)} processes were seen")
    finally:
        if host is not None:
            host.close()
        for node in nodes:
            node.kill()
        shutil.rmtree(folder)
    print(f"{passed} passed, {failed} failed")
    return 1 if failed or not passed else 0


if __name__ == "__main__":
    sys.exit(main(int(sys.argv[1]) if len(sys.argv) > 1 else 1000))
