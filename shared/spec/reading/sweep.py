"""A sweep: every combination of some settings, each with several seeds, is one run.

In a TOML file a sweep is a run's settings, plus `seeds` and `[grid]`. A list in `[grid]` is an
axis, any other value a fixed setting. `[[grid]]`, several times, is the union of several products:
so a study that varies k in one network and nothing in another is one file.
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
from .config import assign_all, parse_value, read_toml, set_value
from .pretrained import WeightDefaults
from .recipe import leave_open

Product = Mapping[str, Sequence[object]]
# These decide what other keys mean, so they are set first.
LEADING_KEYS = ("method", "model", "model.name", WEIGHTS)


class StoredCell(TypedDict):
    """A cell as plain values."""

    name: str
    settings: dict[str, object]
    run: dict[str, object]


@dataclass(frozen=True, kw_only=True)
class Cell:
    """One run of a sweep; `settings` are the grid's own keys, the seed apart.

    The name is that of its folder: what differs from the sweep's other cells.
    """

    name: str
    settings: Mapping[str, object]
    run: RunSpec

    def to_json(self) -> StoredCell:
        """The cell as the sweep's definition stores it."""
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
        axes: `key=value,value`: an axis of every product of the file, in place of its own.
        num_seeds: Runs a combination, with the seeds seed, seed+1, …; none: the file's, or 1.
        defaults: As `load_run` takes it, for every cell.

    Raises:
        UsageError: Unreadable file, wrong grid, or a cell that is no valid run; it is named.
    """
    values = read_toml(path) if path else {}
    products = read_products(values.pop("grid", {}))
    seeds_in_file = values.pop("seeds", None)
    overriding = dict(parse_axis(axis) for axis in axes)
    products = [{**product, **overriding} for product in products]
    assign_all(values, assignments, None if keeps_model_open(products) else defaults)
    num_runs = check_seeds(seeds_in_file if num_seeds is None else num_seeds, products)
    cells = unique(
        cell for product in products for cell in expand(values, product, num_runs, defaults)
    )
    names = name_cells([{**cell.settings, "seed": cell.run.seed} for cell in cells])
    return [replace(cell, name=name) for cell, name in zip(cells, names, strict=True)]


def read_products(grid: object) -> list[Product]:
    """The products of a file's `[grid]` or `[[grid]]`."""
    given = grid if isinstance(grid, list) else [grid]
    tables = [table for table in given if isinstance(table, dict)]
    if not given or len(tables) < len(given):
        raise UsageError(
            f"received grid={grid!r}; allowed is a table [grid] or tables [[grid]]: write for "
            "example k = [1, 2, 3] below [grid]"
        )
    return [{key: axis_values(key, value) for key, value in table.items()} for table in tables]


def axis_values(key: str, value: object) -> list[object]:
    """A list is an axis, anything else one fixed value."""
    values = value if isinstance(value, list) else [value]
    if not values or any(values.count(item) > 1 for item in values):
        raise UsageError(
            f"received the grid {key}={value!r}; allowed is at least one value, each once: "
            "correct the list"
        )
    return values


def parse_axis(text: str) -> tuple[str, list[object]]:
    """`k=1,2,3` -> ("k", [1, 2, 3]); values are written as in TOML, plain words as they are."""
    key, separator, listed = text.partition("=")
    if not separator or not key.strip() or not listed.strip():
        raise UsageError(
            f"received --grid {text!r}; allowed is key=value,value: write for example k=1,2,3"
        )
    try:
        values = tomllib.loads(f"values = [{listed}]")["values"]
    except tomllib.TOMLDecodeError:
        values = [parse_value(item.strip()) for item in listed.split(",") if item.strip()]
    return key.strip(), axis_values(key.strip(), values)


def check_seeds(num_seeds: object, products: Sequence[Product]) -> int:
    """Runs a combination; refuses a wrong number of seeds, and seeds named twice."""
    if num_seeds is None:
        return 1
    if not isinstance(num_seeds, int) or isinstance(num_seeds, bool) or num_seeds < 1:
        raise UsageError(
            f"received seeds={num_seeds!r}; allowed is a number of runs of at least 1: write for "
            "example 3"
        )
    if any("seed" in product for product in products):
        raise UsageError(
            f"received seeds={num_seeds} and an axis seed; allowed is one of them: remove one"
        )
    return num_seeds


def expand(
    values: Mapping[str, object], product: Product, num_seeds: int, defaults: WeightDefaults | None
) -> Iterator[Cell]:
    """Every cell of one product, the seeds innermost."""
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
    """One validated cell, as yet under a name that says all its settings."""
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
        raise UsageError(f"in the cell {described or 'without settings'}: {error}") from None
    settings = {key: value for key, value in settings.items() if key != "seed"}
    described = describe_settings({**settings, "seed": run.seed})
    return Cell(name=described, settings=settings, run=run)


def is_leading(key: str) -> bool:
    """Whether a key decides what others mean, so that it is set before them."""
    return key in LEADING_KEYS


def describe_settings(settings: Mapping[str, object]) -> str:
    """`k=3,backend=tf`."""
    return ",".join(f"{key}={write_value(value)}" for key, value in settings.items())


def unique(cells: Iterable[Cell]) -> list[Cell]:
    """The cells, none of which may be the same run as another."""
    names: dict[str, str] = {}
    found = []
    for cell in cells:
        run = cell.run.model_dump_json()
        if run in names:
            raise UsageError(
                f"received a grid whose cells {names[run]!r} and {cell.name!r} are the same run; "
                "allowed is each run once: remove one"
            )
        names[run] = cell.name
        found.append(cell)
    return found
