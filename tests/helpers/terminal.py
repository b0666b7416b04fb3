"""A small terminal emulator: what a program left on the screen."""

import re

CONTROL = re.compile(r"\x1b\[(\??[0-9;]*)([A-Za-z])|(\r)|(\n)|([^\x1b\r\n]+)")


class Screen:
    """Lines of text, the cursor, and whether the cursor is visible."""

    def __init__(self, output: str):
        self.lines, self.row, self.column, self.cursor_visible = [""], 0, 0, True
        end = 0
        for match in CONTROL.finditer(output):
            assert match.start() == end, f"unknown control sequence {output[end : end + 10]!r}"
            end = match.end()
            argument, command, carriage_return, newline, text = match.groups()
            if text:
                line = self.lines[self.row].ljust(self.column)
                self.lines[self.row] = line[: self.column] + text + line[self.column + len(text) :]
                self.column += len(text)
            elif newline:
                self.row += 1
                self.lines += [""] * (self.row - len(self.lines) + 1)
                self.column = 0  # as a terminal's line discipline does
            elif carriage_return:
                self.column = 0
            elif command == "A":
                self.row -= int(argument or 1)
            elif command == "K":
                self.lines[self.row] = "" if argument == "2" else self.lines[self.row][: self.column]
            elif argument == "?25":
                self.cursor_visible = command == "h"
            else:
                assert command == "m", f"unknown control sequence {match.group()!r}"

    @property
    def text(self) -> list[str]:
        lines = [line.rstrip() for line in self.lines]
        while lines and not lines[-1]:
            lines.pop()
        return lines
