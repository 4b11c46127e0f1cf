"""Libraries of our own that are preloaded, so that the programs of a script are the shipped ones."""

import subprocess
from pathlib import Path

from station import NotRun, need


def preload(source, folder):
    """Compiles lib/`source` into `folder`, unless it is there. Gives the library."""
    need("cc", "gcc")
    source = Path(__file__).with_name(source)
    library = Path(folder) / source.with_suffix(".so").name
    if not library.exists():
        run = subprocess.run(["cc", "-O2", "-Wall", "-Wextra", "-Werror", "-shared", "-fPIC", "-o", library, source, "-ldl"])
        if run.returncode != 0:
            raise NotRun(f"{source.name} does not compile")
    return library.absolute()
