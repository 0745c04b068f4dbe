"""Access: which files and hosts a catalogue's items may lead to, so that a stranger's reads none of ours."""

from __future__ import annotations

import ipaddress
import re
import socket
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import unquote, urlsplit

import httpx

from earthfield.errors import BrokenArtefact, InvalidInput
from earthfield_ingest.providers import address_of

IP = ipaddress.IPv4Address | ipaddress.IPv6Address
Network = ipaddress.IPv4Network | ipaddress.IPv6Network

BUCKETS = ("s3", "gs", "az")
_PORTS = {"http": 80, "https": 443}
_SCHEME = re.compile(r"^([A-Za-z][A-Za-z0-9+.\-_]+):")  # two letters at least: one is a drive
_BUCKET = re.compile(r"^[A-Za-z0-9][A-Za-z0-9._-]{1,62}$")
_NAT64 = ipaddress.IPv6Network("64:ff9b::/96")


@dataclass(frozen=True)
class Place:
    """Where an address that may be read leads."""

    address: str
    """The address as it was given."""
    path: Path | None = None
    """The file on this machine, every link resolved; None for one of the network."""

    @property
    def scheme(self) -> str:
        """`file`, `http`, `https`, `s3`, `gs` or `az`."""
        return "file" if self.path is not None else urlsplit(self.address).scheme.lower()


def shown(address: str) -> str:
    """Gives an address as it may stand in messages and logs: no signature, no password."""
    if _SCHEME.match(address) is None:
        return address
    scheme, _, rest = address.partition("://")
    place, mark, _ = rest.partition("?")
    host, slash, path = place.partition("/")
    return f"{scheme}://{host.rpartition('@')[2]}{slash}{path}{mark and '?...'}" if rest else scheme


class Access:
    """What one job may read.

    Without a catalogue between them (`home` empty) addresses are the caller's own words, and none is refused for
    where it leads.
    """

    def __init__(self, allow: Sequence[str] = (), *, home: str = "") -> None:
        """Sets the bounds.

        Args:
            allow: folders, hosts, `host:port`, addresses or networks (`10.0.0.0/8`) that the user trusts.
            home: address of the catalogue, or a provider's name; its folder, or its host and port, may be read.

        Raises:
            InvalidInput: an entry of `allow` is none of these.
        """
        home = address_of(home)
        self._free = not home
        self._remote = _scheme(home) in (*_PORTS, *BUCKETS)
        self._folders: list[Path] = []
        self._hosts: set[tuple[str, int | None]] = set()
        self._networks: list[Network] = []
        if self._remote:
            self._hosts.add(_host_and_port(home))
        elif home:
            path = _local(home).resolve()
            self._folders.append(path if path.is_dir() else path.parent)
        for entry in allow:
            self._permit(entry)

    def place(self, address: str) -> Place:
        """Checks where an address leads, as far as can be told before anything is opened.

        Raises:
            BrokenArtefact: it may not be read; the message tells how to allow it.
        """
        scheme = _scheme(address)
        if not address or not address.isprintable() or address.startswith("<"):
            raise BrokenArtefact(f"{address[:80]!r} is no address of a file")
        if address.lower().startswith("/vsi") or scheme not in ("", "file", *_PORTS, *BUCKETS):
            raise BrokenArtefact(
                f"{shown(address)} is no address that is read: it must be a path or begin with "
                "http://, https://, s3://, gs:// or az://"
            )
        if scheme in ("", "file"):
            return Place(address, self._file(_local(address)))
        if scheme in BUCKETS and not _BUCKET.match(urlsplit(address).netloc):
            raise BrokenArtefact(f"{shown(address)} names no bucket")
        if scheme in _PORTS:
            _host_and_port(address)
        return Place(address)

    def addresses(self, host: str, port: int) -> list[str]:
        """Gives the IP addresses to connect to for a host; what connects must use these and not ask again.

        Raises:
            BrokenArtefact: the host leads into a private network that the user did not allow.
            OSError: the name cannot be resolved.
        """
        found = resolve(host, port)
        name = host.lower().rstrip(".")
        if self._free or (name, port) in self._hosts or (name, None) in self._hosts:
            return found
        for one in found:
            ip = ipaddress.ip_address(one.partition("%")[0])
            if not is_public(ip) and not any(ip in network for network in self._networks):
                what = host if host == one else f"{host} leads to {ip}, which"
                raise BrokenArtefact(
                    f"{what} is not on the public internet: if you trust the catalogue, allow it with "
                    f"--allow {host}"
                )
        return found

    def _file(self, path: Path) -> Path:
        real = path.resolve()
        if str(real).startswith("/vsi"):
            raise BrokenArtefact(f"{path} is no address that is read")
        if not self._free and not any(real.is_relative_to(folder) for folder in self._folders):
            where = (
                "names a file of this machine, and its catalogue is not on it"
                if self._remote
                else f"lies outside the catalogue's folder {self._folders[0]}"
            )
            leads = "" if real == path else f" (it leads to {real})"
            raise BrokenArtefact(f"{path}{leads} {where}: allow it with --allow {real.parent}")
        if real.exists() and not real.is_file():
            raise BrokenArtefact(f"{path} is not a file")
        return real

    def _permit(self, entry: str) -> None:
        try:
            self._networks.append(ipaddress.ip_network(entry, strict=False))
            return
        except ValueError:
            pass
        if not entry.strip():
            raise InvalidInput("--allow is empty: give a folder, a host, host:port or a network (10.0.0.0/8)")
        folder = Path(entry).expanduser()
        if _scheme(entry) in _PORTS:
            self._hosts.add(_host_and_port(entry))
        elif "://" in entry:
            raise InvalidInput(f"--allow {entry}: give a folder, a host, host:port or a network (10.0.0.0/8)")
        elif "/" in entry or folder.is_dir():
            self._folders.append(folder.resolve())
        else:
            host, port = _host_and_port(f"//{entry}")
            self._hosts.add((host, port))


