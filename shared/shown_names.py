"""Names and counts in the form that a reader sees.

A name from a file may hold control characters that command a terminal or end a line; they are
escaped.
"""

from collections.abc import Iterable

# Between the labels of one image: in tables that are read, in answers, and in exported scripts.
LABEL_SEPARATOR = "|"


def join_labels(names: Iterable[str]) -> str:
    """Write the labels of one image as a text, in the form that a column of labels is read."""
    return LABEL_SEPARATOR.join(names)


def plain(text: str) -> str:
    """Return the text as one line that any terminal, table or picture can show.

    Control characters, line breaks and bytes that are not UTF-8 become Python's escapes.
    """
    return "".join(
        character if character.isprintable() else character.encode("unicode_escape").decode()
        for character in text
    )


def say(count: int, what: str) -> str:
    """Write a count with its noun: `1 step`, `2 steps`, `2 empty classes`.

    Args:
        count: Number of things.
        what: Name of one thing; its last word takes the plural ending.
    """
    return f"{count:,} {what}" if count == 1 else f"{count:,} {what}{ending_of(what)}"


def ending_of(noun: str) -> str:
    """Return the ending that makes an English noun plural: `s` or `es`."""
    # An epoch ends in the sound of k, a batch does not.
    is_hissed = noun.endswith(("s", "ch")) and not noun.endswith("epoch")
    return "es" if is_hissed else "s"
