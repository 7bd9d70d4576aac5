"""Makes an environment for each client, away from the project's own; what cannot be had says why.

    python tests/clients/install.py build/clients [NAME ...]

Versions are those that the tests were written with. Of each, ``NAME/installed`` says what it was
made of, or ``NAME/failed`` why it is not there.
"""

import subprocess
import sys
import venv
from pathlib import Path
from typing import Final

REQUIREMENTS: Final[dict[str, tuple[str, ...]]] = {
    "aiperf": ("aiperf==0.13.0",),
    # PyPI's newest torch is one for NVIDIA's cards, of several gigabytes.
    "guidellm": ("guidellm==0.8.1", "torch==2.13.0"),
    "langchain": (
        "langchain-anthropic==1.7.10",
        "langchain-ollama==1.1.0",
        "langchain-openai==1.7.4",
    ),
    "llama_index": (
        "llama-index-embeddings-openai==0.7.0",
        "llama-index-llms-openai==0.8.3",
        "llama-index-llms-openai-like==0.8.1",
    ),
    "locust": ("locust==2.47.0",),
}
_TIMEOUT_S: Final = 1200


def main() -> None:
    """Those that are named, or all."""
    folder, *names = sys.argv[1:]
    for name in names or REQUIREMENTS:
        made = install(Path(folder, name), REQUIREMENTS[name])
        print(f"{name}: {made}")


def install(folder: Path, requirements: tuple[str, ...]) -> str:
    """What came of it, in words."""
    wanted = "\n".join(requirements)
    installed, failed = folder / "installed", folder / "failed"
    if installed.exists() and installed.read_text() == wanted:
        return "installed"
    venv.create(folder, clear=True, with_pip=True)
    pip = [str(folder / "bin/python"), "-m", "pip", "--quiet", "--disable-pip-version-check"]
    command = [*pip, "install", "--no-compile", "--only-binary", ":all:", *requirements]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=_TIMEOUT_S)
        why = done.stderr.strip().rpartition("\n")[2] if done.returncode else ""
    except subprocess.TimeoutExpired:
        why = f"took more than {_TIMEOUT_S} s"
    if why:
        failed.write_text(why)
        return f"cannot be installed: {why}"
    installed.write_text(wanted)
    return "installed"


if __name__ == "__main__":
    main()
