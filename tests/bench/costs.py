"""What one page view costs the request thread in system calls, allocations and instructions: figures that do not depend
on how busy the machine is, and a check of them against bounds.txt.

    costs [--write]     --write: notes what is measured as the new bounds

Each case is a PHP process with three nodes, without spinning (mmsession.spin_us = 0), as a spin looks for an answer as
often as it happens to.
"""
import collections
import glob
import os
import platform
import re
import statistics
import subprocess
import sys

from handlers import HERE, SIGNED, Stage, our_settings
from rig.host import php_environment, php_program

BOUNDS = os.path.join(HERE, "bounds.txt")
LOCKED = "newest locked"  # with mmsession.lock
ALONE = "newest alone"  # with a pause before each view, in which the replicator falls asleep
COOKIES = "session-token cookies"  # tokens among the headers, as web servers send them; the other cases ask for them
PAUSES_US = {ALONE: 12000}
AWAKE_S = 0.0025  # so long after a write the replicator is certainly awake: it goes to sleep after 3 ms
CASES = [(mode, kind, size) for mode, kind, size in (
    ("newest", "changed", 1024), ("newest", "unchanged", 1024), ("local", "changed", 1024), ("local", "unchanged", 1024),
    ("session-token", "changed", 1024), ("session-token", "unchanged", 1024), (COOKIES, "changed", 1024),
    (SIGNED, "changed", 1024), (SIGNED, "unchanged", 1024), ("newest", "changed", 65536), (LOCKED, "changed", 1024),
    (LOCKED, "unchanged", 1024), (ALONE, "changed", 1024))]
CALLS_VIEWS, FEW, MANY = 200, 40, 240
MARK, PAUSE = "/the next view", "/a pause"
WAITS = ("ppoll", "poll", "epoll_wait", "epoll_pwait", "epoll_pwait2", "sched_yield", "pselect6")
WAKES = ("write", "futex")
ALLOCATING = ("malloc", "calloc", "realloc", "posix_memalign", "aligned_alloc", "memalign")
FIELDS = ("calls", "waits", "wakes", "sends", "allocations", "instructions")


def limit(case, field, bound):
    """What a figure may be. Answers of three nodes come one by one or together; large ones in parts. A view now and then meets
    something in the mailbox, which costs an allocation; one more in each is too much."""
    if field == "instructions":
        return bound * (1.08 if case.startswith("newest") else 1.05)
    if field == "allocations":
        return bound + 0.7
    return bound * (1.25 if field == "calls" and "64 KiB" in case else 1)


def run(handlers, name, *arguments, wrapper):
    mode = name.removesuffix(" counted")
    play = handlers.serve if mode in (COOKIES, SIGNED) else handlers.run
    play(name, "costs.php", *arguments, PAUSES_US.get(mode, 0), wrapper=wrapper)


def system_calls(handlers, name, kind, size):
    """Per view, as medians: calls but for waits and wake-ups, waits, wake-ups, and calls that send.

    How often a view waits for three answers depends on how they come, so waits have a bound of their own. The replicator
    stays awake for 3 ms after a write: it is woken by views after a pause, and once by each that took longer than that,
    which strace makes of many views on a slow machine and which is not counted.
    """
    log = os.path.join(handlers.folder, "calls")
    run(handlers, name, f"calls{size}", size, CALLS_VIEWS, kind, wrapper=["strace", "-qq", "-ttt", "-s", "16", "-o", log])
    views, began, paused = [], [], False
    with open(log, errors="replace") as lines:
        for when, line in (line.split(" ", 1) for line in lines):
            paused = PAUSE in line or (paused and MARK[:12] not in line)
            if MARK[:12] in line:
                views.append(collections.Counter())
                began.append(float(when))
            elif views and "(" in line and not paused:
                views[-1][line.split("(", 1)[0].strip()] += 1
    views = views[:-1]
    assert len(views) == CALLS_VIEWS, f"{name}: {len(views)} views in the list of system calls"
    waits = [sum(view[call] for call in WAITS) for view in views]
    slept = [not name.startswith(ALONE) and end - begin > AWAKE_S for begin, end in zip(began, began[1:])]
    woken = [sum(view[call] for call in WAKES) for view in views]
    wakes = [max(0, count - late) for count, late in zip(woken, slept)]
    sends = [sum(count for call, count in view.items() if call.startswith("send")) for view in views]
    total = [sum(view.values()) for view in views]
    typical = statistics.median_low(total)
    return {
        "calls": statistics.median(every - wait - wake for every, wait, wake in zip(total, waits, woken)),
        "waits": statistics.median(waits), "wakes": statistics.median(wakes), "sends": statistics.median(sends),
        "total": typical, "names": ", ".join(f"{count} {call}" for call, count in
                                             sorted(views[total.index(typical)].items(), key=lambda item: -item[1])),
    }


