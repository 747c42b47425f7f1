"""The story that tests/demo tells: shoppers hop between three hosts while nodes die and come back."""
import http.client
import json
import random
import sys
import threading
import time
from collections import Counter

from rig.balancer import Balancer
from rig.cluster import Cluster
from rig.network import Loopback, Namespaces, namespaces_allowed

SHOPPERS = 12
CHAPTER_SECONDS = 6
CART_ITEMS = 6
THINK_SECONDS = 0.02
LOOK_AGAIN_SECONDS = 0.1
CONTROL_TIMEOUT = "timeout=1&read_timeout=1"


class Shop:
    """The whole set-up: network, nodes, hosts, load balancer."""

    def __init__(self, handler):
        namespaces = namespaces_allowed()
        self.network = Namespaces(3) if namespaces else Loopback()
        # Without namespaces a node can only be blackholed by a proxy in front of it.
        self.cluster = Cluster(3, 0, handler=handler, network=self.network, local_tcp=True, workers=6,
                               proxied=not namespaces, proxied_local=not namespaces,
                               phpredis_options=CONTROL_TIMEOUT)
        self.balancer = None
        try:
            nodes = " ".join(f"{node.name}={node.socket}" for node in self.cluster.nodes)
            for index in range(3):
                self.cluster.add_host(index, ini={"session.use_strict_mode": "1"},
                                      pool=[f"env[RIG_NODES] = \"{nodes}\""])
            self.balancer = Balancer(f"{self.cluster.folder}/nginx", self.cluster.hosts, "shop.php").start()
        except BaseException:
            self.close()
            raise

    def close(self):
        if self.balancer:
            self.balancer.close()
        self.cluster.close()

    def __enter__(self):
        return self

    def __exit__(self, *_exception):
        self.close()


class Visit:
    """What one request gave."""

    def __init__(self, at, seconds, host, failed):
        self.at, self.seconds, self.host, self.failed = at, seconds, host, failed


class Shoppers:
    """Threads of visitors; every one has a browser with a cookie and a memory of its cart."""

    def __init__(self, port):
        self._port, self._stopping = port, threading.Event()
        self.visits, self.lost, self.undone = [], {}, {}
        self.stale = 0
        self.carts = self.logouts = 0
        self._parked, self._left = [], []
        self._began = time.monotonic()
        self._threads = [threading.Thread(target=self._shop, args=(number,), daemon=True)
                         for number in range(SHOPPERS)]

    def now(self):
        return time.monotonic() - self._began

    def start(self):
        for thread in self._threads:
            thread.start()
        return self

    def stop(self):
        self._stopping.set()
        for thread in self._threads:
            thread.join(60)

    def _request(self, query, session_id):
        """(answer or None, session id that the browser holds afterwards)"""
        at, began, answer, host, failed = self.now(), time.perf_counter(), None, "", ""
        try:
            connection = http.client.HTTPConnection("127.0.0.1", self._port, timeout=30)
            connection.request("GET", f"/?json&{query}",
                               headers={"Cookie": f"PHPSESSID={session_id}"} if session_id else {})
            response = connection.getresponse()
            body = response.read()
            connection.close()
            if response.status == 200:
                answer = json.loads(body)
                host = answer["host"]
                failed = "; ".join(answer["warnings"])
                session_id = answer["id"]
            else:
                failed = f"HTTP {response.status}"
        except (OSError, http.client.HTTPException, ValueError) as error:
            failed = f"{type(error).__name__}"
        self.visits.append(Visit(at, time.perf_counter() - began, host, failed))
        return (None if failed else answer), session_id

    def _shop(self, number):
        chance, count = random.Random(number), 0
        while not self._stopping.is_set():
            count += 1
            self._one_cart(f"{number}-{count}", chance)

    def _one_cart(self, label, chance):
        session_id, cart, unsure = "", [], set()
        self.carts += 1
        for item in range(CART_ITEMS):
            if self._stopping.wait(chance.uniform(0, 2 * THINK_SECONDS)):
                break
            name = f"{label}-{item}"
            answer, session_id = self._request(f"add={name}", session_id)
            if answer:
                cart.append(name)
                missing = self._compare(cart, answer)
                if missing:
                    self._lose(cart, answer, missing)
            else:
                unsure.add(name)
            self._look(session_id, cart)
        if cart and chance.random() < 0.4:
            self._log_out(session_id)
        elif cart:
            self._parked.append((session_id, cart))

    def _lose(self, cart, answer, missing):
        self.lost.setdefault(cart[0], (self.now(), answer["host"], missing))

    def _compare(self, cart, answer):
        """What the visitor put into the cart and the page does not show."""
        return [item for item in cart if item not in answer["cart"]]

    def _look(self, session_id, cart):
        """Looks at the cart at once; a visitor who misses something looks again a moment later."""
        for attempt in range(2 if cart else 0):
            answer, _ = self._request("", session_id)
            missing = self._compare(cart, answer) if answer else []
            if not missing:
                return
            if attempt == 0:
                self.stale += 1
                time.sleep(LOOK_AGAIN_SECONDS)
            else:
                self._lose(cart, answer, missing)

    def _log_out(self, session_id):
        answer, _ = self._request("logout", session_id)
        if answer:
            self.logouts += 1
            self._left.append(session_id)
            for _ in range(2):
                self._check_logged_out(session_id)

    def _check_logged_out(self, session_id):
        answer, _ = self._request("", session_id)
        if answer and answer["cart"]:
            self.undone.setdefault(session_id, (self.now(), answer["host"]))

    def check_all_again(self):
        """Every cart that was left standing is looked at once more, and every logout."""
        for session_id, cart in self._parked:
            self._look(session_id, cart)
        for session_id in self._left:
            self._check_logged_out(session_id)


