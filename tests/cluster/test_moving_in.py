"""Moving in: a site comes from another handler, and nobody is logged out (mmsession.import_prefix, tools/copy-sessions.php)."""
import os
import subprocess

import pytest

from rig import host as hosts
from rig.process import end, spawn, until
from rig.resp import Client
from rig.results import bar

TOOL = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..", "tools", "copy-sessions.php")
WRITE = os.path.join(hosts.WWW, "cli_write.php")
COUNT = 40


def extensions_of(*names):
    folder = subprocess.run([hosts.php_program(), "-n", "-r", "echo ini_get('extension_dir');"],
                            capture_output=True, text=True, check=True).stdout
    return [f"-dextension={name}.so" for name in names if os.path.exists(f"{folder}/{name}.so")]


def write(handler, save_path, session, value, extensions):
    """A page of before: PHP with the other handler."""
    result = subprocess.run([hosts.php_program(), "-n", *extensions, f"-dsession.save_handler={handler}",
                             f"-dsession.save_path={save_path}", "-dsession.gc_maxlifetime=1440", WRITE, session, value],
                            capture_output=True, text=True, timeout=30)
    assert result.returncode == 0 and not result.stdout and not result.stderr, result.stdout + result.stderr


def copy(*arguments, to):
    """The tool's output, into the node as redis-cli --pipe would."""
    result = subprocess.run([hosts.php_program(), "-n", TOOL, *arguments], capture_output=True, timeout=60)
    assert result.returncode == 0, result.stderr
    piped = subprocess.run(["redis-cli", "-s", to.socket, "--pipe"], input=result.stdout, capture_output=True, timeout=60)
    assert b"errors: 0" in piped.stdout, piped.stdout + piped.stderr
    return result.stderr.decode()


def show(shop, sessions, what):
    """Every visitor goes on where he was, on whatever host, changes his session, and may log out."""
    logged_out = [session for number, session in enumerate(sessions) if shop.hosts[number % 2].visit(
        session, "strict:1;start;get:value;set:more:yes;close")["values"]["value"] != f"v{number}"]
    bar("moving-in", f"{what}: 0 of {len(sessions)} visitors logged out by the change", f"{len(logged_out)} {logged_out}", not logged_out)
    lost = [session for number, session in enumerate(sessions) if [shop.hosts[(number + 1) % 2].fetch(session, name)
            for name in ("value", "more")] != [f"v{number}", "yes"]]
    bar("moving-in", f"{what}: and what they do then is kept, on the other host too", f"{len(lost)} {lost}", not lost)
    for session in sessions[:10]:
        answer = shop.hosts[0].visit(session, "start;destroy")
        assert answer["ok"]["destroy"] and not answer["warnings"], answer
    undone = [session for session in sessions[:10] for host in shop.hosts if host.fetch(session, "value") is not None]
    bar("moving-in", f"{what}: 0 of 10 logouts undone, though the old keys are still there", f"{len(undone)} {undone}", not undone)


@pytest.mark.row("moving-in")
def test_sessions_of_phpredis_go_on(cluster, new_id):
    """phpredis had them on a list of two of the nodes, each session on one of them."""
    shop = cluster(3, 2, mmsession={"import_prefix": "PHPREDIS_SESSION:"})
    sessions = [new_id() for _ in range(COUNT)]
    path = ",".join(f"tcp://{node.host}:{node.port}" for node in shop.nodes[:2])
    for number, session in enumerate(sessions):
        write("redis", path, session, f"v{number}", [f"-d{line}" for line in hosts.redis_extensions()])
    old = [node for node in shop.nodes for session in sessions if on(node, f"PHPREDIS_SESSION:{session}")]
    assert len(old) == COUNT and 0 < old.count(shop.nodes[0]) < COUNT
    show(shop, sessions, "from phpredis on two nodes")


def on(node, key):
    with Client(node.socket) as client:
        return client.call("EXISTS", key) == 1


@pytest.mark.row("moving-in")
def test_sessions_of_files_go_on(cluster, new_id, tmp_path):
    shop = cluster(3, 2, mmsession={"import_prefix": "moved:"})
    (tmp_path / "deep").mkdir()
    sessions = [new_id() for _ in range(COUNT)]
    for number, session in enumerate(sessions):
        write("files", tmp_path / "deep" if number % 2 else tmp_path, session, f"v{number}", [])
    (tmp_path / "sess_expired").write_text("value|s:1:\"x\";")
    os.utime(tmp_path / "sess_expired", (1, 1))
    (tmp_path / "sess_no id").write_text("value|s:1:\"x\";")
    (tmp_path / "sess_empty").touch()
    told = copy("files", str(tmp_path), "1440", to=shop.nodes[0])
    assert told == f"copy-sessions: {COUNT} sessions\n"
    show(shop, sessions, "from files")


@pytest.mark.row("moving-in")
def test_sessions_of_memcached_go_on(cluster, new_id, tmp_path):
    shop = cluster(3, 2, mmsession={"import_prefix": "moved:"})
    socket = tmp_path / "memcached"
    user = ["-u", "root"] if os.geteuid() == 0 else []
    server = spawn(["memcached", "-s", socket, "-a", "0777", *user], log=str(tmp_path / "log"))
    try:
        until(socket.exists, 10, "memcached listens")
        sessions = [new_id() for _ in range(COUNT)]
        load = [*extensions_of("igbinary", "msgpack", "memcached"), "-dmemcached.sess_locking=0"]
        for number, session in enumerate(sessions):
            write("memcached", f"{socket}:0", session, f"v{number}", load)
        told = copy("memcached", f"unix://{socket}", to=shop.nodes[1])
        assert told == f"copy-sessions: {COUNT} sessions\n"
    finally:
        end(server)
    show(shop, sessions, "from memcached")


@pytest.mark.parametrize("arguments, why", [
    ([], "copy-sessions.php files <folder> <seconds>, or"),
    (["files", "/nowhere", "1440"], "/nowhere is no folder that can be read"),
    (["files", "/tmp"], "say how many seconds a session lives"),
    (["memcached", "unix:///nowhere"], "unix:///nowhere: No such file"),
])
def test_the_tool_says_what_is_wrong(arguments, why):
    result = subprocess.run([hosts.php_program(), "-n", TOOL, *arguments], capture_output=True, text=True, timeout=60)
    assert result.returncode == 1 and not result.stdout and f"copy-sessions: {why}" in result.stderr, result.stderr