def instructions(handlers, name, kind, size):
    """Of session_start and session_write_close, per view: instructions, in all and by library, and calls of malloc and its
    like. What many views cost more than few, so that the first ones, which connect, do not count.

    Not by a preloaded library: PHP loads modules so that they find the C library's malloc first (RTLD_DEEPBIND).
    """
    few, many = (callgrind(handlers, name, kind, size, views) for views in (FEW, MANY))
    each = {key: (many[key] - few[key]) / (MANY - FEW) for key in many}
    allocations = each.pop("allocations", 0)
    return {"instructions": sum(each.values()), "allocations": allocations, "libraries": each}


def callgrind(handlers, name, kind, size, views):
    """Instructions of the first thread inside the two session functions by file name of the library; "allocations"."""
    out = os.path.join(handlers.folder, "callgrind")
    for old in glob.glob(out + "*"):
        os.unlink(old)
    run(handlers, name, f"instr{size}", size, views, kind, wrapper=[
        "valgrind", "-q", "--tool=callgrind", "--separate-threads=yes", "--toggle-collect=php_session_start",
        "--toggle-collect=php_session_flush", f"--callgrind-out-file={out}"])
    with open(f"{out}-01") as lines:
        sums = parse(lines)
    if not sums:
        raise RuntimeError("callgrind saw neither php_session_start nor php_session_flush")
    return sums


def parse(lines):
    """The format: "ob=" names the library of the lines that follow, "cob=" and "cfn=" that of a callee and its function,
    "calls=" how often it was called, and the line after that what the callee cost, which is not the caller's own.
    """
    sums, names, library, callee, skip = collections.Counter(), {}, "?", "", False
    naming = re.compile(r"(ob|cob|fn|cfn)=\((\d+)\)(?: (.*))?$")
    for line in lines:
        found = naming.match(line)
        if found:
            kind, number, text = found.groups()
            key = (kind.lstrip("c"), number)
            if text:
                names[key] = text
            if kind == "ob":
                library = os.path.basename(names[key])
            elif kind == "cfn":
                callee = names[key]
        elif line.startswith("calls="):
            skip = True
            if callee.split("'")[0] in ALLOCATING:
                sums["allocations"] += int(line[len("calls="):].split()[0])
        elif line[:1].isdigit() or line[:1] in "+-*":
            words = line.split()
            if not skip and len(words) > 1:
                sums[library] += int(words[1])
            skip = False
    return sums


def name_of(case):
    mode, kind, size = case
    return f"{mode} {kind} {size // 1024} KiB"


def measure(stage, cases=CASES):
    """{case name: figures} for the modes that this build has."""
    found = {}
    plain = {"spin_us": 0, "read_timeout_ms": 2000, "budget_ms": 5000}
    for mode in (*stage.modes, LOCKED, ALONE, COOKIES):
        stage.handlers.add(f"{mode} counted", our_settings(stage.nodes[:3], read=mode.split()[0], lock=int(mode == LOCKED), **plain))
    stage.add_signed(f"{SIGNED} counted", **plain)
    for mode, kind, size in cases:
        if mode.split()[0] not in stage.modes:
            continue
        name = f"{mode} counted"
        found[name_of((mode, kind, size))] = {
            **system_calls(stage.handlers, name, kind, size), **instructions(stage.handlers, name, kind, size)}
        print(".", end="", file=sys.stderr, flush=True)
    return found


# --- the check --------------------------------------------------------------------------------------------------------

def built_with():
    """What decides the number of instructions, as far as it can be told."""
    php = subprocess.run([php_program(), "-n", "-r", "echo PHP_MAJOR_VERSION, '.', PHP_MINOR_VERSION;"], capture_output=True,
                         text=True, env=php_environment(), check=True).stdout
    compiler = subprocess.run([os.environ.get("CC", "cc"), "-dumpversion"], capture_output=True, text=True, check=True).stdout
    return f"PHP {php}, cc {compiler.split('.')[0].strip()}, {platform.machine()}"


