"""HDF5: files opened so that nothing in them leads to another file."""

from __future__ import annotations

from typing import Any, BinaryIO

from earthfield.errors import BrokenArtefact

HDF5_MAGIC = b"\x89HDF\r\n\x1a\n"
"""First bytes of an HDF5 file."""


def is_hdf5(start: bytes) -> bool:
    """Tells whether a file that begins so is HDF5."""
    return start.startswith(HDF5_MAGIC)


def member(group: Any, name: str, address: str) -> Any | None:
    """Gives a member of a group, or None where there is none.

    Args:
        group: an open h5py group.
        name: name in the group, not a path.
        address: of the file, for messages.

    Raises:
        BrokenArtefact: it is a link to elsewhere, or its values lie in another file.
    """
    import h5py

    link = group.get(name, getlink=True)
    if link is None:
        return None
    if not isinstance(link, h5py.HardLink):
        raise _leads_away(address, name)
    found = group[name]
    if isinstance(found, h5py.Dataset) and (found.is_virtual or found.external):
        raise _leads_away(address, name)
    return found


def check_closed(file: BinaryIO, address: str) -> None:
    """Makes sure that nothing at the top of a file leads to another one; the file is left at its start.

    Raises:
        BrokenArtefact: something does.
        OSError: it is not readable HDF5.
    """
    import h5py

    with h5py.File(file, "r") as opened:
        for name in opened:
            member(opened, name, address)
    file.seek(0)


def _leads_away(address: str, name: str) -> BrokenArtefact:
    return BrokenArtefact(f"{address}: {name} leads to another place or file, which is never followed")
