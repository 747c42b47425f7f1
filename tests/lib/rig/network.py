"""Where hosts and nodes live: network namespaces of the run's own, or loopback ports where they are refused.

Namespaces have no names and leave nothing behind: each is held by a process of ours and ends with it. The
bridge has a namespace to itself, so no interface ever appears in the machine's own network.
"""
import os
import subprocess
import sys

from .nameserver import NameServer
from .process import end, free_port, spawn, until
from .wire import Wire

_SUBNET = "10.77.0"
_BRIDGE_MTU = "1500"


def namespaces_allowed():
    probe = ["unshare", "--net", "--", "sh", "-c",
             "ip link set lo up && ip link add name probe type bridge && nft add table inet t"]
    try:
        return subprocess.run(probe, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL).returncode == 0
    except OSError:
        return False


class Loopback:
    """All places are 127.0.0.1; a node that is to be blackholed needs a fault proxy in front."""

    kind = "loopback ports"
    can_blackhole = False

    def place(self, _index):
        return None

    def listen_address(self, _index):
        return "127.0.0.1", free_port()

    def close(self):
        pass


class Namespaces:
    """Place i is a namespace with address 10.77.0.<i+1> on a bridge that all places share.

    wired: places whose line to the bridge can be disturbed packet by packet, see wire(); packets are no longer than on a line then.
    """

    kind = "network namespaces"
    can_blackhole = True

    def __init__(self, count, wired=()):
        self._holders, self._helpers, self._wires = [], [], {}
        self._deaf, self._wired = {}, wired
        self._switch = self._hold()
        self._inside(self._switch, "ip", "link", "add", "bridge", "type", "bridge")
        self._inside(self._switch, "ip", "link", "set", "bridge", "up")
        self._places = [self._connect(index) for index in range(count)]

    def _hold(self):
        holder = spawn(["unshare", "--net", "--", "sh", "-c", "ip link set lo up && exec sleep infinity"])
        self._holders.append(holder)
        own = os.readlink("/proc/self/ns/net")

        def ready():
            with open(f"/proc/{holder.pid}/comm") as name:
                return name.read() == "sleep\n" and os.readlink(f"/proc/{holder.pid}/ns/net") != own
        until(ready, 10, "a network namespace")
        return holder.pid

    def _inside(self, namespace, *command):
        subprocess.run(["nsenter", f"--net=/proc/{namespace}/ns/net", "--", *command],
                       check=True, stdout=subprocess.DEVNULL, stderr=sys.stderr)

    def _connect(self, index):
        pid = self._hold()
        self._inside(self._switch, "ip", "link", "add", f"port{index}", "mtu", _BRIDGE_MTU,
                     "type", "veth", "peer", "name", "eth0", "netns", str(pid))
        self._inside(self._switch, "ip", "link", "set", self._plug(index), "master", "bridge", "up")
        if self._wired:
            self._inside(pid, "ip", "link", "set", "eth0", "gso_max_segs", "1")
        self._inside(pid, "ip", "address", "add", f"{_SUBNET}.{index + 1}/24", "dev", "eth0")
        self._inside(pid, "ip", "link", "set", "eth0", "up")
        return pid

    def _plug(self, index):
        """The interface of this place that goes into the bridge."""
        if index not in self._wired:
            return f"port{index}"
        self._inside(self._switch, "ip", "link", "add", f"wire{index}", "mtu", _BRIDGE_MTU, "type", "veth", "peer", "name", f"plug{index}")
        for name in (f"port{index}", f"wire{index}"):
            self._inside(self._switch, "ip", "link", "set", name, "up")
        self._wires[index] = self._helped(Wire(self._switch, f"port{index}", f"wire{index}"))
        return f"plug{index}"

    def _helped(self, helper):
        self._helpers.append(helper)
        return helper

    def place(self, index):
        return self._places[index]

    def wire(self, index):
        """The Wire between a place and the bridge."""
        return self._wires[index]

    def name_server(self, index):
        """A NameServer at a place, silent at first; it ends with the network."""
        return self._helped(NameServer(self._places[index], f"{_SUBNET}.{index + 1}"))

    @staticmethod
    def address(number):
        """Any address of this network."""
        return f"{_SUBNET}.{number}"

    def move(self, index, number):
        """The place has this address from now on, and what goes to the one it had gets no answer."""
        self._inside(self._places[index], "sh", "-c", "ip address flush dev eth0 && "
                     f"ip address add {self.address(number)}/24 dev eth0")

    def tcp_counts(self, index):
        """TcpExt of /proc/net/netstat at a place: what its kernel has seen on all connections."""
        with open(f"/proc/{self._places[index]}/net/netstat") as counts:
            names, values = [line.split()[1:] for line in counts if line.startswith("TcpExt:")]
        return dict(zip(names, map(int, values)))

    def listen_address(self, index):
        # A namespace of our own has no other listener: the well-known port is free and reads well.
        return f"{_SUBNET}.{index + 1}", 6379

    def blackhole(self, index, port):
        """Drops, without an answer, all that is sent to a port of place `index`, from its own host too."""
        self._inside(self._places[index], "nft", "add table inet fault; "
                     "add chain inet fault input { type filter hook input priority 0; }; "
                     f"add rule inet fault input tcp dport {port} drop")

    def heal(self, index):
        self._inside(self._places[index], "nft", "delete table inet fault")

    def cut(self, here, there):
        """Place `here` drops whatever comes from place `there`; nothing is dropped the other way."""
        self._deaf.setdefault(here, set()).add(there)
        sources = ", ".join(f"{_SUBNET}.{index + 1}" for index in sorted(self._deaf[here]))
        self._inside(self._places[here], "nft", "add table inet cut; delete table inet cut; add table inet cut; "
                     "add chain inet cut input { type filter hook input priority 0; }; "
                     f"add rule inet cut input ip saddr {{ {sources} }} drop")

    def join(self):
        """Ends all cuts."""
        for here in self._deaf:
            self._inside(self._places[here], "nft", "delete table inet cut")
        self._deaf = {}

    def set(self, index, name, value):
        """A sysctl of place `index`."""
        self._inside(self._places[index], "sh", "-c", f"echo '{value}' > /proc/sys/{name.replace('.', '/')}")

    def lose(self, index, percent):
        """Place `index` loses so many of the packets that come to it from other places; 0 ends that."""
        rules = "add table inet loss; delete table inet loss"
        if percent:
            rules += ("; add table inet loss; add chain inet loss input { type filter hook input priority 0; }; "
                      f"add rule inet loss input iifname eth0 numgen random mod 100 < {percent} drop")
        self._inside(self._places[index], "nft", rules)

    def close(self):
        for helper in self._helpers:
            helper.close()
        for holder in self._holders:
            end(holder)
