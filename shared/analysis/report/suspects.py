"""The section of a report on suspicious images: what `poc data describe --deep` has found."""

from collections.abc import Sequence
from pathlib import Path

from poc.shared.analysis.runs.groups import Group
from poc.shared.analysis.suspects.findings import Findings, find_files, read_findings
from poc.shared.analysis.suspects.tables import suspect_tables
from poc.shared.analysis.tables.table import Table
from poc.shared.errors import UsageError


def suspect_section(folders: Sequence[Path], groups: Sequence[Group]) -> list[Table]:
    """Return the tables of the findings in or below the folders of a report.

    Findings about other data than that of the rows are left out; of files about the same data, the
    first one counts. A file that cannot be read is a line of a table.
    """
    known = {group.data.source_fingerprint for group in groups}
    shown: dict[str, Findings] = {}
    faults = []
    for path in find_files(folders):
        try:
            findings = read_findings(path)
        except (UsageError, OSError, ValueError, RecursionError) as error:
            faults.append([str(path), str(error)])
            continue
        if findings.source_fingerprint in known:
            shown.setdefault(findings.source_fingerprint, findings)
        else:
            faults.append([str(path), "it is about other images or labels than the runs"])
    tables = [table for findings in shown.values() for table in suspect_tables(findings)]
    if faults:
        columns = ["file", "reason"]
        tables.append(
            Table(
                title="Findings left out",
                columns=columns,
                rows=faults,
                words=columns,
                is_stacked=True,
            )
        )
    return tables
