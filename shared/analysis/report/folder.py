"""The folder of a report: `poc report` overwrites its own files and nothing else.

`report.json` names the folders of the report and holds a digest of each file. An existing file that
does not match its digest was made or changed by somebody else, and is never overwritten.
"""

import hashlib
import json
import os
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path

from poc.shared.errors import UsageError
from poc.shared.files.collisions import digest_file
from poc.shared.files.whole import read_json, write_bytes

MARKER = "report.json"
FORMAT = "poc report 1"
DEFAULT = "report"
MAX_FOLDERS = 1000


def choose_output(
    folders: Sequence[Path], root: Path = Path(), *, note: Callable[[str], None]
) -> Path:
    """Choose `report`, or `report-2` and so on: the first that is free or a report on `folders`.

    Args:
        folders: Run folders and sweeps of the report, as the user gave them.
        root: Folder in which the report's folder is written.
        note: Called with a sentence if the choice is not `report`.

    Raises:
        UsageError: All names are taken.
    """
    for number in range(1, MAX_FOLDERS):
        output = root / (DEFAULT if number == 1 else f"{DEFAULT}-{number}")
        if is_free(output) or is_same_report(output, folders):
            if number > 1:
                note(f"{root / DEFAULT} holds other files and stays unchanged; see {output}.")
            return output
    raise UsageError(
        f"Got no --output, and {DEFAULT} and {DEFAULT}-2 to {DEFAULT}-{MAX_FOLDERS - 1} hold other "
        "files. Expected a free folder. Try naming one with --output."
    )


def is_free(output: Path) -> bool:
    """Return whether the path does not exist or is an empty folder, and is no link."""
    if output.is_symlink() or not output.is_dir():
        return not (output.is_symlink() or output.exists())
    return not any(output.iterdir())


def is_same_report(output: Path, folders: Sequence[Path]) -> bool:
    """Return whether the folder holds a report on these folders that nobody has changed."""
    marker = read_marker(output)
    is_same = marker.get("folders") == [str(folder) for folder in folders]
    return is_same and not find_foreign(output, noted_files(marker))


def read_marker(output: Path) -> dict[str, object]:
    """Read `report.json` of an earlier `poc report`; empty if there is none."""
    try:
        marker = read_json(output / MARKER)
    except (UsageError, OSError, ValueError):
        return {}
    is_ours = isinstance(marker, dict) and marker.get("format") == FORMAT
    return marker if is_ours and isinstance(marker.get("files"), dict) else {}


def noted_files(marker: Mapping[str, object]) -> Mapping[str, object]:
    """Return the files that this `poc report` wrote: name -> digest."""
    files = marker.get("files")
    return files if isinstance(files, dict) else {}


def find_foreign(output: Path, names: Sequence[str] | Mapping[str, object]) -> list[str]:
    """List the names that exist in the folder and differ from what `poc report` wrote there."""
    written = noted_files(read_marker(output))
    return [
        name
        for name in names
        if os.path.lexists(output / name) and written.get(name) != digest_file(output / name)
    ]


def digest(content: bytes) -> str:
    """Return the SHA-256 of some bytes, in hexadecimal digits."""
    return hashlib.sha256(content).hexdigest()


def write_report_folder(
    output: Path, contents: Mapping[str, str], folders: Sequence[Path], command: str
) -> list[str]:
    """Write each file of a report and return the paths.

    Args:
        output: Folder of the report.
        contents: File name -> text.
        folders: Run folders and sweeps of the report.
        command: Command line that writes the report.

    Raises:
        UsageError: A file of another origin is in the way, or the folder cannot be written.
    """
    refuse_foreign(output, contents)
    encoded = {name: text.encode("utf-8", errors="replace") for name, text in contents.items()}
    facts = {
        "format": FORMAT,
        "command": command,
        "written": time.strftime("%Y-%m-%d %H:%M:%S %z"),
        "folders": [str(folder) for folder in folders],
        "files": {name: digest(content) for name, content in encoded.items()},
    }
    # Last: until all files are complete, the folder does not claim to hold this report.
    encoded[MARKER] = (json.dumps(facts, indent=1) + "\n").encode()
    return write_files(output, encoded)


def refuse_foreign(
    output: Path, names: Iterable[str], command: str = "report", option: str = "--output"
) -> None:
    """Refuse to write a report over what somebody else has made or changed.

    Args:
        output: Folder of the report.
        names: Files that would be written.
        command: The `poc` command that writes the report.
        option: The option of this command that names the folder.

    Raises:
        UsageError: A file of another origin is in the way.
    """
    foreign = find_foreign(output, [*names, *([] if read_marker(output) else [MARKER])])
    if foreign:
        raise UsageError(
            f"Got the output {str(output)!r}, where `poc {command}` did not write these files, or "
            f"somebody changed them: {', '.join(foreign)}. Expected a new folder or an unchanged "
            f"report. Try another folder with {option}, or move the files away."
        )


def refuse_full(output: Path) -> None:
    """Refuse a folder that holds files but no report: data, a run, somebody's work.

    Raises:
        UsageError: The folder holds such files, or the path is not a folder.
    """
    if is_free(output) or read_marker(output):
        return
    held = sorted(path.name for path in output.iterdir()) if output.is_dir() else []
    what = f"which holds {held[0]!r} and no report" if held else "which is not a folder"
    raise UsageError(
        f"Got the output {str(output)!r}, {what}. Expected a new folder, an empty one or a report. "
        "Try another folder with --output."
    )


def write_files(output: Path, contents: Mapping[str, bytes]) -> list[str]:
    """Write each file atomically and return their paths.

    Raises:
        UsageError: The folder cannot be written.
    """
    try:
        output.mkdir(parents=True, exist_ok=True)
        for name, content in contents.items():
            write_bytes(output / name, content)
    except OSError as error:
        raise UsageError(
            f"Got the output {str(output)!r}, which cannot be written ({error.strerror}). Expected "
            "a folder that you may write to. Try ~/report, in your home."
        ) from None
    return [str(output / name) for name in contents]
