"""A catalogue leads to what is its own and to the public internet, and nowhere else unless the user says so."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from ingest_catalogue import PLACE, write_tif

from earthfield.errors import BrokenArtefact, InvalidInput, Unavailable
from earthfield_ingest import access
from earthfield_ingest.access import Access, shown
from earthfield_ingest.fetch import Fetcher, Limits

QUICK = Limits(connect_s=1, read_s=1, budget_s=5, tries=2, pause_s=0.01, failures_to_trip=99)
NAMES = {
    "public.example.org": ["93.184.216.34"],
    "six.example.org": ["2606:2800:220:1:248:1893:25c8:1946"],
    "inside.example.org": ["10.1.2.3"],
    "both.example.org": ["93.184.216.34", "192.168.1.1"],
    "metadata.example.org": ["169.254.169.254"],
    "nat64.example.org": ["64:ff9b::5db8:d822"],
    "localhost": ["127.0.0.1", "::1"],
}


@pytest.fixture
def names(monkeypatch: pytest.MonkeyPatch) -> dict[str, list[str]]:
    """The names that the resolver knows; a number stands for itself."""
    known = dict(NAMES)
    monkeypatch.setattr(access, "resolve", lambda host, _: known.get(host, [host]))
    return known


@pytest.mark.parametrize(
    "host", ["public.example.org", "six.example.org", "nat64.example.org", "8.8.8.8", "2001:4860:4860::8888"]
)  # fmt: skip
def test_the_public_internet_is_open(host: str, names: dict[str, list[str]]) -> None:
    assert Access(home="/data").addresses(host, 443) == names.get(host, [host])


@pytest.mark.parametrize(
    "host",
    [
        "localhost", "inside.example.org", "both.example.org", "metadata.example.org",
        "127.0.0.1", "127.8.9.1", "10.0.0.1", "172.16.0.1", "192.168.0.1", "169.254.169.254", "100.64.0.1",
        "0.0.0.0", "224.0.0.1", "255.255.255.255", "192.0.2.1",
        "::", "::1", "fe80::1", "fe80::1%eth0", "fc00::1", "fd00:ec2::254", "ff02::1",
        "::ffff:127.0.0.1", "::ffff:169.254.169.254", "64:ff9b::7f00:1", "64:ff9b::a9fe:a9fe",
        "2002:7f00:1::", "2002:a00:1::1", "64:ff9b:1::1",
    ],
)  # fmt: skip
def test_private_networks_are_closed(host: str, names: dict[str, list[str]]) -> None:
    with pytest.raises(BrokenArtefact, match=r"not on the public internet.*--allow"):
        Access(home="https://stac.example.org/v1").addresses(host, 443)


def test_the_catalogue_s_own_host_and_port_are_open_and_its_other_ports_are_not(
    names: dict[str, list[str]],
) -> None:
    bounds = Access(home="http://localhost:8080/catalog.json")
    assert bounds.addresses("localhost", 8080) == NAMES["localhost"]
    with pytest.raises(BrokenArtefact):
        bounds.addresses("localhost", 5432)
    assert Access(home="https://INSIDE.example.org/").addresses("inside.example.org.", 443)


@pytest.mark.parametrize(
    "entry",
    ["inside.example.org", "inside.example.org:443", "10.1.2.3/32", "10.0.0.0/8", "https://inside.example.org/x"],
)  # fmt: skip
def test_the_user_opens_hosts_ports_and_networks(entry: str, names: dict[str, list[str]]) -> None:
    assert Access([entry], home="/data").addresses("inside.example.org", 443) == ["10.1.2.3"]
    with pytest.raises(BrokenArtefact):
        Access([entry], home="/data").addresses("192.168.0.1", 443)


def test_a_name_that_cannot_be_one_is_an_error_of_the_network() -> None:
    with pytest.raises(OSError, match="no name"):
        access.resolve("a" * 70 + ".example.org", 443)


def test_an_allowed_port_is_no_other_port(names: dict[str, list[str]]) -> None:
    with pytest.raises(BrokenArtefact):
        Access(["inside.example.org:443"], home="/data").addresses("inside.example.org", 22)


@pytest.mark.parametrize("entry", ["", " ", "ftp://host/"])
def test_what_cannot_be_allowed_is_told(entry: str) -> None:
    with pytest.raises(InvalidInput, match="--allow"):
        Access([entry], home="/data")


@pytest.mark.parametrize(
    "address",
    [
        "/vsicurl/http://127.0.0.1/a.tif", "/VSICURL/http://127.0.0.1/a.tif", "/vsis3/bucket/a.tif",
        "/vsizip//data/a.zip/a.tif", "/vsimem/a.tif", "vrt:///data/a.tif?bands=1", "GTIFF_DIR:1:/etc/passwd",
        "HDF5:/data/a.h5://x", "NETCDF:/data/a.nc:x", "WMS:http://127.0.0.1/", "zip+https://h/a.zip!a.tif",
        "ftp://h/a.tif", "gopher://h/", "<VRTDataset/>", "<GDAL_WMS></GDAL_WMS>", "",
        "/data/a\n.tif", "/data/a\0.tif",
        "http://", "http:///a.tif", "http://[::1/a.tif", "s3:///a.tif", "s3://a b/a.tif", "file://other/etc/passwd",
    ],
)  # fmt: skip
def test_addresses_in_gdal_s_own_tongue_are_no_addresses(address: str) -> None:
    for home in ("/data", "https://stac.example.org/v1"):
        with pytest.raises(BrokenArtefact):
            Access(home=home).place(address)


@pytest.mark.parametrize(
    "address",
    ["http://h/a.tif", "HTTPS://h/a.tif?x=1", "s3://bucket/a.tif", "gs://bucket/a.tif", "az://box/a.tif"],
)  # fmt: skip
def test_addresses_of_the_network_are_addresses(address: str) -> None:
    assert Access(home="/data").place(address).path is None


def test_files_of_this_machine_are_open_below_the_catalogue_s_folder_alone(tmp_path: Path) -> None:
    home, other = tmp_path / "catalogue", tmp_path / "other"
    for folder in (home / "deep", other):
        folder.mkdir(parents=True)
        (folder / "a.tif").write_text("x")
    (home / "catalog.json").write_text("{}")
    (home / "link.tif").symlink_to(other / "a.tif")
    (home / "folder").symlink_to(other)
    (home / "near.tif").symlink_to(home / "deep" / "a.tif")
    for start in (home, home / "catalog.json"):
        bounds = Access(home=str(start))
        assert bounds.place(str(home / "deep" / "a.tif")).path == home / "deep" / "a.tif"
        assert bounds.place(f"file://{home}/deep/a.tif").path == home / "deep" / "a.tif"
        assert bounds.place(str(home / "near.tif")).path == home / "deep" / "a.tif"
        for outside in (
            str(other / "a.tif"), f"{home}/../other/a.tif", str(home / "link.tif"), str(home / "folder" / "a.tif"),
            f"file://{other}/a.tif", f"file://{home}/%2e%2e/other/a.tif", "/etc/passwd", "file:///etc/passwd",
        ):  # fmt: skip
            with pytest.raises(
                BrokenArtefact, match=r"outside the catalogue's folder.*--allow (/etc|\S*/other)$"
            ):
                bounds.place(outside)
        assert Access([str(other)], home=str(start)).place(str(home / "link.tif")).path == other / "a.tif"


def test_a_catalogue_of_the_network_names_no_file_of_this_machine(tmp_path: Path) -> None:
    (tmp_path / "a.tif").write_text("x")
    for home in ("https://stac.example.org/v1", "s3://bucket/catalog.json", "planetary-computer"):
        with pytest.raises(BrokenArtefact, match=f"--allow {tmp_path}"):
            Access(home=home).place(str(tmp_path / "a.tif"))
        assert Access([str(tmp_path)], home=home).place(str(tmp_path / "a.tif")).path


def test_what_is_no_regular_file_is_not_waited_for(tmp_path: Path) -> None:
    import os

    os.mkfifo(tmp_path / "a.tif")
    with pytest.raises(BrokenArtefact, match="not a file"):
        Access(home=str(tmp_path)).place(str(tmp_path / "a.tif"))


def test_addresses_are_shown_without_signatures_and_passwords() -> None:
    assert shown("https://me:secret@h.org:8/a.tif?sig=secret&se=1") == "https://h.org:8/a.tif?..."
    assert shown("/data/a.tif") == "/data/a.tif"


class _Leading(BaseHTTPRequestHandler):
    """Answers every request by leading on."""

    to = ""
    asked: list[str]

    def do_GET(self) -> None:
        type(self).asked.append(self.path)
        self.send_response(302)
        self.send_header("Location", type(self).to)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *_: Any) -> None:
        """Keeps quiet."""


@pytest.fixture
def leading() -> Iterator[Callable[[str], str]]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), _Leading)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    _Leading.asked = []

    def leads(to: str) -> str:
        _Leading.to = to
        return f"http://127.0.0.1:{server.server_address[1]}/a.tif?sig=secret"

    yield leads
    server.shutdown()
    server.server_close()


@pytest.mark.parametrize(
    "to",
    ["http://127.0.0.1:1/x", "http://169.254.169.254/latest/meta-data/", "http://[::ffff:169.254.169.254]/",
     "http://2130706433:9/", "http://localhost:1/", "file:///etc/passwd", "//10.0.0.1/x", "/vsicurl/http://h/", "ftp://h/"],
)  # fmt: skip
def test_redirects_lead_no_further_than_addresses(leading: Callable[[str], str], to: str) -> None:
    address = leading(to)
    home = address.rsplit("/", 1)[0] + "/catalog.json"
    with (
        pytest.raises(BrokenArtefact) as caught,
        Fetcher(home=home, limits=QUICK).raster(address),
    ):
        pass
    assert "secret" not in str(caught.value)
    assert len(_Leading.asked) == (
        6 if to.startswith("/vsi") else 1
    )  # a path at the same server is one of its own


def test_redirects_end(leading: Callable[[str], str]) -> None:
    with pytest.raises(BrokenArtefact, match="more than 5"), Fetcher(limits=QUICK).raster(leading("/b.tif")):
        pass
    assert len(_Leading.asked) == 6


def test_a_name_is_resolved_once_and_what_was_checked_is_connected_to(
    leading: Callable[[str], str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A name that means a public host when it is checked and a private one when it is used opens nothing."""
    port = leading("/").split(":")[2].split("/")[0]
    answers = iter([["93.184.216.34"], ["127.0.0.1"], ["127.0.0.1"], ["127.0.0.1"]])
    asked = []
    monkeypatch.setattr(access, "resolve", lambda *_: asked.append(1) or next(answers))
    monkeypatch.setattr(
        "httpcore.SyncBackend.connect_tcp", lambda _self, host, *_args, **_more: pytest.fail(host)
        if host != "93.184.216.34" else (_ for _ in ()).throw(__import__("httpcore").ConnectError("far away")),
    )  # fmt: skip
    quick = Limits(tries=1, failures_to_trip=99)
    with (
        pytest.raises(Unavailable, match="far away"),
        Fetcher(home="https://h.org/", limits=quick).raster(f"http://rebinding.example.org:{port}/a.tif"),
    ):
        pass
    assert len(asked) == 1
    assert _Leading.asked == []


