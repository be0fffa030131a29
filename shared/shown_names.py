"""Names out of files as a reader sees them: what commands a terminal or ends a line is escaped."""


def plain(text: str) -> str:
    """The text in one line that any terminal, table or picture can show.

    Control characters, line breaks and bytes that are no UTF-8 stand as Python writes them.
    """
    return "".join(
        character if character.isprintable() else character.encode("unicode_escape").decode()
        for character in text
    )


def say(count: int, what: str) -> str:
    """`1 step`, `2 steps`, `2 empty classes`.

    Args:
        count: Of the things.
        what: One of them; its last word takes the ending.
    """
    return f"{count:,} {what}" if count == 1 else f"{count:,} {what}{ending_of(what)}"


def ending_of(noun: str) -> str:
    """What makes a noun one of several."""
    return "es" if noun.endswith("s") else "s"
