"""A stranger's walk: ``git clone``, ``make demo``, the first event. Measures it and draws the terminal.

    python -m bench.walk [REPOSITORY] [--svg docs/images/demo.svg]

Clones into a new folder with an empty HOME, runs the demo in a terminal of 118 × 30, stops it some seconds
after the scripted entrapment is on the screen, and prints how long each step took. The picture is drawn from
what was recorded: a screen for each change worth seeing, at its own pace but for waits, which are cut short.
"""

import argparse
import codecs
import fcntl
import os
import pty
import re
import select
import signal
import struct
import tempfile
import termios
import time
from dataclasses import dataclass, field
from html import escape
from pathlib import Path
from unicodedata import east_asian_width

COLUMNS, ROWS = 118, 30
STEPS = {
    "cloned": "done.",
    "uv installed": "setting up",
    "environment made": "console: http",
    "events are arriving": "opened ",
    "the entrapment is on the screen": "elevator.entrapment",
}
"""What is measured, and the words on the screen that end it."""
MOST_S = 900.0
STAY_S = 12.0
"""How long the demo goes on after the last step, for the picture."""
PAUSE_MOST_S = 1.2
"""Longer waits are cut to this in the picture."""
SCREENS_EVERY_S = 1.0
LAST_S = 6.0
QUIET_S = 0.05
"""For so long nothing is written once a screen is whole."""
COMMAND = "git clone {repository} zhiwei && cd zhiwei && make demo"
SHOWN = "git clone <this repository> zhiwei && cd zhiwei && make demo"

Cell = tuple[str, str]
Screen = tuple[tuple[Cell, ...], ...]
_SEQUENCE = re.compile(r"\x1b\[([?\d;]*)([A-Za-z])|\x1b[()][A-Z0-9]|\x1b\][^\x07]*\x07|\x1b.")
_COLOURS = {"30": "k", "31": "r", "32": "g", "33": "y", "34": "b", "35": "m", "36": "c", "37": "w", "90": "d"}


@dataclass(slots=True)
class Terminal:
    """As much of a terminal as pip, uv and rich use: lines, cursor up, erasing, colours, wide letters."""

    lines: list[list[Cell]] = field(default_factory=lambda: [[]])
    row: int = 0
    column: int = 0
    style: frozenset[str] = frozenset()

    def feed(self, text: str) -> None:
        """Take what a program wrote."""
        at = 0
        while at < len(text):
            if text[at] == "\x1b" and (found := _SEQUENCE.match(text, at)):
                self._do(found[1] or "", found[2] or "")
                at = found.end()
                continue
            self._put(text[at])
            at += 1

    def _put(self, letter: str) -> None:
        if letter == "\n":
            self._down()
        elif letter == "\r":
            self.column = 0
        elif letter >= " ":
            width = 2 if east_asian_width(letter) in "WF" else 1
            if self.column + width > COLUMNS:
                self._down()
                self.column = 0
            line = self.lines[self.row]
            line.extend([(" ", "")] * (self.column - len(line)))
            cells = [(letter, " ".join(sorted(self.style)))] + [("", "")] * (width - 1)
            line[self.column : self.column + width] = cells
            self.column += width

    def _down(self) -> None:
        self.row += 1
        if self.row == len(self.lines):
            self.lines.append([])

    def _do(self, numbers: str, what: str) -> None:
        count = int(numbers) if numbers.isdecimal() else 1
        if what == "A":
            self.row = max(0, len(self.lines) - ROWS, self.row - count)
        elif what == "B":
            for _ in range(count):
                self._down()
        elif what == "K":
            line = self.lines[self.row]
            del line[0 if numbers == "2" else self.column :]
        elif what == "G":
            self.column = count - 1
        elif what == "J":
            del self.lines[self.row + 1 :]
            del self.lines[self.row][self.column :]
        elif what == "m":
            for number in (numbers or "0").split(";"):
                self._style(number)

    def _style(self, number: str) -> None:
        if number in ("", "0"):
            self.style = frozenset()
        elif number == "1":
            self.style |= {"bold"}
        elif number == "2":
            self.style |= {"d"}
        elif number in _COLOURS:
            self.style = (self.style & {"bold"}) | {_COLOURS[number]}
        elif number == "39":
            self.style &= {"bold"}

    def screen(self) -> Screen:
        """What can be seen."""
        return tuple(tuple(line) for line in self.lines[-ROWS:])


