"""The sections of the benchmark, each alone by name; see run for the command."""
import importlib
import os
import platform
import subprocess
import sys
import time

from report import Marks, Section, overview_of
from rig.host import php_program

HERE = os.path.dirname(os.path.abspath(__file__))
SECTIONS = ("request", "fpm", "distance", "lag", "fault", "rejoin", "scale")
FOR_MARKS = ("request", "fpm", "distance", "lag", "scale")


def version_of(*command):
    text = subprocess.run(command, capture_output=True, text=True).stdout.splitlines()
    return text[0] if text else "?"


def machine():
    with open("/proc/cpuinfo") as cpus:
        model = next((line.split(":", 1)[1].strip() for line in cpus if line.startswith("model name")), platform.machine())
    php = version_of(php_program(), "-r", "echo 'PHP ', PHP_VERSION, ', phpredis ', phpversion('redis'), ', php-memcached ', phpversion('memcached');")
    redis = version_of("redis-server", "--version").split(" sha")[0].replace("server v=", "")
    return (f"{os.cpu_count()} cores, {model}, {php}, {redis}, all on this machine, whose load average was "
            f"{os.getloadavg()[0]:.1f} at the start.")


def write_overview(out, marks, here):
    """docs/performance.md: how it is measured, the marks, and where the tables are."""
    with open(os.path.join(HERE, "performance.md.in"), encoding="utf-8") as file:
        text = file.read()
    there = [name for name in SECTIONS if os.path.exists(os.path.join(out, f"{name}.md"))]
    titles = {name: importlib.import_module(f"section_{name}").TITLE for name in there}
    tables = [f"### {titles[name]}\n\n{table}" for name in there for table in overview_of(os.path.join(out, f"{name}.md"))]
    links = "\n".join(f"- [{titles[name]}](performance/{name}.md)" for name in there)
    with open(os.path.join(out, os.pardir, "performance.md"), "w", encoding="utf-8") as file:
        file.write(text.replace("@figures@", "\n\n".join([here, links, *tables, "### Marks", marks.markdown()])))


def main(arguments):
    unknown = [name for name in arguments if name not in SECTIONS + ("marks",)]
    if unknown:
        print(f"unknown section {unknown[0]}; there are: {', '.join(SECTIONS)}, marks", file=sys.stderr)
        return 2
    out = os.environ["MMS_BENCH_OUT"]
    os.makedirs(out, exist_ok=True)
    runs, full = int(os.environ.get("MMS_BENCH_RUNS", "5")), os.environ.get("MMS_FULL") == "1"
    marks_only, publish = arguments == ["marks"], bool(os.environ.get("MMS_BENCH_PUBLISH"))
    marks = Marks(out, os.path.join(HERE, "marks.txt"))
    here = machine()
    print(here)
    failed = []
    for name in FOR_MARKS if marks_only else arguments or SECTIONS:
        module, began = importlib.import_module(f"section_{name}"), time.monotonic()
        section = Section(name, module.TITLE, out, runs, full, marks_only, full or publish, marks)
        print(f"\n== {name}: {module.TITLE}", flush=True)
        try:
            module.run(section)
        except Exception as error:
            failed.append(name)
            print(f"{name}: {type(error).__name__}: {error}", file=sys.stderr, flush=True)
            if os.environ.get("MMS_BENCH_TRACE"):
                raise
            continue
        if not marks_only:
            section.write(here)
        print(f"\n{name} took {time.monotonic() - began:.0f} s", flush=True)
    marks.show(here)
    if publish:
        write_overview(out, marks, here)
    print(f"\nTables and pictures: {out}")
    if failed:
        print(f"Sections that did not come to their end: {', '.join(failed)}", file=sys.stderr)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