def test_a_description_that_leads_elsewhere_is_not_opened(tmp_path: Path) -> None:
    secret = tmp_path / "secret" / "a.tif"
    secret.parent.mkdir()
    write_tif(secret, np.full((32, 32), 7, np.uint16), PLACE, nodata=0)
    home = tmp_path / "catalogue"
    home.mkdir()
    vrt = (
        '<VRTDataset rasterXSize="32" rasterYSize="32"><VRTRasterBand dataType="UInt16" band="1"><SimpleSource>'
        f"<SourceFilename>{secret}</SourceFilename><SourceBand>1</SourceBand></SimpleSource></VRTRasterBand></VRTDataset>"
    )
    wms = '<GDAL_WMS><Service name="TMS"><ServerUrl>http://127.0.0.1/${z}</ServerUrl></Service></GDAL_WMS>'
    for name, text in (("vrt.tif", vrt), ("wms.tif", wms)):
        (home / name).write_text(text)
        with (
            pytest.raises(BrokenArtefact, match="neither a GeoTIFF nor a JPEG 2000"),
            Fetcher(home=str(home)).raster(str(home / name)),
        ):
            pass


def test_files_beside_a_raster_are_not_looked_at(tmp_path: Path) -> None:
    path = tmp_path / "a.tif"
    write_tif(path, np.full((32, 32), 7, np.uint16), PLACE, nodata=None)
    (tmp_path / "a.tif.aux.xml").write_text(
        '<PAMDataset><PAMRasterBand band="1"><NoDataValue>7</NoDataValue></PAMRasterBand></PAMDataset>'
    )
    write_tif(tmp_path / "a.tif.msk", np.zeros((32, 32), np.uint8), PLACE, nodata=None)
    with Fetcher(home=str(tmp_path)).raster(str(path)) as file:
        assert file.nodata is None
        assert file.read_masks(1).all()
        assert file.files == [str(path)]