@dataclass(slots=True)
class Walk:
    """What was recorded: (s since the start, what was written); and when each step was over."""

    said: list[tuple[float, str]] = field(default_factory=list)
    steps: dict[str, float] = field(default_factory=dict)


def record(repository: str, folder: Path) -> Walk:
    """Do it, in a folder of its own. Raises TimeoutError where the demo does not come to its point."""
    home = folder / "home"
    home.mkdir()
    child, terminal = pty.fork()
    if child == 0:
        os.chdir(folder)
        kept = {
            k: v for k, v in os.environ.items() if k not in ("VIRTUAL_ENV", "UV_CACHE_DIR", "PIP_CACHE_DIR")
        }
        environment = {
            **kept,
            "HOME": str(home),
            "TERM": "xterm-256color",
            "COLORTERM": "",
            "LC_ALL": "C.UTF-8",
        }
        os.execvpe("sh", ["sh", "-c", COMMAND.format(repository=repository)], environment)
    fcntl.ioctl(terminal, termios.TIOCSWINSZ, struct.pack("HHHH", ROWS, COLUMNS, 0, 0))
    walk, began, seen = Walk(), time.monotonic(), ""
    decode = codecs.getincrementaldecoder("utf-8")("replace").decode
    try:
        while (now := time.monotonic() - began) < MOST_S:
            if len(walk.steps) == len(STEPS) and now > max(walk.steps.values()) + STAY_S:
                return walk
            if not select.select([terminal], [], [], 0.2)[0]:
                continue
            try:
                text = decode(os.read(terminal, 1 << 16))
            except OSError:
                break  # it has ended
            walk.said.append((now, text))
            seen = seen[-200:] + text
            for step, word in STEPS.items():
                if word in seen:
                    walk.steps.setdefault(step, now)
        raise TimeoutError(f"not within {MOST_S:g} s: {[step for step in STEPS if step not in walk.steps]}")
    finally:
        os.write(terminal, b"\x03")  # as a person would
        _wait_for(child, terminal)


def _wait_for(child: int, terminal: int) -> None:
    """Read on, so that it can end, until it has."""
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline and os.waitpid(child, os.WNOHANG)[0] == 0:
        if select.select([terminal], [], [], 0.1)[0]:
            try:
                os.read(terminal, 1 << 16)
            except OSError:
                time.sleep(0.1)
    if time.monotonic() >= deadline:
        os.kill(child, signal.SIGKILL)


# ------------------------------------------------------------------ the picture


def screens(walk: Walk, folder: Path) -> list[tuple[float, Screen]]:
    """(how long it is shown, s; the screen), with nothing of this machine in them."""
    terminal = Terminal()
    terminal.feed(f"\x1b[1m$ {SHOWN}\x1b[0m\r\n")
    shots: list[tuple[float, Screen]] = [(0.0, terminal.screen())]
    for place, (at, text) in enumerate(walk.said):
        terminal.feed(text)
        if place + 1 < len(walk.said) and walk.said[place + 1][0] - at < QUIET_S:
            continue  # in the middle of drawing
        screen = _stripped(terminal.screen(), str(folder))
        if at - shots[-1][0] < SCREENS_EVERY_S and len(shots) > 1:
            shots[-1] = (shots[-1][0], screen)
        elif screen != shots[-1][1]:
            shots.append((at, screen))
    following = [at for at, _ in shots[1:]]
    lasting = [min(b - a, PAUSE_MOST_S) for (a, _), b in zip(shots, following, strict=False)] + [LAST_S]
    return [(seconds, screen) for seconds, (_, screen) in zip(lasting, shots, strict=True)]


def _stripped(screen: Screen, folder: str) -> Screen:
    """Without the folder; and without the password: void by now, but no picture should show one."""
    kept = []
    for line in screen:
        text = "".join(letter or "\0" for letter, _ in line)  # a cell each
        if text.startswith(_PASSWORD):
            kept.append((*line[: len(_PASSWORD)], *[("•", "") for _ in line[len(_PASSWORD) :]]))
        elif (at := text.find(folder)) >= 0:
            kept.append((*line[:at], ("…", line[at][1]), *line[at + len(folder) :]))
        else:
            kept.append(line)
    return tuple(kept)


