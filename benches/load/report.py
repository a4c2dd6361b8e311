"""What the run prints: a line for each bar, with what was measured, the bar, and whether it is met;
then the machine, the programs, and how to repeat it."""

import textwrap
from dataclasses import dataclass

# Characters of each column.
WIDTHS = (3, 54, 44, 13, 12)


@dataclass
class Line:
    """A measured thing. `met` is None where there is no bar, or nothing could be measured."""

    bar: str
    what: str
    measured: str
    wanted: str = ""
    met: bool | None = None

    def verdict(self):
        """The last column."""
        if self.met is None:
            return "not measured" if self.wanted else ""
        return "met" if self.met else "NOT MET"


def at_least(bar, what, ratio, least, note=""):
    """A line whose median must reach a number."""
    return Line(bar, what, f"{ratio}{note}", f">= {least:g}", ratio.median >= least)


def at_most(bar, what, ratio, most, note=""):
    """A line whose median must not pass a number."""
    return Line(bar, what, f"{ratio}{note}", f"<= {most:g}", ratio.median <= most)


def print_line(line):
    """One row of the table."""
    _print(line.bar, line.what, line.measured, line.wanted, line.verdict())


def print_head():
    """The table's first rows."""
    _print("", "what", "median (lowest-highest)", "bar", "")
    print("-" * (sum(WIDTHS) + 2 * (len(WIDTHS) - 1)), flush=True)


def _print(*cells):
    """Long cells go on in the next rows."""
    folded = [textwrap.wrap(cell, width) or [""] for cell, width in zip(cells, WIDTHS)]
    for row in range(max(map(len, folded))):
        texts = [cell[row] if row < len(cell) else "" for cell in folded]
        print("  ".join(f"{text:<{width}}" for text, width in zip(texts, WIDTHS)).rstrip(), flush=True)