def read_bounds():
    """(what they were measured with, {case: {field: bound}})"""
    bounds, where = {}, ""
    with open(BOUNDS) as lines:
        for line in lines:
            if line.startswith("# with: "):
                where = line[len("# with: "):].strip()
            elif line.strip() and not line.startswith("#"):
                case, *cells = (cell.strip() for cell in line.split("|"))
                bounds[case] = {field: float(cell) for field, cell in zip(FIELDS, cells)}
    return where, bounds


def middle_of(turns):
    return {case: {field: statistics.median(turn[case][field] for turn in turns) for field in FIELDS} for case in turns[0]}


def write_bounds(found):
    with open(BOUNDS, "w") as file:
        file.write("# What one page view may cost the request thread; tests/bench/costs checks it, costs --write makes it.\n"
                   "# calls: system calls but for waits and wake-ups; waits: polls; wakes: wake-ups of the replicator; sends: of the\n"
                   "# calls, those that send. Waits are what may happen, the rest what was counted; the check leaves a few per cent of\n"
                   "# room where answers may come together or not. Alone: after a pause, with the replicator asleep.\n"
                   f"# with: {built_with()}\n"
                   f"# case | {' | '.join(FIELDS)}\n")
        for case, figures in found.items():
            cells = {**figures, "waits": figures["calls"] - figures["sends"]}  # each answer may come alone
            file.write(f"{case} | " + " | ".join(f"{cells[field]:.0f}" for field in FIELDS) + "\n")


def over(case, figures, bounds, same):
    """Fields of a case that are above their bounds."""
    return [field for field in FIELDS if (same or field != "instructions") and figures[field] > limit(case, field, bounds[case][field])]


def least(first, second):
    """Field by field: what another process on the machine adds (a node given up, a connection made anew) it does not add
    every time, what the code costs it does."""
    return {**first, **{field: min(first[field], second[field]) for field in FIELDS}}


def try_again(stage, found):
    """Cases above their bounds are measured twice more."""
    where, bounds = read_bounds()
    for _ in range(2):
        again = [case for case in found if case in bounds and over(case, found[case], bounds, where == built_with())]
        if again:
            for case, figures in measure(stage, [each for each in CASES if name_of(each) in again]).items():
                found[case] = least(found[case], figures)


def check(found):
    where, bounds = read_bounds()
    same, passed, failed = where == built_with(), 0, 0
    for case, figures in found.items():
        if case not in bounds:
            print(f"FAIL {case}: has no line in bounds.txt (costs --write)")
            failed += 1
            continue
        for field in FIELDS:
            if field == "instructions" and not same:
                continue
            good = field not in over(case, figures, bounds, same)
            passed, failed = passed + good, failed + (not good)
            if not good:
                print(f"FAIL {case}: {field} {figures[field]:.1f}, the bound is {bounds[case][field]:.0f}: {figures['names']}")
            elif limit(case, field, figures[field]) < bounds[case][field] and field in ("instructions", "allocations"):
                print(f"{case}: {field} {figures[field]:.0f}, the bound is {bounds[case][field]:.0f}: lower it (costs --write)")
    for case in bounds.keys() - found.keys():
        print(f"FAIL {case}: not measured")
        failed += 1
    if failed:
        print("A change that is worth its costs notes them: tests/bench/costs --write, and a word in the commit message.")
    if not same:
        print(f"NOT judged: {len(found)} bounds of instructions. They are those of {where}, and this is {built_with()}.")
    return passed, failed


def show(found):
    head = ("case", *FIELDS, "in mmsession.so")
    rows = [(case, *(f"{figures[field]:.1f}".removesuffix(".0") for field in FIELDS),
             f"{figures['libraries'].get('mmsession.so', 0):.0f}") for case, figures in found.items()]
    widths = [max(len(str(row[column])) for row in [head, *rows]) for column in range(len(head))]
    print()
    for row in [head, *rows]:
        print("  " + "  ".join(str(cell).ljust(width) if index == 0 else str(cell).rjust(width)
                               for index, (cell, width) in enumerate(zip(row, widths))))


def main(arguments):
    if arguments not in ([], ["--write"]):
        print(__doc__, file=sys.stderr)
        return 2
    with Stage(3) as stage:
        found = measure(stage)
        if arguments:
            write_bounds(middle_of([found, measure(stage), measure(stage)]))
        else:
            try_again(stage, found)
    show(found)
    passed, failed = check(found)
    print(f"{passed} passed, {failed} failed")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
