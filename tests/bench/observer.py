"""observer.py <event> <prefix> <socket>...: notes when keys <prefix><number> are written on nodes, until stdin ends.

event: what the key meets (rename_to, set). Prints "ready", at the end JSON: one {number: CLOCK_MONOTONIC in ns} per node.
"""
import json
import os
import selectors
import socket
import sys
import time


def main(event, prefix, *addresses):
    try:
        # It sleeps most of the time; when a key comes it must not queue behind those whom it watches.
        os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(1))
    except PermissionError:
        pass
    selector, seen, rest = selectors.DefaultSelector(), [{} for _ in addresses], [b""] * len(addresses)
    pattern = f"__keyspace@0__:{prefix}*".encode()
    for index, address in enumerate(addresses):
        connection = socket.socket(socket.AF_UNIX)
        connection.connect(address)
        connection.sendall(b"*2\r\n$10\r\nPSUBSCRIBE\r\n$%d\r\n%s\r\n" % (len(pattern), pattern))
        selector.register(connection, selectors.EVENT_READ, index)
    selector.register(sys.stdin, selectors.EVENT_READ, None)
    print("ready", flush=True)
    mark, names = f"__keyspace@0__:{prefix}".encode(), {name.encode() for name in event.split(",")}
    while True:
        for key, _ in selector.select():
            now = time.monotonic_ns()
            if key.data is None:
                print(json.dumps(seen), flush=True)
                return
            lines = (rest[key.data] + key.fileobj.recv(65536)).split(b"\r\n")
            rest[key.data] = lines.pop()
            # pmessage, pattern, channel, event: each with its length before it
            for index, line in enumerate(lines):
                if line.startswith(mark) and not line.endswith(b"*"):
                    if index + 2 >= len(lines):
                        rest[key.data] = b"\r\n".join(lines[index:] + [rest[key.data]])
                        break
                    if lines[index + 2] in names:
                        seen[key.data].setdefault(line[len(mark):].decode(), now)


main(*sys.argv[1:])
