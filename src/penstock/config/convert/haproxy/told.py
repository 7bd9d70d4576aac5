"""Which lines have their counterpart, and which are left out."""

from penstock.config.convert.haproxy.reader import Line, Section, seconds
from penstock.config.convert.haproxy.words import ACCESS, NEEDLESS, OPTIONS_LEFT, WHY
from penstock.config.convert.outcome import Kind, LeftOut, Outcome


class Told:
    """Whatever is not taken is told as left out."""

    def __init__(self, outcome: Outcome) -> None:
        self.outcome = outcome
        self._taken: set[Line] = set()
        self._left: set[Line] = set()

    def take(self, *lines: Line) -> None:
        """They have their counterpart in the document."""
        self._taken.update(lines)

    def leave(self, line: Line, why: str, kind: Kind | None = None) -> None:
        """It has none, for that reason."""
        if line not in self._left:
            self._left.add(line)
            kind = kind or ("access" if is_access(line) else "part")
            self.outcome.left_out.append(LeftOut(line.file, line.number, line.text, why, kind))

    def lines(self, section: Section, *keywords: str) -> list[Line]:
        """Its own of these, taken."""
        found = section.of(*keywords)
        self.take(*found)
        return found

    def all_lines(self, section: Section, keyword: str) -> list[Line]:
        """Those of its defaults, then its own, taken."""
        inherited = self.lines(section.defaults, keyword) if section.defaults else []
        return [*inherited, *self.lines(section, keyword)]

    def nearest(self, section: Section, keyword: str) -> Line | None:
        """Its own last one, or else its defaults'."""
        found = self.all_lines(section, keyword)
        return found[-1] if found else None

    def timeout(self, section: Section, name: str) -> float | None:
        """Seconds, where it is set."""
        found: float | None = None
        for each in [*(section.defaults.lines if section.defaults else ()), *section.lines]:
            if each.begins("timeout", name) and len(each.args) > 2:
                self.take(each)
                found = seconds(each.args[2])
        return found

    def nearest_option(self, section: Section, name: str) -> Line | None:
        """Where an option is turned on, and not off again."""
        found: Line | None = None
        for each in [*(section.defaults.lines if section.defaults else ()), *section.lines]:
            if each.begins("option", name):
                self.take(each)
                found = each
            elif each.begins("no", "option", name):
                self.take(each)
                found = None
        return found

    def tell_rest(self, section: Section) -> None:
        """Everything in it that was not taken."""
        for line in section.lines:
            if line in self._taken or line in self._left:
                continue
            if is_access(line):
                self.leave(line, "it says who may pass", "access")
            elif line.begins("option") and line.args[1] in OPTIONS_LEFT:
                self.leave(line, OPTIONS_LEFT[line.args[1]])
            elif line.keyword in NEEDLESS or line.begins("no", "option") or _tunes(line):
                self.leave(line, "nothing here needs it", "needless")
            else:
                self.leave(line, WHY.get(line.keyword, "it has no counterpart that was found"))


def is_access(line: Line) -> bool:
    """Whether it says who may pass, or guards."""
    if line.begins("http-request", "return"):
        return (line.after("status") or "").startswith("4")
    return any(line.begins(*words) for words in ACCESS)


def _tunes(line: Line) -> bool:
    return line.keyword.startswith("tune.") or line.keyword == "timeout"
