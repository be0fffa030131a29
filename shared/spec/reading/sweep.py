"""A sweep: one run per combination of some settings and per seed.

In a TOML file a sweep is a run's settings, plus `seeds` and `[grid]`. A list in `[grid]` is an
axis, any other value a fixed setting. Several `[[grid]]` are the union of several products: a study
that varies k in one network and nothing in another fits in one file.
"""

import itertools
import tomllib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from copy import deepcopy
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TypedDict

from poc.shared.errors import UsageError
from poc.shared.spec.run import RunSpec

from .cell_names import name_cells, write_value
from .cell_weights import WEIGHTS, find_lender, keeps_model_open, name_cell_model, take_cell_view
from .config import assign_all, parse_value, read_toml, refuse_tables, set_value
from .pretrained import WeightDefaults
from .recipe import leave_open

Product = Mapping[str, Sequence[object]]
# These decide the meaning of other keys, so they are set first.
LEADING_KEYS = ("method", "model", "model.name", WEIGHTS)


class StoredCell(TypedDict):
    """A cell as plain values."""

    name: str
    settings: dict[str, object]
    run: dict[str, object]


@dataclass(frozen=True, kw_only=True)
class Cell:
    """One run of a sweep.

    `settings` are the cell's values on the grid's axes, without the seed. `name` is the name of its
    folder: the settings that differ from the sweep's other cells.
    """

    name: str
    settings: Mapping[str, object]
    run: RunSpec

    def to_json(self) -> StoredCell:
        """Return the cell as the sweep's definition stores it."""
        return {
            "name": self.name,
            "settings": dict(self.settings),
            "run": self.run.model_dump(mode="json"),
        }


def load_sweep(
    path: Path | str | None = None,
    assignments: Iterable[str] = (),
    axes: Iterable[str] = (),
    num_seeds: int | None = None,
    *,
    defaults: WeightDefaults | None = None,
) -> list[Cell]:
    """Read a sweep's cells from a TOML file and the command line, which wins.

    Args:
        path: TOML file of a run or a sweep, or none.
        assignments: `key=value`, for every cell.
        axes: `key=value,value`: an axis of every product of the file; it replaces the file's own.
        num_seeds: Runs per combination, with the seeds seed, seed+1, …; none: the file's, or 1.
        defaults: As in `load_run`, for every cell.

    Raises:
        UsageError: Unreadable file, wrong grid, or a cell that is not a valid run; the message
            names it.
    """
    values = read_toml(path) if path else {}
    refuse_tables(values, path, taken="grid")
    products = read_products(values.pop("grid", {}))
    seeds_in_file = values.pop("seeds", None)
    overriding = parse_axes(axes)
    products = [{**product, **overriding} for product in products]
    assign_all(values, assignments, None if keeps_model_open(products) else defaults)
    num_runs = check_seeds(seeds_in_file if num_seeds is None else num_seeds, products)
    cells = unique(
        cell for product in products for cell in expand(values, product, num_runs, defaults)
    )
    names = name_cells([{**cell.settings, "seed": cell.run.seed} for cell in cells])
    return [replace(cell, name=name) for cell, name in zip(cells, names, strict=True)]


def read_products(grid: object) -> list[Product]:
    """Read the products of a file's `[grid]` or `[[grid]]`: for each, key -> values.

    Raises:
        UsageError: The grid is not a table, or an axis is empty or repeats a value.
    """
    given = grid if isinstance(grid, list) else [grid]
    tables = [table for table in given if isinstance(table, dict)]
    if not given or len(tables) < len(given):
        raise UsageError(
            f"Got grid={grid!r}. Expected a table [grid] or tables [[grid]]. Try k = [1, 2, 3] "
            "below [grid]."
        )
    return [{key: axis_values(key, value) for key, value in table.items()} for table in tables]


def axis_values(key: str, value: object) -> list[object]:
    """Return the values of an axis; a value that is not a list is an axis of one value.

    Raises:
        UsageError: No value, or one value twice.
    """
    values = value if isinstance(value, list) else [value]
    if not values or any(values.count(item) > 1 for item in values):
        raise UsageError(
            f"Got the grid {key}={value!r}. Expected at least one value, and each value once. Try "
            "correcting the list."
        )
    return values


