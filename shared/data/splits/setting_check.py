"""The check that the split of a source reads every setting, since `auto` depends on the source.

Settings of a kind that is named are checked without a source, by `SplitSpec`.
"""

import json

from poc.shared.data.sources.base import Source
from poc.shared.errors import UsageError
from poc.shared.spec.data import SplitSpec
from poc.shared.spec.splits import READ_BY


def choose_kind(source: Source, spec: SplitSpec) -> str:
    """Return the kind of a split, with the kind that `auto` becomes for a source."""
    if spec.kind != "auto":
        return spec.kind
    return "published" if source.partitions else "fractions"


def check_settings(source: Source, spec: SplitSpec) -> None:
    """Refuse a setting that would do nothing with the parts that the source has.

    Raises:
        UsageError: There is one; the message names what to set in its place.
    """
    for key in find_unread(source, spec):
        raise refuse_setting(source, spec, key)


def drop_unread(source: Source, spec: SplitSpec) -> SplitSpec:
    """Return a rule that was made for other data, without settings that do nothing with these."""
    return spec.model_copy(update={key: spec.default_of(key) for key in find_unread(source, spec)})


def find_unread(source: Source, spec: SplitSpec) -> list[str]:
    """Return the settings that differ from their defaults and decide nothing for this source."""
    kind = choose_kind(source, spec)
    unread = {key for key, kinds in READ_BY.items() if kind not in kinds}
    if kind == "published" and "val" in source.partitions:
        unread.add("val_fraction")
    return [key for key in READ_BY if key in unread and spec.is_changed(key)]


def refuse_setting(source: Source, spec: SplitSpec, key: str) -> UsageError:
    """Return the error for a setting that does nothing with the parts that the source has."""
    given = f"split.{key}={json.dumps(getattr(spec, key))}"
    # A finished run may have the setting, so that leaving it out is no way for its evaluation.
    default = f"split.{key}={json.dumps(spec.default_of(key))}, the default"
    if key == "fractions":
        parts = " and ".join(source.partitions)
        return UsageError(
            f"Got {given} for {source.name!r}, which publishes parts ({parts}). Expected "
            "split.kind=fractions with it, which draws all parts from all images. Try setting "
            "it, or leave split.fractions out."
        )
    if choose_kind(source, spec) == "published":
        return UsageError(
            f"Got {given} for {source.name!r}, which publishes a val part. Expected a source "
            f"without one, since this one validates. Try {default}, or split.kind=fractions with "
            "split.fractions, which draws all parts from all images."
        )
    return UsageError(
        f"Got {given} for {source.name!r}, which publishes no parts. Expected split.fractions, the "
        f"shares of train, val and test. Try split.fractions={share_out(spec)} and {default}."
    )


def share_out(spec: SplitSpec) -> str:
    """Write shares with the same test share, in which val has `val_fraction` of the rest."""
    train, val, test = spec.fractions
    if spec.is_changed("val_fraction"):
        val = round((1 - test) * spec.val_fraction, 6)
        train = round(1 - test - val, 6)
    return f"[{train},{val},{test}]"
