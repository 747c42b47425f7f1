"""Figures of turns, ratios to a control of the same run, tables, pictures and marks."""
import json
import os
import re
import statistics
import subprocess
import sys
import time


OVERVIEW = "<!-- overview -->\n\n{}\n\n<!-- end of overview -->"


def overview_of(path):
    """The tables of a section's page that are for the page above, too."""
    with open(path, encoding="utf-8") as file:
        before, after = map(re.escape, OVERVIEW.split("{}"))
        return re.findall(f"{before}(.*?){after}", file.read(), re.S)


def median(turns, field):
    return statistics.median(turn[field] for turn in turns)


class Ratio:
    """Figures divided by those of a control, run by run: the median, and the least and greatest of them."""

    def __init__(self, ours, control):
        each = [mine / theirs for mine, theirs in zip(ours, control) if theirs]
        self.middle = statistics.median(each) if each else float("nan")
        self.least, self.most = (min(each), max(each)) if each else (self.middle, self.middle)

    def __str__(self):
        return f"{self.middle:.2f} ({self.least:.2f}..{self.most:.2f})"


def ratio(turns, ours, control, field):
    return Ratio([turn[field] for turn in turns[ours]], [turn[field] for turn in turns[control]])


def faster(turns, names, field="p50"):
    """The name with the lower median."""
    return min((name for name in names if name in turns), key=lambda name: median(turns[name], field))


def spread(values, form="{:.1f}"):
    """Median and spread as text."""
    middle = statistics.median(values)
    return f"{form.format(middle)} ({form.format(min(values))}..{form.format(max(values))})"


def span(values, form=None):
    """Median, and the spread where the turns differ as far as is shown."""
    form = form or number
    least, middle, most = (form(value) for value in (min(values), statistics.median(values), max(values)))
    return middle if least == most else f"{middle} ({least}..{most})"


def whole(value):
    return f"{value:.0f}"


def number(value):
    if value >= 100:
        return f"{value:.0f}"
    return f"{value:.1f}" if value >= 10 else f"{value:.2f}"


class Section:
    """What one section prints, and writes to <out>/<name>.md with its pictures.

    runs: turns per figure. full: longer turns. marks_only: leave out what no mark needs. largest: with the most data that
    the machine bears.
    """

    def __init__(self, name, title, out, runs, full, marks_only, largest, marks):
        self.name, self.title, self.out = name, title, out
        self.runs, self.full, self.marks_only, self.largest, self._marks = runs, full, marks_only, largest, marks
        self._markdown = []

    def few_runs(self):
        """Turns of what takes long."""
        return min(self.runs, 3)

    # Text

    def dot(self):
        print(".", end="", file=sys.stderr, flush=True)

    def say(self, text):
        print(f"\n{text}", flush=True)
        self._markdown.append(text)

    def table(self, title, head, rows, overview=False):
        """Rows of text; printed with columns aligned, written as Markdown. overview: also for the page above the section's."""
        rows = [[str(cell) for cell in row] for row in rows]
        widths = [max(len(row[column]) for row in [head, *rows]) for column in range(len(head))]
        print(f"\n{title}", flush=True)
        for row in [head, *rows]:
            cells = [cell.ljust(width) if index == 0 else cell.rjust(width) for index, (cell, width) in enumerate(zip(row, widths))]
            print("  " + "  ".join(cells), flush=True)
        lines = [f"**{title}**", "", "| " + " | ".join(head) + " |", "|---" + "|---:" * (len(head) - 1) + "|"]
        lines += ["| " + " | ".join(cell.replace("|", "/") for cell in row) + " |" for row in rows]
        text = "\n".join(lines)
        self._markdown.append(OVERVIEW.format(text) if overview else text)

    def file(self, name, head, rows):
        """<out>/<name>.csv: what is too long for a table. rows: of text and numbers without commas."""
        with open(os.path.join(self.out, name + ".csv"), "w", encoding="utf-8") as file:
            file.writelines(",".join(str(cell) for cell in row) + "\n" for row in (head, *rows))
        self._markdown.append(f"Row by row: [{name}.csv]({name}.csv)")

    # Marks

    def mark(self, key, measured, met, why):
        """met: True, False or None (could not be measured). why: function that gives the reason as text; called when missed."""
        self._marks.note(key, measured, met, "" if met is not False else self._reason(why))

    @staticmethod
    def _reason(why):
        try:
            return why()
        except Exception as error:  # the mark itself was measured all the same
            return f"the reason could not be measured: {type(error).__name__}: {error}"[:300]

    # Pictures

    def picture(self, name, title, x, y, lines, logx=False, logy=False, xtics=None, events=(), bars=False):
        """lines: {label: [(x, y), ...] or [(x, y, least, most), ...]}; an SVG by gnuplot.

        xtics: gnuplot's, as '"label" x'. events: (x, text) of what happened there, as lines from bottom to top. bars: one
        cluster of boxes for each x, which are then labels.
        """
        data, plots = [], []
        for index, (label, points) in enumerate(lines.items()):
            block = "\n".join(" ".join(f'"{value}"' if isinstance(value, str) else str(value) for value in point) for point in points)
            data.append(f"$data{index} << end\n{block}\nend")
            quoted = label.replace('"', "'")
            if bars:
                plots.append(f'$data{index} using 2:xtic(1) title "{quoted}"')
            else:
                plots.append(f'$data{index} using 1:2 with linespoints pt 7 ps 0.4 lw 1.6 dt {1 + index // 8} title "{quoted}"')
        script = [
            "set encoding utf8", "set terminal svg size 860,540 font 'sans,13' background '#ffffff'",
            f"set output '{os.path.join(self.out, name + '.svg')}'", f'set title "{title}"', f'set xlabel "{x}"', f'set ylabel "{y}"',
            "set key below", "set grid ytics back lc rgb '#dddddd' lw 0.5", "set yrange [0:*]" if not logy else "set logscale y",
            *(["set logscale x"] if logx else []),
            *([f"set xtics ({', '.join(xtics)})"] if xtics else []),
            *(f"set arrow from {at}, graph 0 to {at}, graph 1 nohead lc rgb '#999999' dt 3" for at, _ in events),
            *(f'set label "{text}" at {at}, graph 0.98 right rotate by 90 offset 0.7,0 font "sans,10" textcolor rgb "#666666"'
              for at, text in events),
            *(["set style data histogram", "set style histogram clustered gap 1", "set style fill solid 0.8 noborder"] if bars else []),
            *data, "plot " + ", ".join(plots),
        ]
        subprocess.run(["gnuplot"], input="\n".join(script) + "\n", text=True, check=True)
        self._tidy(os.path.join(self.out, name + ".svg"))
        self._markdown.append(f"![{title}]({name}.svg)")

    @staticmethod
    def _tidy(path):
        with open(path, encoding="utf-8") as file:
            text = file.read()
        with open(path, "w", encoding="utf-8") as file:
            file.write(re.sub(r"[ \t]+\n", "\n", text))

    # The end

    def write(self, machine):
        with open(os.path.join(self.out, f"{self.name}.md"), "w", encoding="utf-8") as file:
            file.write(f"# {self.title}\n\nBy `tests/bench/run {self.name}`, {self.runs} turns per figure unless it says otherwise. {machine}\n\n")
            file.write("\n\n".join(self._markdown) + "\n")


