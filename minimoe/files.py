"""Files written whole, folders checked before the work, and a lock on a folder."""

import json
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from minimoe.errors import InputError

LOCK, HOLDER = ".lock", ".lock.json"  # in a locked folder: the lock, and who holds it


def write_file(path: str | os.PathLike[str], content: str | bytes) -> None:
    """Replace a file in one step: a reader sees the old file or the whole new one.

    The content goes to a temporary file in the same folder, which is then renamed. A full disk or
    a kill leaves the old file. Text is written as UTF-8. A symbolic link is followed.

    Raises:
        InputError: `path` exists and is not a regular file.
        OSError: its folder is not there or cannot be written to, or the disk is full.
    """
    target = _regular(path)
    handle, name = tempfile.mkstemp(dir=target.parent, prefix=f".{target.name}.", suffix=".partial")
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(content.encode() if isinstance(content, str) else content)
            file.flush()
            os.fsync(file.fileno())
        os.chmod(name, 0o644)  # mkstemp lets only the owner read
        os.replace(name, target)
    except BaseException:
        os.unlink(name)
        raise


def _regular(path: str | os.PathLike[str]) -> Path:
    """The file behind `path`, which a rename may replace; a device or a folder may not be."""
    target = Path(os.path.realpath(path))
    if target.exists() and not target.is_file():
        kind = "a folder" if target.is_dir() else "a device, a pipe or a socket"
        raise InputError(f"{path} is {kind}; name a file instead")
    return target


def usable_file(path: str | os.PathLike[str]) -> Path:
    """Check before the work that `write_file` will be able to write; make its folder if needed.

    Raises:
        InputError: `path` exists and is not a regular file.
        OSError: its folder cannot be made or written to.
    """
    usable_folder(_regular(path).parent)
    return Path(path)


def usable_folder(path: str | os.PathLike[str]) -> Path:
    """Check before the work that a folder can be written to; make it if needed.

    Raises:
        InputError: `path` exists and is not a folder.
        OSError: it cannot be made or written to.
    """
    folder = Path(path)
    if folder.exists() and not folder.is_dir():
        raise InputError(f"{folder} exists and is not a folder; name a folder instead")
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryFile(dir=folder) as file:
        file.write(b"0")
    return folder


@contextmanager
def locked(path: str | os.PathLike[str]) -> Iterator[Path]:
    """Keep other processes out of a folder inside a `with` block; the folder is made if needed.

    The operating system releases the lock when the process ends, however it ends. So a lock file
    that a killed process left behind does not block.

    Raises:
        InputError: another process holds the lock; the message gives its id and its machine.
        OSError: the folder cannot be made or written to.
    """
    import socket

    from filelock import FileLock, Timeout  # not needed by most commands, and slow to import

    folder = usable_folder(path)
    lock, holder = FileLock(folder / LOCK), folder / HOLDER
    try:
        lock.acquire(blocking=False)
    except Timeout:
        raise InputError(
            f"{folder} is in use by {_holder(holder)}; wait until it ends or name another folder"
        ) from None
    try:
        write_file(holder, json.dumps({"pid": os.getpid(), "host": socket.gethostname()}))
        yield folder
    finally:
        for file in (holder, folder / LOCK):  # before the release, so only our own files go
            with suppress(OSError):
                file.unlink()
        lock.release()


def _holder(file: Path) -> str:
    try:
        holder = json.loads(file.read_bytes())
        return f"process {holder['pid']} on {holder['host']}"
    except (OSError, ValueError, KeyError, TypeError):  # it has only just taken the lock
        return "another process"
