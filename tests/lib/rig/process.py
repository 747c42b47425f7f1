"""Child processes of the rig, and the one way to wait in it: poll with a deadline."""
import ctypes
import os
import signal
import socket
import subprocess
import time


PR_SET_CHILD_SUBREAPER = 36

_started = set()  # pids of what spawn() started


class Late(AssertionError):
    """Something did not happen before its deadline."""


def until(predicate, seconds, what, every=0.01):
    """Polls predicate until it is true and returns its value; raises Late after `seconds`."""
    deadline = time.monotonic() + seconds
    while True:
        value = predicate()
        if value:
            return value
        if time.monotonic() > deadline:
            raise Late(f"not within {seconds} s: {what() if callable(what) else what}")
        time.sleep(every)


def spawn(command, namespace=None, log=None, env=None, stdin=subprocess.DEVNULL, stdout=None):
    """Starts a command that dies with the thread that called this; call it from the main thread.

    namespace: pid whose network namespace the command enters. log: file for its output.
    """
    prefix = ["setpriv", "--pdeathsig", "KILL", "--"]
    if namespace is not None:
        prefix = ["nsenter", f"--net=/proc/{namespace}/ns/net", "--"] + prefix
    sink = open(log, "ab") if log else subprocess.DEVNULL
    try:
        process = subprocess.Popen(prefix + [str(word) for word in command], stdin=stdin,
                                   stdout=stdout or sink, stderr=sink, env=env, start_new_session=True)
        _started.add(process.pid)
        return process
    finally:
        if log:
            sink.close()


def end(process, number=signal.SIGKILL, seconds=10):
    """Signals a process that spawn() started and waits for it; SIGKILL when it won't go."""
    if process is None or process.poll() is not None:
        return
    process.send_signal(number)
    if number != signal.SIGCONT:
        process.send_signal(signal.SIGCONT)
    try:
        process.wait(seconds)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def adopt_orphans():
    """From now on processes whose parents end become children of this one; see end_orphans()."""
    ctypes.CDLL(None).prctl(PR_SET_CHILD_SUBREAPER, 1)


def end_orphans(name):
    """Kills and buries orphans of this name; returns the pids of those that were alive."""
    left = []
    for pid in children(os.getpid()):
        if pid in _started or not stat_of(pid)[0].startswith(name):
            continue
        if alive(pid):
            left.append(pid)
            os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)
    return left


def kill_with_children(pid):
    """SIGKILL to a process and its direct children, and waits until they are gone. It is stopped before: it could make one more."""
    try:
        os.kill(pid, signal.SIGSTOP)
    except ProcessLookupError:
        return
    until(lambda: stat_of(pid)[1] in "TZ", 10, f"process {pid} stopped", every=0.001)
    victims = [pid, *children(pid)]
    for victim in victims:
        try:
            os.kill(victim, signal.SIGKILL)
        except ProcessLookupError:
            pass
    until(lambda: not any(alive(victim) for victim in victims), 10, f"process {pid} and its children gone")


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def children(pid):
    """Direct children of pid, of all its threads."""
    found = []
    try:
        for task in os.listdir(f"/proc/{pid}/task"):
            with open(f"/proc/{pid}/task/{task}/children") as listing:
                found += [int(child) for child in listing.read().split()]
    except (FileNotFoundError, ProcessLookupError):
        pass
    return found


def stat_of(pid):
    """Name and state of a process; one that is gone is a zombie without name."""
    try:
        with open(f"/proc/{pid}/stat") as stat:
            head, tail = stat.read().rsplit(")", 1)
            return head.split("(", 1)[1], tail.split()[0]
    except (FileNotFoundError, ProcessLookupError):
        return "", "Z"


def alive(pid):
    """True while pid runs; a zombie is dead."""
    return stat_of(pid)[1] != "Z"


def cpu_seconds(pid):
    with open(f"/proc/{pid}/stat") as stat:
        fields = stat.read().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def open_files(pid):
    return len(os.listdir(f"/proc/{pid}/fd"))


def memory_kib(pid, field="RssAnon"):
    with open(f"/proc/{pid}/status") as status:
        for line in status:
            if line.startswith(field + ":"):
                return int(line.split()[1])
    raise KeyError(field)
