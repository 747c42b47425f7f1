"""request: what one page view's session costs in one PHP process, back to back and with other work between the calls."""
from handlers import CONTROLS, MEMCACHED, MESH, Awake, Stage, close_nodes, our_settings, persistent_settings, start_nodes
from rig.host import phpredis_settings
from rig.node import available_programs
from reasons import Instructions, beside, per_request
from report import CURVE_TICS, curve, faster, median, number, ratio

TITLE = "One request"
SIZES = {"0.2": 200, "1": 1024, "8": 8192, "64": 65536, "512": 524288}
NODE_COUNTS = (1, 2, 3, 5, 7)
FLOOR, ASLEEP = "C floor", "C floor, asleep"
CALM = ", not spinning"  # with mmsession.spin_us = 0: instructions that do not depend on how long an answer takes


def views_for(size, busy_us, full):
    views = 1500 if size <= 8192 else 400 if size <= 65536 else 60
    return (views if not busy_us else views // 2) * (4 if full else 1)


def take_turns(section, handlers, case, names=None):
    """{handler: [figures of each run]}; every handler once per run, in turn. case: (size, kind, busy us)."""
    size, kind, busy_us = case
    views = views_for(size, busy_us, section.full)
    turns = {name: [] for name in names or handlers.names}
    for run in range(section.runs):
        first = run % len(turns)  # none comes behind the same one in every run
        for name in [*turns][first:] + [*turns][:first]:
            session = f"bench{run}" + "".join(letter for letter in name if letter.isalnum())
            turns[name].append(handlers.loop(name, session, size, views, kind, busy_us))
            section.dot()
    return turns


def show(section, title, turns):
    base = faster(turns, CONTROLS)
    rows = []
    for name, figures in turns.items():
        rows.append((name, number(median(figures, "p50")), ratio(turns, name, base, "p50"), number(median(figures, "p99")),
                     ratio(turns, name, base, "p99"), number(median(figures, "cpu")),
                     number(median(figures, "thread")), number(median(figures, "servers"))))
    section.table(f"{title}, microseconds; ratios to {base}",
                  ["handler", "p50", "ratio (least..most)", "p99", "ratio (least..most)", "CPU process", "CPU thread", "CPU servers"], rows)


def base_case(section, stage, names):
    kept = {}
    for busy_us in (300, 0):
        for kind in ("changed", "unchanged"):
            turns = take_turns(section, stage.handlers, (1024, kind, busy_us), names)
            show(section, f"1 KiB, {kind}, 3 nodes, Unix socket, {busy_us} us of other work", turns)
            if not section.marks_only:
                section.picture(f"request-{kind}-{busy_us}", f"1 KiB, {kind}, {busy_us} us of other work", "share of the requests",
                                "us", {name: curve(each) for name, each in turns.items()}, logy=True, xtics=CURVE_TICS)
            kept[kind, busy_us] = turns
    return kept


class Why:
    """Reasons for the marks of one stage."""

    def __init__(self, section, stage):
        self._section, self._stage, self._counted, self._alone = section, stage, Instructions(stage.handlers), None
        for mode in stage.modes:
            stage.handlers.add(mode + CALM, our_settings(stage.nodes[:3], read=mode, spin_us=0), stage.pids(3))

    def beside(self, turns, ours, control, field, kind="changed", size=1024):
        php = [name for name in (ours + CALM, control) if name != FLOOR]
        return beside(turns, ours, [control], field, php, self._counted, kind, size)

    def without_spinning(self, turns, ours, control):
        """Also in turns of their own: what it takes without looking for answers before it sleeps; and what the floor takes."""
        def why():
            calm = take_turns(self._section, self._stage.handlers, (1024, "changed", 300), [ours + CALM])
            return (f"{self.beside(turns, ours, control, 'p50')()}. {per_request(turns, [FLOOR, ASLEEP])}. "
                    f"In turns after these: {per_request(calm, [ours + CALM])}")
        return why

    def beside_the_floor(self, turns, ours, control, field):
        """Also what the control itself and the floor are to each other: how far the mark is from what can be had."""
        def why():
            base = faster(turns, CONTROLS)
            return (f"{self.beside(turns, ours, control, field)()}. In the same turns, p50: {control} {ratio(turns, control, base, field)}x of {base}; "
                    f"{FLOOR}, two round trips to one node and nothing else, {ratio(turns, FLOOR, control, field)}x of {control}")
        return why

    def with_one_node(self, turns, control, field):
        """Also in turns of their own: 64 KiB on one node alone, and without spinning."""
        def why():
            self._alone = self._alone or self._turns_alone(control)
            return f"{self.beside(turns, 'newest', control, field, 'changed', SIZES['64'])()}. In turns after these: {self._alone}"
        return why

    def _turns_alone(self, control):
        handlers, alone = self._stage.handlers, "newest, one node"
        handlers.add(alone, our_settings(self._stage.nodes[:1], read="newest", prefix="one:"), self._stage.pids(1))
        calm = alone + CALM
        handlers.add(calm, our_settings(self._stage.nodes[:1], read="newest", prefix="calm:", spin_us=0), self._stage.pids(1))
        turns = take_turns(self._section, handlers, (SIZES["64"], "changed", 0), [alone, calm, "newest" + CALM, control])
        return "; ".join(f"{name}: p50 {ratio(turns, name, control, 'p50')}x, CPU of the request thread {ratio(turns, name, control, 'thread')}x"
                         for name in (alone, calm, "newest" + CALM))


def at_most(section, key, value, bar, why):
    section.mark(key, f"{value}x", value.middle <= bar, why)


def marks_of_base(section, kept, modes, why):
    changed, idle = kept["changed", 300], kept["changed", 0]
    base, base_idle = faster(changed, CONTROLS), faster(idle, CONTROLS)
    at_most(section, "newest-p50", ratio(changed, "newest", base, "p50"), 1.15, why.beside(changed, "newest", base, "p50"))
    at_most(section, "newest-back-to-back", ratio(idle, "newest", base_idle, "p50"), 1.3, why.beside(idle, "newest", base_idle, "p50"))
    for key, field, bar in (("newest-mesh-p50", "p50", 0.6), ("newest-mesh-p99", "p99", 0.5)):
        if MESH in changed:
            at_most(section, key, ratio(changed, "newest", MESH, field), bar, why.beside_the_floor(changed, "newest", MESH, field))
        else:
            section.mark(key, "no keydb-server here", None, None)
    cpu, their_cpu = median(changed["newest"], "cpu"), median(changed[base], "cpu")
    section.mark("cpu-newest", f"{cpu:.0f} us (phpredis {their_cpu:.0f}); back to back {median(idle['newest'], 'cpu'):.0f}", cpu <= 30,
                 why.without_spinning(changed, "newest", base))
    marks_of_token(section, kept, "session-token" in modes, why)


def marks_of_token(section, kept, there, why):
    """there: this build has session-token; else local is shown in its place, without a verdict."""
    ours, note = ("session-token", "") if there else ("local", "no session-token in this build; local ")
    changed, same = kept["changed", 300], kept["unchanged", 300]
    base, base_same = faster(changed, CONTROLS), faster(same, CONTROLS)
    for key, turns, control, bar, kind in (("token-p50", changed, base, 0.75, "changed"), ("token-memcached", changed, MEMCACHED, 1.0, "changed"),
                                           ("token-floor", changed, FLOOR, 1.15, "changed"), ("unchanged-token", same, base_same, 0.5, "unchanged")):
        value = ratio(turns, ours, control, "p50")
        section.mark(key, f"{note}{value}x", value.middle <= bar if there else None, why.beside(turns, ours, control, "p50", kind))
    cpu, their_cpu = median(changed[ours], "cpu"), median(changed[base], "cpu")
    section.mark("cpu-token", f"{note}{cpu:.0f} us (phpredis {their_cpu:.0f})", cpu <= 20 if there else None, why.without_spinning(changed, ours, base))


def sizes(section, stage, names, why):
    """Other sizes, and the pictures of cost by size."""
    names = [name for name in names if name != ASLEEP]
    chosen = ("64",) if section.marks_only else SIZES
    for kind in ("changed",) if section.marks_only else ("changed", "unchanged"):
        lines = {name: [] for name in names}
        for label in chosen:
            turns = take_turns(section, stage.handlers, (SIZES[label], kind, 0), names)
            show(section, f"{label} KiB, {kind}, 3 nodes, Unix socket, no other work", turns)
            for name in names:
                lines[name].append((float(label), median(turns[name], "p50")))
            if label == "64" and kind == "changed":
                base = faster(turns, CONTROLS)
                at_most(section, "large-p50", ratio(turns, "newest", base, "p50"), 1.3, why.with_one_node(turns, base, "p50"))
                at_most(section, "large-cpu", ratio(turns, "newest", base, "thread"), 1.05, why.with_one_node(turns, base, "p50"))
        if not section.marks_only:
            section.picture(f"request-size-{kind}", f"Cost by size, {kind}", "KiB", "us, p50", lines, logx=True, logy=True)


def by_nodes(section):
    """Our modes on 1 to 7 nodes of one machine; the same turns, phpredis on one of them beside."""
    with Stage(max(NODE_COUNTS)) as stage:
        stage.add_phpredis()
        for mode in stage.modes:
            for count in NODE_COUNTS:
                stage.handlers.add(f"{mode}, {count} nodes", our_settings(stage.nodes[:count], read=mode, prefix=f"n{count}:"),
                                   stage.pids(count))
        turns = take_turns(section, stage.handlers, (1024, "changed", 300))
        show(section, "1 KiB, changed, 1 to 7 nodes on this machine, Unix socket, 300 us of other work", turns)
        lines = {mode: [(count, median(turns[f"{mode}, {count} nodes"], "p50")) for count in NODE_COUNTS] for mode in stage.modes}
        lines["phpredis on one node"] = [(count, median(turns[faster(turns, CONTROLS)], "p50")) for count in NODE_COUNTS]
        section.picture("request-nodes", "Cost by nodes, 1 KiB changed", "nodes, all on one machine", "us, p50", lines)
        cpu = {f"{mode}, PHP": [(count, median(turns[f"{mode}, {count} nodes"], "cpu")) for count in NODE_COUNTS] for mode in stage.modes}
        cpu.update({f"{mode}, servers": [(count, median(turns[f"{mode}, {count} nodes"], "servers")) for count in NODE_COUNTS]
                    for mode in stage.modes})
        section.picture("request-nodes-cpu", "CPU by nodes, 1 KiB changed", "nodes, all on one machine", "us of CPU per request", cpu)
        mark_of_nodes(section, stage, turns)


def mark_of_nodes(section, stage, turns):
    there = "session-token" in stage.modes
    mode = "session-token" if there else "local"
    one, seven = (f"{mode}, {count} nodes" for count in (1, 7))
    for count, name in ((1, one), (7, seven)):
        stage.handlers.add(name + CALM, our_settings(stage.nodes[:count], read=mode, prefix=f"n{count}:", spin_us=0))
    value = ratio(turns, seven, one, "p50")
    section.mark("nodes-token", f"{value}x" if there else f"no session-token in this build; local {value}x", value.middle <= 1.1 if there else None,
                 beside(turns, seven, [one], "p50", [seven + CALM, one + CALM], Instructions(stage.handlers)))


def over_tcp(section):
    with Stage(3) as stage:
        node = stage.nodes[0]
        stage.handlers.add("phpredis", phpredis_settings(f"tcp://{node.host}:{node.port}"), stage.pids(1))
        stage.handlers.add("phpredis persistent", persistent_settings(f"tcp://{node.host}:{node.port}"), stage.pids(1))
        stage.add_floors(f"tcp:{node.port}")
        stage.add_ours(local_tcp=True)
        for kind in ("changed", "unchanged"):
            show(section, f"1 KiB, {kind}, 3 nodes, local node over TCP, 300 us of other work",
                 take_turns(section, stage.handlers, (1024, kind, 300)))


def on_waking_cores(section):
    """The base case with cores that never sleep, as on a busy machine: who spins for an answer gains nothing there."""
    with Stage(3, mesh=True, memcached=True) as stage:
        stage.add_phpredis()
        stage.add_replicated_controls()
        stage.add_floors()
        stage.add_ours()
        if "session-token" in stage.modes:
            stage.add_signed()
        with Awake():
            for kind in ("changed", "unchanged"):
                show(section, f"1 KiB, {kind}, 3 nodes, Unix socket, 300 us of other work, all cores kept awake",
                     take_turns(section, stage.handlers, (1024, kind, 300)))


def by_server(section):
    """The same on each kind of server that is installed."""
    programs = available_programs()
    if len(programs) < 2:
        return
    with Stage(0) as stage:
        started = []
        try:
            for program in programs:
                nodes = start_nodes(3, stage.folder, program)
                started += nodes
                pids = [node.pid for node in nodes]
                stage.handlers.add(f"phpredis persistent, {program}", persistent_settings(nodes[0]), pids[:1])
                for mode in stage.modes:
                    stage.handlers.add(f"{mode}, {program}", our_settings(nodes, read=mode), pids)
            turns = take_turns(section, stage.handlers, (1024, "changed", 300))
        finally:
            close_nodes(started)
        rows = []
        for name, each in turns.items():
            base = f"phpredis persistent, {name.rsplit(', ', 1)[1]}"
            rows.append((name, number(median(each, "p50")), ratio(turns, name, base, "p50"), number(median(each, "p99")),
                         number(median(each, "cpu")), number(median(each, "servers"))))
        section.table("1 KiB, changed, 3 nodes of each kind of server, 300 us of other work, microseconds; ratios to phpredis on the same server",
                      ["handler, server", "p50", "ratio (least..most)", "p99", "CPU process", "CPU servers"], rows)


def run(section):
    with Stage(3, mesh=True, memcached=True) as stage:
        stage.add_files()
        stage.add_phpredis()
        stage.add_replicated_controls()
        stage.add_floors()
        stage.add_ours()
        names, why = stage.handlers.names, Why(section, stage)
        marks_of_base(section, base_case(section, stage, names), stage.modes, why)
        sizes(section, stage, names, why)
    by_nodes(section)
    if not section.marks_only:
        on_waking_cores(section)
        over_tcp(section)
        by_server(section)
