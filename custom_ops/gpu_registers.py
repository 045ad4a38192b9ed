"""Converts ptxas messages on standard input to rows of a Markdown table, one per kernel."""

import re
import sys

ENTRY = re.compile(r"entry function '\S*?(Product|Gradient)KernelI([fd])Li(\d+)E\S*' for '(\w+)'")
SPILLS = re.compile(r"(\d+) bytes spill stores, (\d+) bytes spill loads")
REGISTERS = re.compile(r"Used (\d+) registers")
TYPES = {"f": "float", "d": "double"}


def main() -> None:
    """Reads the messages and prints the sorted rows."""
    rows, kernel, spills = [], None, None
    for line in sys.stdin:
        if match := ENTRY.search(line):
            name, letter, columns, architecture = match.groups()
            kernel = architecture, name.lower(), TYPES[letter], int(columns)
        elif match := SPILLS.search(line):
            spills = match.groups()
        elif kernel and (match := REGISTERS.search(line)):
            rows.append((*kernel, int(match[1]), *map(int, spills)))
            kernel = None
    if not rows:
        sys.exit("the input has no ptxas message of a kernel; compile with --ptxas-options=-v")
    for row in sorted(rows):
        print("| " + " | ".join(map(str, row)) + " |")


if __name__ == "__main__":
    main()
