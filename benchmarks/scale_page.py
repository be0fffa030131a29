"""Tables of `docs/scale.md`, from the figures that `scale.py` has measured."""

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from poc.benchmarks.scale_model import (
    RANKS,
    Link,
    Meeting,
    Network,
    efficiency,
    find_ceiling,
    fit_line,
    predict_step,
    speedup,
)

MARKERS = ("<!-- measured: begin -->", "<!-- measured: end -->")
# Assumed, not measured: a usual network of a machine room, and one that is made for such sums.
LINKS = (
    Link(name="10 Gb/s", latency_seconds=50e-6, bytes_per_second=1.1e9),
    Link(name="100 Gb/s", latency_seconds=10e-6, bytes_per_second=11e9),
)
SHOWN = (1, 2, 8, 32, 128, 512, 1024)
GLOBAL_BATCH, BATCH_A_RANK = 1024, 32


def fill(page: str, tables: str) -> str:
    """Return a page with the part between its markers replaced.

    Raises:
        ValueError: The page does not have both markers.
    """
    begin, end = MARKERS
    before, found, rest = page.partition(begin)
    _, also_found, after = rest.partition(end)
    if not (found and also_found):
        raise ValueError(f"Got a page without {begin} and {end}. Expected both, in this order.")
    return f"{before}{begin}\n\n{tables}\n{end}{after}"


def write_tables(found: Mapping[str, Any], titles: Mapping[str, str]) -> str:
    """Return all tables in Markdown; a measurement that is missing leaves its rows out."""
    machine = found["machine"]
    networks = list(list_networks(found, titles))
    pieces = [
        f"{machine['processor']}, {machine['num_cpus']} processors, one thread per process; commit "
        f"{machine['git_commit']}.",
        "### Figures of one process",
        write_figures(networks),
        "### The model and two processes here",
        write_checks(found, titles, dict(networks)),
    ]
    meeting = read_meeting(found)
    for link in LINKS:
        pieces += [
            f"### {link.name}: {BATCH_A_RANK} images on each rank",
            "Share of the images per second of as many independent machines:",
            write_forecast(networks, link, meeting, is_strong=False),
            f"### {link.name}: {GLOBAL_BATCH:,} images in each global batch",
            "How many times faster than one rank:",
            write_forecast(networks, link, meeting, is_strong=True),
        ]
    return "\n\n".join(pieces) + "\n"


def list_networks(
    found: Mapping[str, Any], titles: Mapping[str, str]
) -> Iterator[tuple[tuple[str, str], Network]]:
    """Yield (name, backend) and the network with its measured figures."""
    for key, value in found.items():
        if not key.startswith("steps ") or key.split()[1] not in titles:
            continue
        _, name, backend = key.split()
        fixed, slope = fit_line({int(n): s for n, s in value["step_seconds"].items()})
        # The light network has images of 32 pixels in an array, which need no decoding.
        reading = 0.0 if name == "light" else found["decoding"]["image_seconds"]
        yield (
            (name, backend),
            Network(
                name=f"{titles[name]}, {backend}",
                gradient_bytes=value["gradient_bytes"],
                norm_channels=tuple(value["norm_channels"]),
                fixed_seconds=fixed,
                image_seconds=slope,
                reading_seconds=reading,
            ),
        )


def read_meeting(found: Mapping[str, Any]) -> Meeting:
    """Return the cost of the meeting of the ranks from the measured messages."""
    measured = found["meeting"]
    return Meeting(message_seconds=measured["tell_seconds"] + measured["hear_seconds"])


def read_link(found: Mapping[str, Any], backend: str) -> Link:
    """Return the link between two processes of this machine, from measured sums."""
    fixed, slope = fit_line({int(n): s for n, s in found[f"sums {backend}"]["sum_seconds"].items()})
    # Over two ranks a ring takes two latencies and the bytes once. A trial's few sizes may show no
    # growth with the bytes.
    speed = 1 / slope if slope else math.inf
    return Link(name="this machine", latency_seconds=fixed / 2, bytes_per_second=speed)


def write_figures(networks: list[tuple[tuple[str, str], Network]]) -> str:
    """Return the table of each network's step and of the bytes that it exchanges."""
    rows = [
        (
            network.name,
            f"{1000 * network.fixed_seconds:.1f} + {1000 * network.image_seconds:.2f} b",
            f"{network.gradient_bytes / 2**20:.2f}",
            f"{len(network.norm_sums)} sums, {sum(network.norm_sums) / 2**10:.1f} KiB",
            f"{network.step_bytes:,}",
            f"{1000 * network.reading_seconds:.1f}",
        )
        for _, network in networks
    ]
    columns = (
        *("network", "step of b images, ms", "gradients, MiB", "batch norms"),
        *("bytes per step", "reading an image, ms"),
    )
    return table(columns, rows)


def write_checks(
    found: Mapping[str, Any],
    titles: Mapping[str, str],
    networks: Mapping[tuple[str, str], Network],
) -> str:
    """Return the table of predicted and measured steps of one process and of two."""
    rows = []
    for (name, backend), network in networks.items():
        measured = found.get(f"check {name} {backend}")
        if measured is None or f"sums {backend}" not in found:
            continue
        link, meeting = read_link(found, backend), read_meeting(found)
        for count, seconds in measured["step_seconds"].items():
            # Images of the check need no decoding.
            bare = Network(**{**vars(network), "reading_seconds": 0.0})
            step = predict_step(bare, int(count), measured["batch_size"], link, meeting)
            ratio = f"{step.seconds / seconds:.2f}"
            cells = (f"{1000 * step.seconds:.1f}", f"{1000 * seconds:.1f}", ratio)
            load = f"{measured['load']:.1f}"
            rows.append((f"{titles[name]}, {backend}", str(count), *cells, load))
    columns = ("network", "processes", "model, ms", "measured, ms", "ratio", "load of the machine")
    return table(columns, rows)


def write_forecast(
    networks: list[tuple[tuple[str, str], Network]],
    link: Link,
    meeting: Meeting,
    *,
    is_strong: bool,
) -> str:
    """Return the table over the number of ranks, with the ceiling and the longest part there."""
    rows = []
    for _, network in networks:
        cells, shares = [], []
        for ranks in RANKS:
            batch = GLOBAL_BATCH if is_strong else BATCH_A_RANK * ranks
            gain = speedup(network, ranks, batch, link, meeting)
            share = gain / ranks if is_strong else efficiency(network, ranks, batch, link, meeting)
            shares.append(share)
            if ranks in SHOWN:
                cells.append(f"{gain:.1f}" if is_strong else f"{share:.2f}")
        ceiling = find_ceiling(shares)
        next_ranks = min(2 * ceiling, RANKS[-1])
        batch = GLOBAL_BATCH if is_strong else BATCH_A_RANK * next_ranks
        limit = predict_step(network, next_ranks, batch, link, meeting).largest
        rows.append((network.name, *cells, f"{ceiling:,}", limit))
    columns = ("network", *(f"{ranks:,}" for ranks in SHOWN), "ceiling", "longest part above it")
    return table(columns, rows)


def table(columns: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Return a Markdown table."""
    lines = [columns, ["---", *["--:"] * (len(columns) - 1)], *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)