def resolve(host: str, port: int) -> list[str]:
    """Asks the system for a host's IP addresses.

    Raises:
        OSError: it has none.
    """
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except UnicodeError as error:  # no name that could stand in a zone
        raise OSError(f"{host[:80]} is no name of a host") from error
    return list(dict.fromkeys(str(one[4][0]) for one in found))


def is_public(ip: IP) -> bool:
    """Tells whether an address is one of the public internet, also where it wraps one of version 4."""
    inner: IP | None = None
    if isinstance(ip, ipaddress.IPv6Address):
        nat64 = ipaddress.IPv4Address(int(ip) & 0xFFFFFFFF) if ip in _NAT64 else None
        inner = ip.ipv4_mapped or ip.sixtofour or nat64 or (ip.teredo[1] if ip.teredo else None)
    if inner is not None:
        return is_public(inner)
    return ip.is_global and not ip.is_multicast and not ip.is_reserved


def _scheme(address: str) -> str:
    found = _SCHEME.match(address)
    return found[1].lower() if found else ""


def _local(address: str) -> Path:
    if _scheme(address) != "file":
        return Path(address).expanduser().absolute() if address.startswith("~") else Path(address).absolute()
    parts = urlsplit(address)
    if parts.netloc not in ("", "localhost"):
        raise BrokenArtefact(f"{address} names a file of another machine")
    return Path(unquote(parts.path)).absolute()


def _host_and_port(address: str) -> tuple[str, int | None]:
    """Gives host and port of a URL, as they are compared; None for a port that it does not tell."""
    try:
        parts = urlsplit(address)
        host = httpx.URL(f"http://{_bracketed(parts.hostname or '')}/").raw_host.decode("ascii")
        port = parts.port or _PORTS.get(parts.scheme.lower())
    except (ValueError, httpx.InvalidURL):
        raise BrokenArtefact(f"{shown(address)} is no readable address") from None
    if not host:
        raise BrokenArtefact(f"{shown(address)} names no host")
    return host.lower().rstrip("."), port


def _bracketed(host: str) -> str:
    return f"[{host}]" if ":" in host else host
