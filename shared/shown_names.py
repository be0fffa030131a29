"""Names out of files as a reader sees them: what commands a terminal or ends a line is escaped."""


def plain(text: str) -> str:
    """The text in one line that any terminal, table or picture can show.

    Control characters, line breaks and bytes that are no UTF-8 stand as Python writes them.
    """
    return "".join(
        character if character.isprintable() else character.encode("unicode_escape").decode()
        for character in text
    )
