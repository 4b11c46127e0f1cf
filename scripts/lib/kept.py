"""What lies in a station's folder."""

SKIPPED = (".lock", "retired.json")


def contents(processed):
    """What lies in a folder of items, and is to be the same whenever it was made."""
    return {str(path.relative_to(processed)): path.read_bytes() for path in processed.rglob("*") if path.is_file() and path.name not in SKIPPED}


def half_written(folder):
    """Files that a killed or failed writer left and nobody has swept."""
    return [str(path.relative_to(folder)) for path in folder.rglob("*") if path.name.startswith(".tmp-") or path.name.endswith(".tmp")]
