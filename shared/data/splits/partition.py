"""The draw of examples into parts: by class, by group, by shares.

The draw of an example depends on (seed, id) alone: a hash orders the examples. A draw is therefore
the same on every machine and under every NumPy version, and a source that lists its examples in
another order gets the same draw. scikit-learn's splitters are not used: three parts need two of its
draws, whose roundings add up to more than one example per class, and its draws follow NumPy's
generator streams, which may change between versions.
"""

import hashlib
import re
from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

from poc.shared.data.sources.base import Indices, Source
from poc.shared.errors import UsageError
from poc.shared.spec.data import SplitSpec

Draw = Callable[[Indices, Sequence[float], str], list[Indices]]
NUM_NAMED = 5


def choose_draw(source: Source, spec: SplitSpec) -> Draw:
    """Return the function that divides examples, as the definition says.

    Returns:
        (positions (k,) int64, shares, salt) -> one int64 array of positions per part.
    """
    groups = groups_of(source, spec.group_pattern)
    if groups is not None:
        return lambda indices, shares, salt: divide_groups(
            source, groups, indices, shares, salt, is_stratified=spec.is_stratified
        )
    if spec.is_stratified:
        return lambda indices, shares, salt: stratify(source, indices, shares, salt)
    return lambda indices, shares, salt: divide(source, indices, shares, salt)


def stratify(source: Source, indices: Indices, shares: Sequence[float], salt: str) -> list[Indices]:
    """Divide examples so that every class keeps its share in every part.

    Args:
        source: Gives ids and labels.
        indices: (k,) int64 positions to divide.
        shares: Share of each part; they sum to 1.
        salt: Keys the draw; the same salt draws the same examples.

    Returns:
        One int64 array of positions per part. Each class's count is within one of its exact share.
    """
    members = group_by_class(source, indices, salt)
    counts = apportion(np.array([len(member) for member in members.values()]), shares)
    cuts = np.cumsum(counts, axis=1)[:, :-1]
    pieces = [np.split(member, cut) for member, cut in zip(members.values(), cuts, strict=True)]
    return [np.concatenate(part) for part in zip(*pieces, strict=True)]


def divide(source: Source, indices: Indices, shares: Sequence[float], salt: str) -> list[Indices]:
    """Divide the positions (k,) int64 without regard to classes; arguments as in `stratify`."""
    drawn = draw_order(source, indices, salt)
    counts = apportion(np.array([len(drawn)]), shares)[0]
    return list(np.split(drawn, np.cumsum(counts)[:-1]))


def divide_groups(
    source: Source,
    groups: NDArray[np.str_],
    indices: Indices,
    shares: Sequence[float],
    salt: str,
    *,
    is_stratified: bool = True,
) -> list[Indices]:
    """Divide examples so that no group is in two parts.

    Groups are placed one after the other, the largest first. Each goes to the part that brings the
    classes (or, not stratified, the number of examples) nearest to their shares. The shares are
    exact only as far as undivided groups allow.

    Args:
        source: Gives ids and labels.
        groups: (n,) text, the group of each of the source's examples.
        indices: (k,) int64, as in `stratify`.
        shares: See `stratify`.
        salt: See `stratify`.
        is_stratified: True if classes keep their shares.

    Returns:
        One int64 array of positions per part.
    """
    names, member = np.unique(groups[indices], return_inverse=True)
    shares_of = one_hot(source, indices) if is_stratified else np.ones((len(indices), 1), np.int64)
    counts = np.zeros((len(names), shares_of.shape[1]), dtype=np.int64)
    np.add.at(counts, member, shares_of)
    keys = [hashlib.sha256(f"{salt}/{name}".encode()).digest() for name in names]
    # The largest groups first, while there is room for them; the small ones then level the shares.
    drawn = sorted(range(len(names)), key=lambda at: (-counts[at].sum(), keys[at]))
    part_of = place_groups(counts, drawn, np.divide(shares, np.sum(shares)))
    return [indices[part_of[member] == part] for part in range(len(shares))]


def sample_groups(
    source: Source, groups: NDArray[np.str_], indices: Indices, share: float, salt: str
) -> Indices:
    """Draw a share of the examples, of each class as far as possible, in undivided groups.

    A group counts for its most frequent class. The groups of a class are taken in the order of the
    draw until their examples are nearest to the share; at least one is. A smaller share therefore
    draws some of the groups of a larger one.

    Args:
        source: Gives ids and labels.
        groups: (n,) text, the group of each of the source's examples.
        indices: (k,) int64 positions to draw from.
        share: Share of the examples, above 0.
        salt: Keys the draw.

    Returns:
        The drawn positions, int64.
    """
    names, member = np.unique(groups[indices], return_inverse=True)
    shares_of = one_hot(source, indices)
    counts = np.zeros((len(names), shares_of.shape[1]), dtype=np.int64)
    np.add.at(counts, member, shares_of)
    sizes, classes = np.bincount(member, minlength=len(names)), counts.argmax(axis=1)
    keys = [hashlib.sha256(f"{salt}/{name}".encode()).digest() for name in names]
    is_drawn = np.zeros(len(names), dtype=np.bool_)
    for label in np.unique(classes):
        drawn = sorted(np.flatnonzero(classes == label).tolist(), key=keys.__getitem__)
        before = np.cumsum(sizes[drawn]) - sizes[drawn]
        # A group is taken if its middle is below the share.
        is_first = before + sizes[drawn] / 2 <= share * sizes[drawn].sum()
        is_first[0] = True
        is_drawn[drawn] = is_first
    sampled: Indices = indices[is_drawn[member]]
    return sampled