# The nines of a latency curve as x: 90 % is 1, 99 % is 2.
CURVE_TICS = ['"50 %%" 0.301', '"75 %%" 0.602', '"90 %%" 1', '"95 %%" 1.301', '"99 %%" 2', '"99.5 %%" 2.301', '"99.9 %%" 3']


def curve(turns):
    """[(nines, us)] of the median curve of some turns."""
    import math
    points = []
    for index, (share, _) in enumerate(turns[0]["curve"]):
        if share >= 0.5:
            points.append((round(-math.log10(1 - share), 3), statistics.median(turn["curve"][index][1] for turn in turns)))
    return points


class Marks:
    """The marks of the benchmark, what was measured against them and why one was missed, kept in <out>/marks.json between runs."""

    def __init__(self, out, path):
        self._file, self._table = os.path.join(out, "marks.json"), os.path.join(out, "marks.md")
        self._noted = {}
        if os.path.exists(self._file):
            with open(self._file, encoding="utf-8") as file:
                self._noted = json.load(file)
        self._marks = list(self._read(path))

    @staticmethod
    def _read(path):
        """(key, what, bar) of each line "key | what | bar"."""
        with open(path, encoding="utf-8") as file:
            for line in file:
                if line.strip() and not line.startswith("#"):
                    yield tuple(cell.strip() for cell in line.split("|"))

    def note(self, key, measured, met, reason):
        if key not in [mark[0] for mark in self._marks]:
            raise KeyError(f"no mark {key}")
        self._noted[key] = {"measured": measured, "met": met, "reason": reason,
                             "when": f"{time.strftime('%Y-%m-%d %H:%M')}, load {os.getloadavg()[0]:.1f}"}
        with open(self._file, "w", encoding="utf-8") as file:
            json.dump(self._noted, file, indent=1)

    def _rows(self):
        words = {True: "met", False: "MISSED", None: "open"}
        for key, what, bar in self._marks:
            noted = self._noted.get(key, {"measured": "not measured", "met": None})
            reason = noted.get("reason", "nothing was counted of it in that run") if noted["met"] is False else ""
            yield what, bar, noted["measured"], words[noted["met"]], noted.get("when", ""), reason

    def show(self, machine):
        print("\nMarks: mark, measured, met or missed")
        for what, bar, measured, verdict, _when, reason in self._rows():
            print(f"  {verdict:<7} {what}: {bar}: {measured}" + (f"\n          {reason}" if reason else ""))
        with open(self._table, "w", encoding="utf-8") as file:
            file.write(f"# Marks\n\n{machine}\n\n{self.markdown()}")

    def markdown(self):
        rows = list(self._rows())
        table = "| what | mark | measured | | noted, load average |\n|---|---|---|---|---|\n" + "".join("| " + " | ".join(row[:5]) + " |\n" for row in rows)
        missed = "".join(f"- {self._full(row, rows)}: {bar}: {reason}.\n" for row in rows for _, bar, *_, reason in [row] if reason)
        return table + (f"\nWhat was counted of those that were missed, in the same run:\n\n{missed}" if missed else "")

    @staticmethod
    def _full(row, rows):
        """Its subject, where it only says "the same" in the table."""
        above = [each[0] for each in rows[:rows.index(row) + 1] if not each[0].startswith("the same")]
        return row[0].replace("the same", above[-1], 1) if row[0].startswith("the same") else row[0]
