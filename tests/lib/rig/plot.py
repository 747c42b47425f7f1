"""Curves over time as an SVG file, without any library."""
from html import escape

_WIDTH, _HEIGHT, _LEFT, _TOP, _GAP = 1000, 130, 80, 30, 34
_COLOURS = ("#1b6ca8", "#c0392b", "#27864a", "#8e44ad", "#b9770e", "#555555")


class Panel:
    """title, unit, and curves: name -> [(seconds, value)]."""

    def __init__(self, title, unit, curves):
        self.title, self.unit, self.curves = title, unit, curves

    @property
    def top(self):
        return max((value for points in self.curves.values() for _, value in points), default=0) or 1


def write(path, title, panels, marks, length):
    """marks: [(seconds, text)], drawn as lines through all panels."""
    height = _TOP + len(panels) * (_HEIGHT + _GAP) + 10
    out = [f'<svg xmlns="http://www.w3.org/2000/svg" width="{_LEFT + _WIDTH + 20}" height="{height}" '
           'font-family="sans-serif" font-size="11">', '<rect width="100%" height="100%" fill="white"/>',
           f'<text x="{_LEFT}" y="16" font-size="14">{escape(title)}</text>']
    for number, panel in enumerate(panels):
        out += _panel(panel, _TOP + number * (_HEIGHT + _GAP), marks, length)
    with open(path, "w") as file:
        file.write("\n".join(out + ["</svg>"]) + "\n")


def _x(seconds, length):
    return _LEFT + _WIDTH * min(1.0, seconds / length)


def _panel(panel, y, marks, length):
    bottom, top = y + _HEIGHT, panel.top
    out = [f'<text x="{_LEFT}" y="{y + 10}">{escape(panel.title)}</text>',
           f'<rect x="{_LEFT}" y="{y + 14}" width="{_WIDTH}" height="{_HEIGHT - 14}" fill="none" stroke="#ccc"/>',
           f'<text x="{_LEFT - 6}" y="{y + 24}" text-anchor="end">{top:.4g} {escape(panel.unit)}</text>',
           f'<text x="{_LEFT - 6}" y="{bottom}" text-anchor="end">0</text>',
           f'<text x="{_LEFT + _WIDTH}" y="{bottom + 12}" text-anchor="end">{length:.0f} s</text>']
    for seconds, text in marks:
        at = _x(seconds, length)
        out.append(f'<line x1="{at:.1f}" y1="{y + 14}" x2="{at:.1f}" y2="{bottom}" stroke="#e3a8a0" stroke-width="0.7">'
                   f'<title>{escape(text)}</title></line>')
    for number, (name, points) in enumerate(panel.curves.items()):
        colour = _COLOURS[number % len(_COLOURS)]
        line = " ".join(f"{_x(at, length):.1f},{bottom - (_HEIGHT - 16) * value / top:.1f}" for at, value in points)
        out.append(f'<polyline points="{line}" fill="none" stroke="{colour}"/>')
        out.append(f'<text x="{_LEFT + 260 + 150 * number}" y="{y + 10}" fill="{colour}">{escape(name)}</text>')
    return out