def one_hot(source: Source, indices: Indices) -> NDArray[np.int64]:
    """Return 1 for each class or label of the examples (k,) int64: (k, num_classes) int64."""
    labels = source.labels[indices]
    if labels.ndim == 2:
        return labels
    return np.asarray(labels[:, np.newaxis] == np.arange(len(source.class_names)), dtype=np.int64)


def place_groups(
    counts: NDArray[np.int64], drawn: Sequence[int], shares: NDArray[np.float64]
) -> NDArray[np.int64]:
    """Choose the part of each group.

    Args:
        counts: (num_groups, num_classes) int64 examples.
        drawn: Groups in the order in which they are placed.
        shares: (num_parts,) float64.

    Returns:
        (num_groups,) int64 parts.
    """
    # At least 1, because a class without examples is divided by below.
    totals = np.maximum(counts.sum(axis=0), 1)
    wanted = np.outer(shares, counts.sum(axis=0))
    filled = np.zeros_like(wanted)
    part_of = np.zeros(len(counts), dtype=np.int64)
    # A part of share 0 gets no group, not even where it would be the nearest.
    closed = np.where(shares > 0, 0.0, np.inf)
    for group in drawn:
        # The change of the sum of squared distances if the group goes to each part. A class is
        # weighed by its total, so that frequent classes do not hide rare ones.
        after = filled + counts[group] - wanted
        change = ((after**2 - (filled - wanted) ** 2) / totals**2).sum(axis=1)
        # Rounded, so that ties are ties on every machine; the first part then wins.
        part = int(np.argmin(np.round(change, 12) + closed))
        part_of[group] = part
        filled[part] += counts[group]
    return part_of


def groups_of(source: Source, pattern: str | None) -> NDArray[np.str_] | None:
    """Return the group of each example, (n,) text, by a pattern or by the source; None without.

    Raises:
        UsageError: Some id does not match the pattern.
    """
    if pattern is not None:
        return find_groups(source, pattern)
    return None if source.groups is None else np.array(source.groups)


def find_groups(source: Source, pattern: str) -> NDArray[np.str_]:
    """Find the group of each example by a pattern in its id: (n,) text.

    Raises:
        UsageError: Some id does not match.
    """
    compiled = re.compile(pattern)
    found = [compiled.search(name) for name in source.ids]
    missing = [name for name, match in zip(source.ids, found, strict=True) if not match]
    if missing:
        raise UsageError(
            f"Got split.group_pattern={pattern!r}, which finds no group in {len(missing)} ids "
            f"of {source.name!r} ({', '.join(missing[:NUM_NAMED])}). Expected a pattern that "
            "matches every id. Try adding an alternative for them."
        )
    return np.array([group_of(match) for match in found if match])


def group_of(match: re.Match[str]) -> str:
    """Return the bracket named `group`, or the first bracket that matched, or the match."""
    named = match.groupdict().get("group")
    if named is not None:
        return named
    return next((text for text in match.groups() if text is not None), match.group())


def group_by_class(source: Source, indices: Indices, salt: str) -> dict[int, Indices]:
    """Group positions (k,) int64 by label, in the order of the draw; include empty classes.

    Examples with several labels are grouped by the set of their labels.
    """
    drawn = draw_order(source, indices, salt)
    labels = source.strata[drawn]
    num_strata = int(source.strata.max()) + 1 if source.is_multi_label else len(source.class_names)
    return {label: drawn[labels == label] for label in range(num_strata)}


def draw_order(source: Source, indices: Indices, salt: str) -> Indices:
    """Return the positions (k,) int64 in the order that the salt draws."""
    # By a hash of the id, as the module's docstring explains, and not by a generator.
    keys = [hashlib.sha256(f"{salt}/{source.ids[index]}".encode()).digest() for index in indices]
    drawn: Indices = indices[sorted(range(len(indices)), key=keys.__getitem__)]
    return drawn


def apportion(class_counts: NDArray[np.int64], shares: Sequence[float]) -> NDArray[np.int64]:
    """Round the shares to numbers of examples for each class and part.

    Every count is the exact share rounded down or up. The rest after rounding down goes to the part
    that is furthest behind its share of the classes so far, so that the totals are right too.

    Args:
        class_counts: (num_classes,) int64 examples of each class.
        shares: (num_parts,) parts of 1.

    Returns:
        (num_classes, num_parts) int64 counts; each row sums to its class count.
    """
    # Rounded, because 0.1 * 30 may come out just below 3 and would be rounded down to 2.
    exact = np.round(np.outer(class_counts, np.divide(shares, np.sum(shares))), 6)
    counts = np.floor(exact).astype(np.int64)
    behind = np.zeros(len(shares))
    for row, (total, wanted) in enumerate(zip(class_counts, exact, strict=True)):
        behind += wanted - counts[row]
        may_grow = np.where(wanted > counts[row], behind, -np.inf)
        # A stable sort, so that equal parts are taken in their own order on every machine.
        grown = np.argsort(-may_grow, kind="stable")[: total - counts[row].sum()]
        counts[row, grown] += 1
        behind[grown] -= 1
    return counts