def milliseconds(seconds):
    return f"{seconds * 1000:.0f} ms"


def chapter(shoppers, title, seconds=CHAPTER_SECONDS):
    """Lets the shoppers go on for a while and tells how it went."""
    begin = shoppers.now()
    while shoppers.now() - begin < seconds:
        if sys.stdout.isatty():
            print(f"\r{begin:5.0f} s  {title:<46}{len(shoppers.visits):6} requests", end="", flush=True)
        time.sleep(0.2)
    visits = [visit for visit in shoppers.visits if visit.at >= begin]
    hosts = Counter(visit.host for visit in visits if visit.host)
    shares = " ".join(f"{name} {hosts[name]}" for name in sorted(hosts))
    slowest = max((visit.seconds for visit in visits), default=0)
    failed = sum(1 for visit in visits if visit.failed)
    start = "\r" if sys.stdout.isatty() else ""
    print(f"{start}{begin:5.0f} s  {title:<46}{len(visits):6} requests, {failed} failed, "
          f"slowest {milliseconds(slowest)}; {shares}", flush=True)
    return title, slowest, failed


def tell(handler):
    print(f"Starting three nodes, three php-fpm hosts and nginx ({handler}) ...", flush=True)
    with Shop(handler) as shop:
        cluster = shop.cluster
        print(f"Running on {shop.network.kind}; {SHOPPERS} shoppers at {shop.balancer.url}, round robin over the hosts.")
        if handler == "phpredis":
            print(f"phpredis has the three nodes as host list, with {CONTROL_TIMEOUT.replace('&', ', ')} (default: no limit).")
        print(flush=True)
        shoppers = Shoppers(shop.balancer.port).start()
        chapters = [chapter(shoppers, "all is well")]
        cluster.nodes[0].kill()
        chapters.append(chapter(shoppers, "web1's node is killed (SIGKILL)"))
        cluster.blackhole(1)
        chapters.append(chapter(shoppers, "web2's node is blackholed, web1's still dead"))
        cluster.nodes[0].restart(empty=True)
        chapters.append(chapter(shoppers, "web1's node is back, empty; web2's still away"))
        cluster.heal(1)
        chapters.append(chapter(shoppers, "web2's node is reachable again"))
        shoppers.stop()
        print("       every cart and every logout is looked at once more ...", flush=True)
        shoppers.check_all_again()
        return epilogue(shoppers, chapters)


def epilogue(shoppers, chapters):
    visits = shoppers.visits
    hosts = Counter(visit.host for visit in visits if visit.host)
    title, slowest, _ = max(chapters, key=lambda each: each[1])
    failed = [visit for visit in visits if visit.failed]
    print("\nWhat visitors noticed")
    print(f"  requests         {len(visits)}, of these " + ", ".join(f"{hosts[name]} by {name}" for name in sorted(hosts)))
    print(f"  failed           {len(failed)}" + (f" ({Counter(visit.failed[:60] for visit in failed).most_common(1)[0][0]}...)" if failed else ""))
    print(f"  slowest request  {milliseconds(slowest)} ({title})")
    print(f"  over 250 ms      {sum(1 for visit in visits if visit.seconds > 0.25)}")
    print(f"  stale looks      {shoppers.stale} (an item missing at once, there a moment later)")
    print(f"  carts lost       {len(shoppers.lost)} of {shoppers.carts}")
    print(f"  logouts undone   {len(shoppers.undone)} of {shoppers.logouts}")
    for cart, (at, host, missing) in list(shoppers.lost.items())[:3]:
        print(f"    cart {cart}: at {at:.1f} s {host} did not show {', '.join(missing[:4])}")
    for session_id, (at, host) in list(shoppers.undone.items())[:3]:
        print(f"    session {session_id}: at {at:.1f} s {host} showed it after its logout")
    return 1 if shoppers.lost or shoppers.undone or not shoppers.carts else 0


def serve():
    with Shop("mmsession") as shop:
        cluster = shop.cluster
        names = {node.name: index for index, node in enumerate(cluster.nodes)}
        print(f"\nShop: {shop.balancer.url}   (hosts: {', '.join(host.name for host in cluster.hosts)}; "
              f"nodes: {', '.join(names)})")
        actions = {
            "kill": lambda index: cluster.nodes[index].kill(),
            "start": lambda index: cluster.nodes[index].restart(empty=True),
            "blackhole": cluster.blackhole,
            "heal": cluster.heal,
        }
        print("Type kill, start, blackhole or heal and a node's name, such as: kill web1. Ctrl-C ends it.", flush=True)
        for line in sys.stdin:
            words = line.split()
            if len(words) == 2 and words[0] in actions and words[1] in names:
                actions[words[0]](names[words[1]])
                print(f"{words[1]}: {words[0]} done", flush=True)
            elif words:
                print(f"commands: {', '.join(actions)}; nodes: {', '.join(names)}", flush=True)
        # No terminal: runs until a signal comes.
        threading.Event().wait()


def main(arguments):
    if arguments == ["--serve"]:
        return serve()
    if arguments in ([], ["--control"]):
        return tell("phpredis" if arguments else "mmsession")
    print("usage: tests/demo [--control | --serve]", file=sys.stderr)
    return 2


if __name__ == "__main__":
    try:
        sys.exit(main(sys.argv[1:]))
    except KeyboardInterrupt:
        print("\nstopped", file=sys.stderr)
        sys.exit(130)
