"""Faults of the fault matrix that come and go while visitors are served, one at a time, chosen by a seed."""
import os
import random
import signal
import time

from .process import alive, until

LOADING = [{"verb": "*", "do": "answer", "reply": "-LOADING Redis is loading the dataset in memory"}]


class Chaos:
    """shop: a Cluster whose hosts reach their peers through proxies (proxied=True)."""

    def __init__(self, shop, seed):
        self._shop, self._chance = shop, random.Random(seed)
        self._kinds = {name[len("_fault_"):].replace("_", " "): getattr(self, name)
                       for name in sorted(dir(self)) if name.startswith("_fault_")}

    def kinds(self):
        return list(self._kinds)

    def one(self, hold):
        """One fault, held for up to `hold` seconds, and its end; returns its name and how long it was there."""
        name = self._chance.choice(list(self._kinds))
        index = self._chance.randrange(len(self._shop.nodes))
        began = time.monotonic()
        self._kinds[name](index, self._chance.uniform(0.3, 1.0) * hold)
        return f"{name} {self._shop.nodes[index].name}", time.monotonic() - began

    def settle(self, limit=30):
        """Every host uses every node again, and may write to it."""
        def calm():
            try:
                return all(node["state"] == "closed" and node["writable"] for host in self._shop.hosts
                           for node in host.get("status.php", timeout=2).json["nodes"])
            except (OSError, AssertionError):
                return False  # the worker that was asked has been killed or stopped
        began = time.monotonic()
        until(calm, limit, "all nodes in use again", every=0.2)
        return time.monotonic() - began

    def _links(self, index, hold, **faults):
        links = self._shop.links_to(index)
        for link in links:
            link.set(**faults)
        time.sleep(hold)
        for link in links:
            link.clear()

    # F01 F02 F31, F30, F54
    def _fault_node_killed(self, index, hold):
        node = self._shop.nodes[index]
        node.save()
        node.kill()
        time.sleep(hold)
        node.restart(empty=False)

    def _fault_node_emptied(self, index, hold):
        self._shop.nodes[index].kill()
        time.sleep(hold / 2)
        self._shop.nodes[index].restart(empty=True)

    def _fault_node_restarted(self, index, _hold):
        self._shop.nodes[index].save()
        self._shop.nodes[index].restart(empty=False)

    def _fault_node_flushed(self, index, _hold):
        self._shop.nodes[index].call("FLUSHALL")

    # F04 F05 F06
    def _fault_node_stopped(self, index, hold):
        self._shop.nodes[index].stop()
        time.sleep(hold)
        self._shop.nodes[index].cont()

    # F07, F08, F09, F10, F11, F12, F15
    def _fault_peer_blackholed(self, index, hold):
        self._links(index, hold, blackhole=True)

    def _fault_peer_swallows_connects(self, index, hold):
        for link in self._shop.links_to(index):
            link.reset_all()
        self._links(index, hold, syn_blackhole=True)

    def _fault_peer_refuses(self, index, hold):
        for link in self._shop.links_to(index):
            link.reset_all()
        self._links(index, hold, refuse=True)

    def _fault_peer_resets(self, index, hold):
        self._links(index, hold, reset="send", limit=20)

    def _fault_replies_cut(self, index, hold):
        self._links(index, hold, cut_reply=self._chance.randrange(1, 400), cut="hold", limit=4)

    def _fault_peer_slow(self, index, hold):
        self._links(index, hold, latency_ms=self._chance.choice((20, 80, 500)), jitter=0.5)

    def _fault_peer_trickles(self, index, hold):
        self._links(index, hold, bytes_per_second=2048)

    def _fault_bits_flipped(self, index, hold):
        self._links(index, hold, rules=[{"verb": "*", "do": "corrupt", "share": 0.05}])
        for link in self._shop.links_to(index):
            link.reset_all()

    def _fault_peer_loading(self, index, hold):
        self._links(index, hold, rules=LOADING)

    def _fault_connections_closed(self, index, _hold):
        self._shop.nodes[index].call("CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes")

    # F16, F18, F21
    def _fault_node_out_of_memory(self, index, hold):
        self._shop.nodes[index].call("CONFIG", "SET", "maxmemory", "1")
        time.sleep(hold)
        self._shop.nodes[index].call("CONFIG", "SET", "maxmemory", "0")

    def _fault_node_read_only(self, index, hold):
        self._shop.nodes[index].call("REPLICAOF", "127.0.0.1", "1")
        time.sleep(hold)
        self._shop.nodes[index].call("REPLICAOF", "NO", "ONE")

    def _fault_scripts_flushed(self, index, _hold):
        self._shop.nodes[index].call("SCRIPT", "FLUSH")

    # F36
    def _fault_peer_flaps(self, index, hold):
        for _ in range(max(2, int(hold / 0.4))):
            for link in self._shop.links_to(index):
                link.reset_all()
            self._links(index, 0.2, refuse=True)
            time.sleep(0.2)

    # F41 F42 F43
    def _host(self, index):
        return self._shop.hosts[index % len(self._shop.hosts)]

    def _replicator(self, index):
        """Its pid; None while nobody is in office, or no worker of the host."""
        host = self._host(index)
        owner = host.get("status.php", timeout=5).json["replicator"]["pid"]
        return owner if owner in host.workers() else None

    def _fault_worker_killed(self, index, _hold):
        workers = self._host(index).workers()
        if workers:
            self._signal(self._chance.choice(workers), signal.SIGKILL)

    def _fault_replicator_killed(self, index, _hold):
        owner = self._replicator(index)
        if owner:
            self._signal(owner, signal.SIGKILL)

    def _fault_replicator_stopped(self, index, hold):
        owner = self._replicator(index)
        if owner:
            self._signal(owner, signal.SIGSTOP)
            time.sleep(hold)
            self._signal(owner, signal.SIGCONT)

    def _fault_php_reloaded(self, index, _hold):
        self._host(index).reload()

    @staticmethod
    def _signal(pid, number):
        if alive(pid):
            os.kill(pid, number)
