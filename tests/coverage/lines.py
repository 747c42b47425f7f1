"""Lines that were never entered, of all that gcov has counted below a folder.

    lines.py BUILD TREE LIST     BUILD: folder with .gcda files; TREE: the sources; LIST: file for the lines
"""
import collections
import json
import os
import subprocess
import sys

ENOUGH = 0.97


def counted(build):
    """{file name: {line: how often}}, over all variants of a build."""
    hits = collections.defaultdict(collections.Counter)
    for folder, _, names in os.walk(build):
        for name in names:
            if not name.endswith(".gcda"):
                continue
            output = subprocess.run(["gcov", "--json-format", "--stdout", name], cwd=folder, stdout=subprocess.PIPE,
                                    stderr=subprocess.DEVNULL, text=True).stdout
            for line in output.splitlines():
                for file in json.loads(line)["files"]:
                    if file["file"].endswith(".c"):
                        for each in file["lines"]:
                            hits[os.path.basename(file["file"])][each["line_number"]] += each["count"]
    return hits


def main(build, tree, where):
    hits, total, missed = counted(build), 0, 0
    with open(where, "w") as out:
        for folder in ("src", "ext"):
            for name in sorted(os.listdir(os.path.join(tree, folder))):
                lines = hits.get(name)
                if not lines:
                    continue
                with open(os.path.join(tree, folder, name)) as source:
                    text = source.read().split("\n")
                never = sorted(number for number, count in lines.items() if count == 0)
                total, missed = total + len(lines), missed + len(never)
                out.writelines(f"{folder}/{name}:{number}: {text[number - 1].strip()}\n" for number in never)
    print(f"{total - missed} of {total} lines entered; the {missed} others: {where}")
    good = total > 0 and total - missed >= ENOUGH * total
    print(f"{int(good)} passed, {int(not good)} failed")
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
