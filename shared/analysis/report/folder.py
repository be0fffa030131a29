"""The folder of a report: written anew where `poc report` wrote it, never over anything else.

`report.json` says of what the report is and holds a digest of each file. A file that stands in the
way and is not as the digest says was made or changed by somebody, and is left alone.
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
    """`report`, or `report-2` and so on: the first that is free or a report on these folders.

    Args:
        folders: What the report is on, as given.
        root: Where it is written.
        note: Called with a sentence where it is not the first.

    Raises:
        UsageError: All names are taken.
    """
    for number in range(1, MAX_FOLDERS):
        output = root / (DEFAULT if number == 1 else f"{DEFAULT}-{number}")
        if is_free(output) or is_same_report(output, folders):
            if number > 1:
                note(f"{root / DEFAULT} holds something else and is left as it is; see {output}.")
            return output
    raise UsageError(
        f"received no --output, and {DEFAULT} and {DEFAULT}-2 to {DEFAULT}-{MAX_FOLDERS - 1} hold "
        "other things; name a folder with --output"
    )


def is_free(output: Path) -> bool:
    """Whether nothing is there, or an empty folder."""
    if output.is_symlink() or not output.is_dir():
        return not (output.is_symlink() or output.exists())
    return not any(output.iterdir())


def is_same_report(output: Path, folders: Sequence[Path]) -> bool:
    """Whether a report on these folders is there, as it was written."""
    marker = read_marker(output)
    is_same = marker.get("folders") == [str(folder) for folder in folders]
    return is_same and not find_foreign(output, noted_files(marker))


def read_marker(output: Path) -> dict[str, object]:
    """What an earlier `poc report` noted in the folder; empty where none did."""
    try:
        marker = read_json(output / MARKER)
    except (UsageError, OSError, ValueError):
        return {}
    is_ours = isinstance(marker, dict) and marker.get("format") == FORMAT
    return marker if is_ours and isinstance(marker.get("files"), dict) else {}


def noted_files(marker: Mapping[str, object]) -> Mapping[str, object]:
    """Name -> digest of what that `poc report` wrote."""
    files = marker.get("files")
    return files if isinstance(files, dict) else {}


def find_foreign(output: Path, names: Sequence[str] | Mapping[str, object]) -> list[str]:
    """Those of the names that are there and not as an earlier `poc report` wrote them."""
    written = noted_files(read_marker(output))
    return [
        name
        for name in names
        if os.path.lexists(output / name) and written.get(name) != digest_file(output / name)
    ]


def digest(content: bytes) -> str:
    """SHA-256."""
    return hashlib.sha256(content).hexdigest()


def write_report_folder(
    output: Path, contents: Mapping[str, str], folders: Sequence[Path], command: str
) -> list[str]:
    """Write each file whole, the marker last; returns the paths.

    Raises:
        UsageError: A file of another origin stands in the way, or the folder cannot be written.
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
    encoded[MARKER] = (json.dumps(facts, indent=1) + "\n").encode()
    return write_files(output, encoded)


def refuse_foreign(
    output: Path, names: Iterable[str], command: str = "report", option: str = "--output"
) -> None:
    """Refuse to write a report over what somebody else has made or changed.

    Args:
        output: Folder of the report.
        names: Files that would be written.
        command: That writes it.
        option: Of the command, which names the folder.

    Raises:
        UsageError: A file of another origin stands in the way.
    """
    foreign = find_foreign(output, [*names, *([] if read_marker(output) else [MARKER])])
    if foreign:
        raise UsageError(
            f"received the output {str(output)!r}, whose {', '.join(foreign)} no `poc {command}` "
            f"left as they are; name another folder with {option}, or move them away"
        )


def refuse_full(output: Path) -> None:
    """Refuse a folder that holds something and no report: data, a run, somebody's work.

    Raises:
        UsageError: It does, or it is no folder.
    """
    if is_free(output) or read_marker(output):
        return
    held = sorted(path.name for path in output.iterdir()) if output.is_dir() else []
    what = f"which holds {held[0]!r} and no report" if held else "which is no folder"
    raise UsageError(
        f"received the output {str(output)!r}, {what}; name another folder with --output"
    )


def write_files(output: Path, contents: Mapping[str, bytes]) -> list[str]:
    """Write each file whole; returns their paths.

    Raises:
        UsageError: The folder cannot be written.
    """
    try:
        output.mkdir(parents=True, exist_ok=True)
        for name, content in contents.items():
            write_bytes(output / name, content)
    except OSError as error:
        raise UsageError(
            f"received the output {str(output)!r}, which cannot be written ({error.strerror}); "
            "name a folder that you may write to"
        ) from None
    return [str(output / name) for name in contents]
