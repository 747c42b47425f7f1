"""n nodes and m hosts wired together: host i's local node is node i, over its Unix socket."""
import os
import shutil
import tempfile

from . import host as hosts
from . import node as nodes
from .faultproxy import FaultProxy
from .network import Loopback


class Cluster:
    """Use as context manager.

    hosts: how many. handler: "mmsession" or "phpredis" (a host list, the control). proxied: hosts reach peers
    through fault proxies (True, or only the nodes with these indexes), cluster.link(host, node) is the one between the two. proxied_local: the local node too.
    local_tcp: the local node over TCP instead of its Unix socket. named: TCP nodes by name, <node>.test. network: Loopback() or Namespaces(n).
    program: kind of server, MMS_SERVER decides when it is None. mmsession: INI settings without their prefix. ini: other settings. fpm: keyword arguments of Host.
    node_settings: command line of every node. node_environments: variables of each node, in their order.
    """

    def __init__(self, count=3, hosts=2, handler="mmsession", proxied=False, proxied_local=False, local_tcp=False, named=False,
                 network=None, program=None, workers=8, mmsession=None, ini=None, fpm=None,
                 node_settings=(), node_environments=(), phpredis_options="timeout=1&read_timeout=1"):
        self.folder = tempfile.mkdtemp(prefix="cluster-", dir=os.environ.get("MMS_RUN_DIR"))
        os.chmod(self.folder, 0o755)
        self._network = network or Loopback()
        self._handler, self._workers = handler, workers
        self._mmsession, self._ini, self._fpm = dict(mmsession or {}), dict(ini or {}), dict(fpm or {})
        self._local_tcp, self._named, self._phpredis_options = local_tcp, named, phpredis_options
        self._proxied, self._proxied_local = proxied, proxied_local
        self.proxy = None
        self.nodes, self.hosts = [], []
        program = program or (os.environ.get("MMS_SERVER", "").split() or nodes.PROGRAMS)[0]
        try:
            for index in range(count):
                self._add_node(index, program, node_settings, dict(enumerate(node_environments)).get(index))
            if proxied or proxied_local:
                self.proxy = FaultProxy()
            for index in range(hosts):
                self.add_host(index)
        except BaseException:
            self.close()
            raise

    def _add_node(self, index, program, settings, environment=None):
        address, port = self._network.listen_address(index)
        node = nodes.Node(f"web{index + 1}", os.path.join(self.folder, f"node{index + 1}"), address, port,
                          self._network.place(index), program, settings, environment)
        self.nodes.append(node)
        node.start()

    def add_host(self, index, start=True, mmsession=None, ini=None, **fpm):
        """One more host whose local node is node `index`; settings here win over those of the cluster."""
        settings = self.settings(index, {**self._mmsession, **(mmsession or {})})
        extensions, values = settings
        values.update(self._ini)
        values.update(ini or {})
        options = {"workers": self._workers, **self._fpm, **fpm}
        added = hosts.Host(f"host{len(self.hosts) + 1}", os.path.join(self.folder, f"host{len(self.hosts) + 1}"),
                           extensions, values, namespace=self._network.place(index), **options)
        self.hosts.append(added)
        return added.start() if start else added

    def settings(self, index, mmsession=None):
        """(extension lines, INI settings) of a PHP whose local node is node `index`, command line or host."""
        position = len(self.hosts)
        if self._handler == "phpredis":
            paths = [f"{self._url(position, node, False)}?{self._phpredis_options}" for node in self.nodes]
            return hosts.phpredis_settings(", ".join(paths))
        order = self.nodes[index:] + self.nodes[:index]
        text = ", ".join(f"{self._url(position, node, node is self.nodes[index])}?name={node.name}" for node in order)
        return hosts.mmsession_settings(text, f"host{position + 1}",
                                        **(self._mmsession if mmsession is None else mmsession))

    def _url(self, host_index, node, local):
        through = self._proxied if isinstance(self._proxied, bool) else self.nodes.index(node) in self._proxied
        if self.proxy and (self._proxied_local if local else through):
            name = self._link_name(host_index, node)
            if not self.proxy.has(name):
                self.proxy.add(name, (node.host, node.port))
            return f"tcp://127.0.0.1:{self.proxy.link(name).port}"
        if local and not self._local_tcp:
            return f"unix://{node.socket}"
        return f"tcp://{f'{node.name}.test' if self._named else node.host}:{node.port}"

    @staticmethod
    def _link_name(host_index, node):
        return f"host{host_index + 1}-{node.name}"

    def link(self, host, node):
        """The fault proxy between a host and a node, by their indexes."""
        return self.proxy.link(self._link_name(host, self.nodes[node]))

    def links_to(self, node):
        """All fault proxies in front of one node."""
        if self.proxy is None:
            return []
        names = [self._link_name(index, self.nodes[node]) for index in range(len(self.hosts))]
        return [self.proxy.link(name) for name in names if self.proxy.has(name)]

    def blackhole(self, node):
        """Nobody reaches the node any more, and nobody gets an answer: neither refusal nor reset."""
        if self._network.can_blackhole:
            self._network.blackhole(node, self.nodes[node].port)
        for link in self.links_to(node):
            link.set(syn_blackhole=True)

    def heal(self, node):
        if self._network.can_blackhole:
            self._network.heal(node)
        for link in self.links_to(node):
            link.clear()

    def cut(self, here, there):
        """Place `here` hears nothing from place `there` any more; the other direction goes on. Namespaces only."""
        self._network.cut(here, there)

    def split(self, *groups):
        """Places of different groups no longer reach each other. Each host is at the place of its local node."""
        for group in groups:
            for here in group:
                for there in (place for other in groups if other is not group for place in other):
                    self._separate(here, there)

    def _separate(self, here, there):
        if self._network.can_blackhole:
            self._network.cut(here, there)
        elif here < len(self.hosts):
            self.link(here, there).set(blackhole=True)

    def join(self):
        """Ends all cuts."""
        if self._network.can_blackhole:
            self._network.join()
        else:
            for index in range(len(self.nodes)):
                for link in self.links_to(index):
                    link.clear()

    def wait_equal(self, seconds=10, only=None):
        return nodes.wait_equal(only or self.nodes, seconds)

    def close(self):
        for host in self.hosts:
            host.close()
        for node in self.nodes:
            if node._process is not None:
                node.kill()
        if self.proxy:
            self.proxy.close()
        self._network.close()
        if os.environ.get("MMS_KEEP") is None:
            shutil.rmtree(self.folder, ignore_errors=True)

    def __enter__(self):
        return self

    def __exit__(self, *_exception):
        self.close()
