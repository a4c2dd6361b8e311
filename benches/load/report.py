"""The output of the run: for each bar a line with the result, the bar, and whether it is met; then the machine,
the programs, and the command that repeats the run."""

import textwrap
from dataclasses import dataclass

# Width of each column in characters.
WIDTHS = (3, 54, 44, 13, 12)


@dataclass
class Line:
    """A result. `met` is None without a bar, and if the measurement was not possible."""

    bar: str
    what: str
    measured: str
    wanted: str = ""
    met: bool | None = None

    def verdict(self):
        """Returns the last column."""
        if self.met is None:
            return "not measured" if self.wanted else ""
        return "met" if self.met else "NOT MET"


def at_least(bar, what, ratio, least, note=""):
    """Returns a line whose median must be at least a number."""
    return Line(bar, what, f"{ratio}{note}", f">= {least:g}", ratio.median >= least)


def at_most(bar, what, ratio, most, note=""):
    """Returns a line whose median must be at most a number."""
    return Line(bar, what, f"{ratio}{note}", f"<= {most:g}", ratio.median <= most)


def print_line(line):
    """Returns one row of the table."""
    _print(line.bar, line.what, line.measured, line.wanted, line.verdict())


def print_head():
    """Returns the head of the table."""
    _print("", "what", "median (lowest-highest)", "bar", "")
    print("-" * (sum(WIDTHS) + 2 * (len(WIDTHS) - 1)), flush=True)


def _print(*cells):
    """Wraps long cells into the next rows."""
    folded = [textwrap.wrap(cell, width) or [""] for cell, width in zip(cells, WIDTHS)]
    for row in range(max(map(len, folded))):
        texts = [cell[row] if row < len(cell) else "" for cell in folded]
        print("  ".join(f"{text:<{width}}" for text, width in zip(texts, WIDTHS)).rstrip(), flush=True)
