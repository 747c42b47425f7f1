#!/usr/bin/env python3
"""What TLS costs a request: tests/bench/tls.py [RUNS] [VIEWS]

Three nodes that speak both, the same page views over one and the other in turn (loop.php), and the first view of a new process,
which connects. 1 KiB sessions, changed in each view, 300 us of other work. Microseconds; needs MMS_MODULE.
"""
import json
import os
import statistics
import subprocess
import sys
import tempfile

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(HERE, "..", "lib"))
from rig.host import php_program  # noqa: E402
from rig.node import Node  # noqa: E402
from rig.process import free_port  # noqa: E402
from rig.tls import Certificates  # noqa: E402


def loop(nodes, certificates, session, views, warm_up):
    output = subprocess.run(
        [php_program(), "-n", "-d", f"extension={os.environ['MMS_MODULE']}", "-d", "session.save_handler=mmsession", "-d",
         "session.use_cookies=0", "-d", "session.cache_limiter=", "-d", f'mmsession.nodes="{", ".join(nodes)}"', "-d",
         f"mmsession.tls_ca_file={certificates.path('ca.pem')}", "-d", "mmsession.connect_timeout_ms=1000",
         os.path.join(HERE, "loop.php"), session, "1024", str(views), "changed", "300", str(warm_up)],
        capture_output=True, text=True, check=True).stdout
    return json.loads(output)


def main(runs=7, views=1500):
    certificates, nodes, tls = Certificates(), [], []
    with tempfile.TemporaryDirectory() as folder:
        try:
            for index in range(3):
                tls.append(free_port())
                nodes.append(Node(f"n{index}", os.path.join(folder, f"n{index}"), "127.0.0.1", free_port(),
                                  settings=certificates.server_settings(tls[-1])).start())
            tcp = [f"tcp://127.0.0.1:{node.port}" for node in nodes]
            encrypted = [f"tls://127.0.0.1:{port}" for port in tls]
            local = [f"unix://{nodes[0].socket}"]
            kinds = {"tcp": tcp, "tls": encrypted, "unix + tcp": local + tcp[1:], "unix + tls": local + encrypted[1:]}
            figures = {kind: [] for kind in kinds}
            first = {kind: [] for kind in kinds}
            for run in range(runs):
                for kind in kinds:
                    figures[kind].append(loop(kinds[kind], certificates, f"run{run}x{len(kind)}", views, 50))
                    first[kind] += [loop(kinds[kind], certificates, f"first{run}x{len(kind)}", 1, 0)["start"] for _ in range(3)]
            for kind, base in (("tcp", "tcp"), ("tls", "tcp"), ("unix + tcp", "unix + tcp"), ("unix + tls", "unix + tcp")):
                p50 = [each["p50"] for each in figures[kind]]
                ratios = [a["p50"] / b["p50"] for a, b in zip(figures[kind], figures[base])]
                cpu = statistics.median(each["thread"] for each in figures[kind])
                print(f"{kind:11} p50 {statistics.median(p50):6.1f}, least {min(p50):6.1f}  ratio to {base} {statistics.median(ratios):.2f} "
                      f"({min(ratios):.2f}..{max(ratios):.2f})  CPU of the thread {cpu:6.1f}, least "
                      f"{min(each['thread'] for each in figures[kind]):6.1f}  first start {statistics.median(first[kind]):7.1f}, "
                      f"least {min(first[kind]):7.1f}")
        finally:
            for node in nodes:
                node.kill()
            certificates.close()


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
