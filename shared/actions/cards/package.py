"""`poc package`: one zip file with a trained network, its exports, its card and its licences.

Equal run folders give equal bytes: exports are written once and used again.
"""

import hashlib
import json
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path

from poc.shared.actions.exports.companions import name_script, write_script
from poc.shared.actions.exports.description import describe_licence
from poc.shared.actions.exports.export import export_run, refuse_foreign_files
from poc.shared.actions.weights.of_run import convert_run
from poc.shared.engine.backend import missing_packages
from poc.shared.engine.console.work_count import Report, WorkCount, noting, unheard
from poc.shared.engine.export.runtimes import FORMATS, find_format, open_file
from poc.shared.engine.folder.decision import digest_checkpoint, read_decision
from poc.shared.engine.folder.own_files import is_noted
from poc.shared.engine.folder.record import RunRecord
from poc.shared.engine.folder.run_folder import RunFolder
from poc.shared.errors import UsageError
from poc.shared.files.archives import write_zip
from poc.shared.files.collisions import digest_file, refuse_existing
from poc.shared.files.whole import finite
from poc.shared.spec.suggestions import likeliest

from .card import compose
from .subject import Subject

PRECISION = "float32"
CARD, WEIGHTS, SUMS = "README.md", "weights.safetensors", "SHA256SUMS"
LICENCE, WEIGHTS_LICENCE = "LICENSE.txt", "WEIGHTS_LICENCE.txt"
Members = dict[str, Path | bytes]


@dataclass(frozen=True, kw_only=True)
class Package:
    """A package that was written.

    Attributes:
        folder: Run folder.
        output: The zip file.
        sha256: Its digest.
        files: Name -> SHA-256 of each file in it, without that of the sums.
        exported: Formats that were exported for it; others were there.
    """

    folder: str
    output: str
    sha256: str
    files: Mapping[str, str]
    exported: Sequence[str]


def package_run(
    folder: Path,
    output: Path | None,
    *,
    formats: Sequence[str] = (),
    data: str | None = None,
    report: Report = unheard,
) -> Package:
    """Write the package of a run.

    Args:
        folder: Run folder.
        output: New zip file.
        formats: Formats of the exported files; none: all that this machine can write.
        data: New place of the run's data, which a new export is checked on; none: the recorded one.
        report: Called with progress events, and with each sentence for the user.

    Raises:
        UsageError: As `read_trained` and `export_run`; there is no output, or it exists.
        CheckFailed: As `export_run`.
    """
    target = check_output(output)
    subject = Subject.read(folder, noting(report))
    chosen = choose_formats(formats, report)
    old = [name for name in chosen if find_export(folder, subject.record, name)]
    new = [name for name in chosen if name not in old]
    for name in new:
        refuse_foreign_files(export_path(folder, name), folder, name)
    if new:
        # Refused here rather than after a first export.
        subject.record.locate(data)
    for name in new:
        export_run(folder, file_format=name, data=data, report=report)
    WorkCount(report, "writing the package")
    with tempfile.TemporaryDirectory() as scratch:
        members = collect(subject, chosen, Path(scratch))
        sums = {name: digest(content) for name, content in members.items()}
        members[SUMS] = "".join(f"{value}  {name}\n" for name, value in sums.items()).encode()
        write_package(target, members)
    return Package(
        folder=str(folder),
        output=str(target),
        sha256=digest_file(target),
        files=sums,
        exported=new,
    )


def write_package(target: Path, members: Members) -> None:
    """Write the zip file.

    Raises:
        UsageError: It cannot be written.
    """
    try:
        write_zip(target, members)
    except OSError as error:
        raise UsageError(
            f"Got --output {str(target)!r}, which cannot be written ({error.strerror}). Expected a "
            "folder that you may write to, with room for the package. Try another folder."
        ) from None


def check_output(output: Path | None) -> Path:
    """Return the path of the package.

    Raises:
        UsageError: There is none, it exists, or its folder does not.
    """
    if output is None:
        raise UsageError(
            "Got no --output. Expected the path of a new zip file. Try --output package.zip."
        )
    if output.suffix != ".zip":
        raise UsageError(
            f"Got --output {str(output)!r}. Expected a name that ends in .zip. Try --output "
            f"{output.with_suffix('.zip').name or 'package.zip'}."
        )
    refuse_existing(output, "--output")
    if not output.parent.is_dir():
        raise UsageError(
            f"Got --output {str(output)!r}, whose folder does not exist. Expected a folder that "
            f"exists. Try mkdir -p {str(output.parent)!r}."
        )
    return output


