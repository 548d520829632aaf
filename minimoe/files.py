"""How is a file written so that a reader sees the old one or the whole new one?"""

import os
import tempfile
from pathlib import Path


def write_file(path: str | os.PathLike[str], content: str | bytes) -> None:
    """Write to a temporary name in the same folder, then rename.

    Text is written as UTF-8. A full disk or a kill leaves what was there before.

    Args:
        path: the file; its folder must exist.

    Raises:
        OSError: the folder cannot be written to, or the disk is full.
    """
    target = Path(path)
    handle, name = tempfile.mkstemp(dir=target.parent, prefix=f".{target.name}.", suffix=".partial")
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(content.encode() if isinstance(content, str) else content)
            file.flush()
            os.fsync(file.fileno())
        os.chmod(name, 0o644)  # mkstemp makes files that only their owner reads
        os.replace(name, target)
    except BaseException:
        os.unlink(name)
        raise


def usable_folder(path: str | os.PathLike[str]) -> Path:
    """Make the folder, if need be, and make sure now that it can be written to, not after an hour.

    Raises:
        OSError: it cannot.
    """
    folder = Path(path)
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryFile(dir=folder) as file:
        file.write(b"0")
    return folder
