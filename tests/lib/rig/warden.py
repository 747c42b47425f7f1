#!/usr/bin/env python3
"""warden.py -- command...: runs a command so that nothing it started outlives it.

A killed php-fpm master leaves its workers behind, and `php-fpm -D` leaves its parent on purpose, so process
groups and PR_SET_PDEATHSIG are not enough. Where allowed the command gets a PID namespace: the kernel then
kills all of it, even when the warden itself dies by SIGKILL. Elsewhere the warden is the subreaper: orphans
become its children, and it kills them by pid when the command ends.

The command finds an empty folder of its own in MMS_RUN_DIR; it is removed at the end.
"""
import ctypes
import os
import shutil
import signal
import sys
import tempfile

PR_SET_PDEATHSIG = 1
PR_SET_CHILD_SUBREAPER = 36
CLONE_NEWNS = 0x00020000
CLONE_NEWPID = 0x20000000
MS_REC_PRIVATE = 0x4000 | 0x40000

_libc = ctypes.CDLL(None, use_errno=True)


def _check(result, what):
    if result != 0:
        raise OSError(ctypes.get_errno(), what)


def _mount_own_proc():
    _check(_libc.mount(b"none", b"/", None, MS_REC_PRIVATE, None), "mount private")
    _check(_libc.mount(b"proc", b"/proc", b"proc", 0, None), "mount proc")


def _namespace_allowed():
    """Tries the PID namespace in a throw-away child, mount of its /proc included."""
    pid = os.fork()
    if pid == 0:
        try:
            _check(_libc.unshare(CLONE_NEWPID | CLONE_NEWNS), "unshare")
            inner = os.fork()
            if inner == 0:
                _mount_own_proc()
                os._exit(0)
            os._exit(os.waitstatus_to_exitcode(os.waitpid(inner, 0)[1]))
        except OSError:
            os._exit(1)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0


def _start(command, in_namespace):
    if in_namespace:
        _check(_libc.unshare(CLONE_NEWPID | CLONE_NEWNS), "unshare")
    pid = os.fork()
    if pid != 0:
        return pid
    try:
        if in_namespace:
            _mount_own_proc()
        _libc.prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
        # A job in the background of a script inherits SIGINT ignored; then nothing could ask it to end.
        signal.signal(signal.SIGINT, signal.SIG_DFL)
        os.execvp(command[0], command)
    except OSError as error:
        print(f"warden: {command[0]}: {error.strerror}", file=sys.stderr)
    os._exit(127)


def _children():
    with open(f"/proc/self/task/{os.getpid()}/children") as listing:
        return [int(pid) for pid in listing.read().split()]


def _kill_rest():
    """Every orphan becomes our child, so killing children until none is left reaches all descendants."""
    while True:
        try:
            for pid in _children():
                os.kill(pid, signal.SIGKILL)
        except (ProcessLookupError, FileNotFoundError):
            pass
        try:
            os.wait()
        except ChildProcessError:
            return


def _wait_for(command_pid):
    while True:
        pid, status = os.wait()
        if pid == command_pid:
            return os.waitstatus_to_exitcode(status)


def main(arguments):
    command = arguments[1:] if arguments[:1] == ["--"] else arguments
    if not command:
        print(__doc__, file=sys.stderr)
        return 2
    folder = tempfile.mkdtemp(prefix="mms-run-")
    os.chmod(folder, 0o755)
    os.environ["MMS_RUN_DIR"] = folder
    _libc.prctl(PR_SET_CHILD_SUBREAPER, 1)
    try:
        pid = _start(command, _namespace_allowed())
        # Ctrl-C reaches the whole foreground group; the command decides when to end, we only wait for it.
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        for number in (signal.SIGTERM, signal.SIGHUP):
            signal.signal(number, lambda caught, _frame: os.kill(pid, signal.SIGINT))
        code = _wait_for(pid)
        return code if code >= 0 else 128 - code
    finally:
        _kill_rest()
        shutil.rmtree(folder, ignore_errors=True)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