def choose_formats(wanted: Sequence[str], report: Report) -> list[str]:
    """Return the formats that this machine can write, or the wanted ones.

    Raises:
        UsageError: A wanted format cannot be written here, or none can.
    """
    for name in wanted:
        find_format(name)
        if missing := missing_packages(FORMATS[name].backend):
            others = [other for other in FORMATS if is_writable(other)]
            advice = f", or --format {likeliest(name, others)}" if others else ""
            raise UsageError(
                f"Got --format {name}, which needs {' and '.join(missing)}, not installed here. "
                f"Expected an installed framework. Try pip install 'poc[{FORMATS[name].backend}]'"
                f"{advice}."
            )
    if wanted:
        return list(dict.fromkeys(wanted))
    found = [name for name in FORMATS if is_writable(name)]
    if not found:
        raise UsageError(
            "Got a machine that can write no exported file. Expected a framework and the modules "
            "of one format. Try pip install 'poc[torch,export]'."
        )
    for name in FORMATS.keys() - set(found):
        noting(report)(f"The package has no {name} file: this machine lacks what writes it.")
    return found


def is_writable(file_format: str) -> bool:
    """Tell if this machine has the framework and the modules of a format."""
    try:
        return not missing_packages(find_format(file_format).backend)
    except UsageError:
        return False


def export_path(folder: Path, file_format: str) -> Path:
    """Return the place of the export in the run folder."""
    return folder / "exports" / f"{PRECISION}.{file_format}"


def find_export(folder: Path, record: RunRecord, file_format: str) -> bool:
    """Tell if the run has this export already, of its present weights and its present decision."""
    path = export_path(folder, file_format)
    rows = [row for row in RunFolder(folder).exports.own() if is_current(row, folder, record)]
    return is_noted(path, rows)


def is_current(row: Mapping[str, object], folder: Path, record: RunRecord) -> bool:
    """Tell if an entry of `exports.json` is of the run's present weights and decision."""
    decision = read_decision(folder, record.class_names)
    wanted = finite(decision.summary()) if decision else None
    weights = row.get("checkpoint_sha256")
    return weights == digest_checkpoint(folder) and row.get("decision") == wanted


def collect(subject: Subject, formats: Sequence[str], scratch: Path) -> Members:
    """Return the members of the package, in their order.

    Args:
        subject: The run.
        formats: Formats of its exported files.
        scratch: Empty folder.
    """
    folder = subject.record.folder
    weights = scratch / WEIGHTS
    # A run may keep its frozen tensors in a file of their own; this one is complete.
    convert_run(folder, weights)
    members: Members = {CARD: compose(subject, formats).encode()}
    members |= dict(list_exports(folder, formats))
    members[WEIGHTS] = weights
    members[WEIGHTS_LICENCE] = f"{describe_licence(folder, subject.spec)}\n".encode()
    members[LICENCE] = read_licence()
    return members


def list_exports(folder: Path, formats: Sequence[str]) -> Iterator[tuple[str, Path | bytes]]:
    """Yield each exported file, its description and its script, with their names."""
    for name in formats:
        path = export_path(folder, name)
        yield path.name, path
        # From the file itself: the one next to it may describe another export.
        known = open_file(path).metadata
        yield f"preprocess_{name}.json", known.encode()
        yield name_script(name), write_script(name, json.loads(known)["interpolation"]).encode()


def read_licence() -> bytes:
    """Return the licence of poc, which wrote the scripts, after a line about them."""
    lead = "The scripts and the text of this package were written by poc, under this licence:\n\n"
    return (lead + read_licence_text()).encode()


def read_licence_text() -> str:
    """Return the text of poc's licence, from the installed package or from the checkout."""
    try:
        text = distribution("poc").read_text("licenses/LICENSE")
    except PackageNotFoundError:
        text = None
    return text or (Path(__file__).parents[3] / "LICENSE").read_text(encoding="utf-8")


def digest(content: Path | bytes) -> str:
    """Return the SHA-256 of a file or of bytes."""
    if isinstance(content, Path):
        return digest_file(content)
    return hashlib.sha256(content).hexdigest()