_PASSWORD = "password, shown this once: "
WIDE, HIGH, EDGE = 7.83, 18, 14  # pixels: a letter of 13 px, a line, around
STYLE = """text{font:13px ui-monospace,Menlo,Consolas,"DejaVu Sans Mono","Noto Sans Mono CJK SC",monospace;
white-space:pre;fill:#d5dbe5}.bold{font-weight:700}.k{fill:#586273}.r{fill:#ff7b72}.g{fill:#7ee787}.y{fill:#e3b341}
.b{fill:#79b8ff}.m{fill:#d2a8ff}.c{fill:#76d9e6}.w{fill:#f0f3f8}.d{fill:#8b98ab}
.s{visibility:hidden}.z{visibility:visible}"""


def svg(shots: list[tuple[float, Screen]]) -> str:
    """One animated picture; where nothing moves, its last screen."""
    whole = sum(seconds for seconds, _ in shots)
    rules, groups, begun = [], [], 0.0
    kept: dict[tuple[Cell, ...], int] = {}
    for number, (seconds, screen) in enumerate(shots):
        start, end = 100 * begun / whole, 100 * (begun + seconds) / whole
        last = number == len(shots) - 1
        before = "0%{visibility:hidden}" if start else ""
        after = "" if last else f"{end:.3f}%,to{{visibility:hidden}}"
        rules.append(f"@keyframes f{number}{{{before}{start:.3f}%{{visibility:visible}}{after}}}")
        rules.append(f"#f{number}{{animation:f{number} {whole:.1f}s step-end infinite}}")
        groups.append(f'<g id="f{number}" class="{"z" if last else "s"}">{_lines(screen, kept)}</g>')
        begun += seconds
    width, height = COLUMNS * WIDE + 2 * EDGE, ROWS * HIGH + 2 * EDGE
    lines = "".join(_line(*one) for one in kept.items())
    said = "A terminal: make demo, from git clone to the first events"
    still = "@media (prefers-reduced-motion:reduce){.s,.z{animation:none!important}}"
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width:.0f} {height}" role="img" '
        f'aria-label="{said}"><style>{STYLE}{"".join(rules)}{still}</style>'
        f'<rect width="100%" height="100%" rx="8" fill="#121a26"/><defs>{lines}</defs>'
        f"{''.join(groups)}</svg>\n"
    )


def _lines(screen: Screen, kept: dict[tuple[Cell, ...], int]) -> str:
    """Each line by reference: most stand on many screens."""
    told = ""
    for number, line in enumerate(screen):
        if _runs(line):
            told += f'<use href="#l{kept.setdefault(line, len(kept))}" y="{EDGE + HIGH * number + 13}"/>'
    return told


def _line(line: tuple[Cell, ...], number: int) -> str:
    told = ""
    for column, text, style in _runs(line):
        # The length is said, so that a reader's own font keeps the columns.
        cells = sum(2 if east_asian_width(letter) in "WF" else 1 for letter in text)
        told += (
            f'<text x="{EDGE + column * WIDE:.1f}" textLength="{cells * WIDE:.1f}"'
            f"{f' class={chr(34)}{style}{chr(34)}' if style else ''}>{escape(text)}</text>"
        )
    return f'<g id="l{number}">{told}</g>'


def _runs(line: tuple[Cell, ...]) -> list[tuple[int, str, str]]:
    """(column, text, style) of what is written alike."""
    runs: list[tuple[int, str, str]] = []
    for column, (letter, style) in enumerate(line):
        if letter and runs and runs[-1][2] == style:
            runs[-1] = (runs[-1][0], runs[-1][1] + letter, style)
        elif letter:
            runs.append((column, letter, style))
    return [(column, text.rstrip(), style) for column, text, style in runs if text.strip()]


def main() -> None:
    """See the head of this file."""
    asked = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    asked.add_argument("repository", nargs="?", default=str(Path(__file__).parents[1]))
    asked.add_argument("--svg", type=Path, help="where to write the picture")
    options = asked.parse_args()
    with tempfile.TemporaryDirectory(prefix="zhiwei-walk-") as made:
        walk = record(options.repository, Path(made))
        for step, seconds in sorted(walk.steps.items(), key=lambda one: one[1]):
            print(f"{seconds:6.1f} s  {step}")
        if options.svg is not None:
            options.svg.write_text(svg(screens(walk, Path(made))), encoding="utf-8")
            print(f"{options.svg}: {options.svg.stat().st_size / 1024:.0f} KiB")


if __name__ == "__main__":
    main()
