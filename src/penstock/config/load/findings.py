"""What is found while a document is compiled: problems, doubts, and the files it names."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from pydantic import SecretStr

from penstock.config.load.document import Origin
from penstock.config.load.errors import Location, Problem

_SHORTEST_SECRET: Final = 16  # characters; 64 bits when they are hexadecimal digits


class Findings:
    """Collects problems, and reads secrets, for one document."""

    def __init__(self, origin: Origin) -> None:
        self._origin: Origin = origin
        self._problems: list[Problem] = []
        self._doubts: list[Problem] = []

    def wrong(self, at: Location, text: str) -> None:
        """Something in the document is wrong."""
        self._problems.append(Problem(at, text))

    def doubtful(self, at: Location, text: str) -> None:
        """Something in the document can run, and is hardly what was meant."""
        self._doubts.append(Problem(at, text))

    def warnings(self) -> tuple[str, ...]:
        """What is doubtful, with its places."""
        return tuple(self._origin.lines(self._doubts))

    @contextmanager
    def noting(self, at: Location) -> Iterator[None]:
        """A ValueError inside is something wrong at this place."""
        try:
            yield
        except ValueError as error:
            self.wrong(at, str(error))

    def raise_if_any(self) -> None:
        """Raises ConfigError when anything was wrong."""
        if self._problems:
            raise self._origin.error(self._problems)

    def path(self, text: str) -> Path:
        """A file that the document names, relative to the document's own directory."""
        return self._origin.directory / Path(text).expanduser()

    def secrets(
        self, at: Location, given: tuple[SecretStr, ...], file: str | None
    ) -> tuple[str, ...]:
        """The secrets given, or those in the lines of a file."""
        values = [secret.get_secret_value().strip() for secret in given]
        if file is not None:
            with self.noting(at):
                values += _lines(self.path(file))
        for number, value in enumerate(values, start=1):
            which = f"secret {number}" if len(values) > 1 else "the secret"
            if not value:
                self.wrong(
                    at,
                    f"{which} is empty; where it comes from an environment variable, that is empty "
                    "(without the key there is none)",
                )
            elif len(value) < _SHORTEST_SECRET:
                self.wrong(
                    at,
                    f"{which} has {len(value)} characters; at least {_SHORTEST_SECRET} are "
                    "needed (`openssl rand -hex 32` makes one)",
                )
            if not value.isprintable() or not value.isascii():
                self.wrong(at, f"{which} holds characters other than printable ASCII")
        return tuple(values)


def _lines(path: Path) -> list[str]:
    try:
        text = path.read_text("utf-8")
    except OSError as error:
        raise ValueError(f"{path} cannot be read: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise ValueError(f"{path} is not text") from error
    found = [line.strip() for line in text.splitlines() if line.strip()]
    if not found:
        raise ValueError(f"{path} is empty")
    return found
