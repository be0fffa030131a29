"""Try the built wheel as a user would: a fresh environment, an unrelated folder.

Usage: python tests/helpers/commands/try_wheel.py DIST_FOLDER [--empty]    (`make wheel` calls it)

The wheel alone is installed. What it depends on is seen through a .pth line that names the
site-packages of the running interpreter, so that no framework is downloaded again. Editable
installs there stay invisible: .pth files of a folder added in this way are not read.

With --empty (`make release`) nothing is seen: pip installs the wheel and what it declares, and no
framework, so that a dependency that is used and not declared shows.
"""

import os
import subprocess
import sys
import sysconfig
import tempfile
import venv
import zipfile
from pathlib import Path

COMMANDS = (["--help"], ["models", "list"])
# They read data, configs and settings, and need no framework.
CORE_COMMANDS = (
    ["--version"],
    ["config", "list"],
    ["config", "init"],
    ["config", "keys"],
    ["data", "describe", "embedded"],
    ["models", "summary", "lightnet_plain"],
)
# Names that exist at the top level of a checkout and must not exist beside an installed poc.
BARE_NAMES = ("cli", "shared", "tf_impl", "torch_impl", "configs", "tests")
CHECK_NAMES = f"""
import importlib.resources, importlib.util, sys
import poc
leaked = [name for name in {BARE_NAMES!r} if importlib.util.find_spec(name)]
assert not leaked, f"importable beside poc: {{leaked}}"
assert poc.__file__.startswith(sys.prefix), f"not the installed poc: {{poc.__file__}}"
configs = [path.name for path in importlib.resources.files("poc.configs").iterdir()]
assert [name for name in configs if not name.startswith("__")], "the wheel holds no config"
typed = importlib.resources.files("poc").joinpath("py.typed").is_file()
assert typed, "type checkers would take every name of poc for Any"
"""


def the_wheel(dist: Path) -> Path:
    """The one wheel of the folder; it must hold the package and its metadata only."""
    (wheel,) = dist.glob("poc-*.whl")
    with zipfile.ZipFile(wheel) as archive:
        tops = {name.split("/")[0] for name in archive.namelist()}
    strays = [top for top in tops if top != "poc" and not top.endswith(".dist-info")]
    assert not strays, f"{wheel.name} holds {strays} beside the package"
    return wheel


def install(wheel: Path, place: Path, *, is_empty: bool) -> Path:
    """Make an environment in `place`, install the wheel into it, return its bin folder."""
    venv.create(place, with_pip=True)
    scripts = place / ("Scripts" if os.name == "nt" else "bin")
    paths = {"base": str(place), "platbase": str(place)}
    site_packages = Path(sysconfig.get_path("purelib", vars=paths))
    pip = [scripts / "python", "-m", "pip", "--disable-pip-version-check", "install", "--quiet"]
    if is_empty:
        subprocess.run([*pip, wheel], check=True)
        return scripts
    subprocess.run([*pip, "--no-deps", "--no-index", wheel], check=True)
    dependencies = sysconfig.get_path("purelib")
    (site_packages / "dependencies.pth").write_text(f"{dependencies}\n", encoding="utf-8")
    return scripts


def refuse_a_framework(scripts: Path, elsewhere: Path, environment: dict[str, str]) -> None:
    """Without a framework a run is refused, and the message names the extra to install."""
    done = subprocess.run(
        [scripts / "poc", "run", "--backend", "tf"],
        cwd=elsewhere, env=environment, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 2, f"exit code {done.returncode} of a run without a framework"
    assert "pip install 'poc[tf]'" in done.stderr, done.stderr


def main(dist: str, *options: str) -> None:
    is_empty = "--empty" in options
    wheel = the_wheel(Path(dist).resolve())
    with tempfile.TemporaryDirectory() as folder:
        scripts = install(wheel, Path(folder) / "environment", is_empty=is_empty)
        elsewhere = Path(folder) / "elsewhere"
        elsewhere.mkdir()
        environment = {key: value for key, value in os.environ.items() if key != "PYTHONPATH"}
        for arguments in (*COMMANDS, *(CORE_COMMANDS if is_empty else ())):
            command = [scripts / "poc", *arguments]
            subprocess.run(
                command, cwd=elsewhere, env=environment, check=True, stdout=subprocess.DEVNULL
            )
        if is_empty:
            refuse_a_framework(scripts, elsewhere, environment)
        command = [scripts / "python", "-c", CHECK_NAMES]
        subprocess.run(command, cwd=elsewhere, env=environment, check=True)
        assert not list(elsewhere.iterdir()), "a listing command wrote into the working folder"
    print(f"{wheel.name}: installs and works outside the checkout")


if __name__ == "__main__":
    main(*sys.argv[1:])