def parse_axes(texts: Iterable[str]) -> Product:
    """Read the axes of the command line: key -> values.

    Raises:
        UsageError: An axis is malformed, or two have one key.
    """
    axes: dict[str, list[object]] = {}
    for text in texts:
        key, values = parse_axis(text)
        if key in axes:
            new = [value for value in values if value not in axes[key]]
            both = ",".join(map(write_value, [*axes[key], *new]))
            raise UsageError(
                f"Got --grid {key} twice. Expected each key once. Try --grid {key}={both}."
            )
        axes[key] = values
    return axes


def parse_axis(text: str) -> tuple[str, list[object]]:
    """Read an axis: `k=1,2,3` -> ("k", [1, 2, 3]); values as in TOML, words without quotes.

    Raises:
        UsageError: No key, no value, or one value twice.
    """
    key, separator, listed = text.partition("=")
    if not separator or not key.strip() or not listed.strip():
        raise UsageError(f"Got --grid {text!r}. Expected key=value,value. Try --grid k=1,2,3.")
    try:
        values = tomllib.loads(f"values = [{listed}]")["values"]
    except tomllib.TOMLDecodeError:
        values = [parse_value(item.strip()) for item in listed.split(",") if item.strip()]
    return key.strip(), axis_values(key.strip(), values)


def check_seeds(num_seeds: object, products: Sequence[Product]) -> int:
    """Return the number of runs per combination.

    Raises:
        UsageError: Not a number of at least 1, or the grid has an axis of seeds too.
    """
    if num_seeds is None:
        return 1
    if not isinstance(num_seeds, int) or isinstance(num_seeds, bool) or num_seeds < 1:
        raise UsageError(
            f"Got seeds={num_seeds!r}. Expected the number of runs per combination, at least 1. "
            "Try seeds=3."
        )
    if any("seed" in product for product in products):
        raise UsageError(
            f"Got seeds={num_seeds} and an axis seed. Expected only one of them. Try removing one."
        )
    return num_seeds


def expand(
    values: Mapping[str, object], product: Product, num_seeds: int, defaults: WeightDefaults | None
) -> Iterator[Cell]:
    """Yield every cell of one product; the seed changes fastest."""
    keys = sorted(product, key=lambda key: not is_leading(key))
    for combination in itertools.product(*(product[key] for key in keys)):
        chosen = dict(zip(keys, combination, strict=True))
        settings = {key: chosen[key] for key in product}
        for offset in range(num_seeds):
            yield make_cell(values, settings, product, offset, defaults)


def make_cell(
    values: Mapping[str, object],
    settings: Mapping[str, object],
    product: Product,
    offset: int,
    defaults: WeightDefaults | None = None,
) -> Cell:
    """Make one validated cell; for now its name has all of its settings.

    Raises:
        UsageError: The cell is not a valid run; the message names it.
    """
    own = deepcopy(dict(values))
    described = describe_settings(settings)
    try:
        for key in filter(is_leading, settings):
            set_value(own, key, settings[key])
        lender = None
        if defaults is not None:
            lender = find_lender(own, product, settings, defaults)
            name_cell_model(own, lender, defaults)
        for key in itertools.filterfalse(is_leading, settings):
            set_value(own, key, settings[key])
        if defaults is not None:
            leave_open(own)
            take_cell_view(own, lender, defaults)
        run = RunSpec.parse(own, "")
        run = run.replace(seed=run.seed + offset)
    except UsageError as error:
        wrong = str(error).removeprefix("Got ")
        raise UsageError(f"Got the cell {described or 'without settings'} with {wrong}") from None
    settings = {key: value for key, value in settings.items() if key != "seed"}
    described = describe_settings({**settings, "seed": run.seed})
    return Cell(name=described, settings=settings, run=run)


def is_leading(key: str) -> bool:
    """Return whether a key decides the meaning of others, so that it is set before them."""
    return key in LEADING_KEYS


def describe_settings(settings: Mapping[str, object]) -> str:
    """Write settings in one line: `k=3,backend=tf`."""
    return ",".join(f"{key}={write_value(value)}" for key, value in settings.items())


def unique(cells: Iterable[Cell]) -> list[Cell]:
    """Return the cells as a list.

    Raises:
        UsageError: Two cells are the same run.
    """
    names: dict[str, str] = {}
    found = []
    for cell in cells:
        run = cell.run.model_dump_json()
        if run in names:
            raise UsageError(
                f"Got a grid whose cells {names[run]!r} and {cell.name!r} are the same run. "
                "Expected each run once. Try removing one."
            )
        names[run] = cell.name
        found.append(cell)
    return found
