"""Certificates for nodes, and a wire tap: what passes is kept, whatever it is, and can be held up."""
import os
import select
import shutil
import socket
import subprocess
import tempfile
import threading

_SCRIPT = r"""
key='-newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes'
printf '[ca]\ndefault_ca=d\n[d]\nnew_certs_dir=.\ndatabase=index\nserial=serial\ndefault_md=sha256\npolicy=p\nunique_subject=no
[p]\ncommonName=supplied\n' >conf
: >index; echo 01 >serial
for ca in ca other; do openssl req -x509 $key -days 30 -keyout $ca.key -out $ca.pem -subj /CN=$ca; done
sign() {
    printf 'subjectAltName=%s\n' "$4" >san
    openssl req $key -keyout $1.key -out $1.csr -subj /CN=$1
    openssl ca -batch -config conf -cert ca.pem -keyfile ca.key -in $1.csr -out $1.pem -extfile san -notext \
        -startdate $2 -enddate $3
}
sign node 20200101000000Z 20400101000000Z DNS:node.lan,IP:127.0.0.1
sign elsewhere 20200101000000Z 20400101000000Z DNS:elsewhere.lan
sign expired 20200101000000Z 20210101000000Z DNS:node.lan,IP:127.0.0.1
sign client 20200101000000Z 20400101000000Z DNS:client.lan
chmod 644 *.key
"""


class Certificates:
    """ca, other: CAs; node (for 127.0.0.1), elsewhere (not for it), expired, client: signed by ca."""

    def __init__(self):
        self.folder = tempfile.mkdtemp(prefix="certs-", dir=os.environ.get("MMS_RUN_DIR"))
        os.chmod(self.folder, 0o755)
        made = subprocess.run(["sh", "-ec", _SCRIPT], cwd=self.folder, capture_output=True, text=True)
        assert made.returncode == 0, made.stderr[-2000:]

    def path(self, name):
        return os.path.join(self.folder, name)

    def server_settings(self, port, name="node", clients="no"):
        """Command line of a server that also speaks TLS."""
        return ["--tls-port", port, "--tls-cert-file", self.path(f"{name}.pem"), "--tls-key-file", self.path(f"{name}.key"),
                "--tls-ca-cert-file", self.path("ca.pem"), "--tls-auth-clients", clients]

    def close(self):
        shutil.rmtree(self.folder, ignore_errors=True)


class Tap:
    """Forwards between a port of its own and target (host, port), and keeps what passed (up to a bound)."""

    KEEP = 8 << 20

    def __init__(self, target):
        self._target, self.seen, self.connections = target, bytearray(), 0
        self._free = threading.Event()
        self._free.set()
        self._ending, self._age = False, 0
        self._listener = socket.socket()
        self._listener.bind(("127.0.0.1", 0))
        self._listener.listen(128)
        self.port = self._listener.getsockname()[1]
        threading.Thread(target=self._accept, daemon=True).start()

    def hold(self):
        """From now on connections are taken, and nothing passes."""
        self._free.clear()

    def cut(self):
        """What was held up is lost, and its connections with it."""
        self._age += 1

    def release(self):
        self._free.set()

    def _accept(self):
        while True:
            try:
                near, _ = self._listener.accept()
            except OSError:
                return
            self.connections += 1
            threading.Thread(target=self._pass_on, args=(near,), daemon=True).start()

    def _pass_on(self, near):
        try:
            far = socket.create_connection(self._target, 5)
        except OSError:
            near.close()
            return
        other, age = {near: far, far: near}, self._age
        with near, far:
            while not self._ending:
                ready, _, _ = select.select(list(other), [], [], 0.02)
                if age != self._age:
                    return
                if not self._free.is_set():
                    self._free.wait(0.02)
                    continue
                for here in ready:
                    if not self._forward(here, other[here]):
                        if here is near:  # what the node said last must arrive, too
                            self._forward(far, near)
                        return

    def _forward(self, here, there):
        try:
            data = here.recv(65536)
            if len(self.seen) < self.KEEP:
                self.seen += data
            there.sendall(data)
            return bool(data)
        except OSError:
            return False

    def close(self):
        self._ending = True
        self._free.set()
        self._listener.close()
