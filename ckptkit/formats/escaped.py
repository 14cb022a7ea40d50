"""How a name from a hostile file is escaped: one line, printable, not too long."""


def escaped(name: str, limit: int = 120) -> str:
    """Return the name with unprintable characters (control, bidi) escaped, cut to about ``limit`` characters."""
    if len(name) <= limit and name.isprintable():  # nearly always
        return name
    cut = name if len(name) <= limit else name[:limit] + "..."
    return "".join(c if c.isprintable() else c.encode("unicode_escape", "surrogatepass").decode("ascii") for c in cut)
