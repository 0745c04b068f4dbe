"""Assets in a real object store are read like files, and what the store refuses is told."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import rasterio
from moto.server import ThreadedMotoServer

from earthfield.errors import BrokenArtefact, NotFound, Unavailable
from earthfield_ingest.fetch import Fetcher, Limits

QUICK = Limits(connect_s=1, read_s=2, budget_s=5, tries=2, pause_s=0.01)


@pytest.fixture
def bucket(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """A bucket with a raster, a text, and the environment that leads to it."""
    import boto3

    server = ThreadedMotoServer("127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    for name, value in {
        "AWS_ACCESS_KEY_ID": "test", "AWS_SECRET_ACCESS_KEY": "test", "AWS_REGION": "us-east-1",
        "AWS_ENDPOINT_URL": f"http://{host}:{port}", "AWS_ALLOW_HTTP": "true",
    }.items():  # fmt: skip
        monkeypatch.setenv(name, value)
    path = tmp_path / "a.tif"
    with rasterio.open(
        path, "w", driver="COG", width=512, height=512, count=1, dtype="uint16", crs="EPSG:32631",
        transform=rasterio.Affine(10, 0, 5e5, 0, -10, 5.6e6), compress="deflate", blocksize=128,
    ) as file:  # fmt: skip
        file.write(np.random.default_rng(0).integers(1, 4000, (1, 512, 512)).astype(np.uint16))
    client = boto3.client("s3", endpoint_url=f"http://{host}:{port}", region_name="us-east-1")
    client.create_bucket(Bucket="scenes")
    client.put_object(Bucket="scenes", Key="a b/a.tif", Body=path.read_bytes())
    client.put_object(Bucket="scenes", Key="catalog.json", Body=b'{"id": "caf\xc3\xa9"}')
    yield str(path)
    server.stop()


def test_objects_are_read_in_pieces(bucket: str) -> None:
    fetcher = Fetcher(home="s3://scenes/catalog.json", limits=QUICK)
    with fetcher.raster("s3://scenes/a%20b/a.tif") as file, rasterio.open(bucket) as own:
        box = ((130, 250), (130, 250))
        assert (file.read(1, window=box) == own.read(1, window=box)).all()
        assert fetcher.bytes_fetched < Path(bucket).stat().st_size / 3
        assert (file.read(1) == own.read(1)).all()
    with fetcher.file("s3://scenes/a%20b/a.tif") as data:
        assert data.read() == Path(bucket).read_bytes()
    assert fetcher.text("s3://scenes/catalog.json") == '{"id": "café"}'
    assert list(fetcher.traffic.bytes_by_provider) == ["s3://scenes"]


def test_what_a_store_refuses_is_told_once_and_a_dead_one_is_tried_again(
    bucket: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    fetcher = Fetcher(home="s3://scenes/catalog.json", limits=QUICK)
    with (
        pytest.raises(BrokenArtefact, match=r"s3://scenes/none.tif answers 404"),
        fetcher.raster("s3://scenes/none.tif"),
    ):
        pass
    with pytest.raises(NotFound):
        fetcher.text("s3://scenes/none.json")
    assert fetcher.traffic.retries == 0
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:1")
    dead = Fetcher(limits=QUICK)
    with (
        pytest.raises(Unavailable, match=r"s3://scenes/a.tif does not answer"),
        dead.raster("s3://scenes/a.tif"),
    ):
        pass
    assert dead.traffic.retries == 1


def test_a_provider_s_settings_are_used_and_an_endpoint_of_the_user_goes_first(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    from earthfield_ingest.fetch.stores import s3_settings

    for name in (
        "AWS_ENDPOINT_URL",
        "AWS_ENDPOINT_URL_S3",
        "AWS_ENDPOINT",
        "AWS_REGION",
        "AWS_DEFAULT_REGION",
    ):
        monkeypatch.delenv(name, raising=False)
    assert s3_settings("s3://sentinel-cogs") == {"region": "us-west-2", "skip_signature": True}
    assert s3_settings("s3://eodata")["endpoint"] == "https://eodata.dataspace.copernicus.eu"
    assert s3_settings("s3://mine") == {"region": "us-east-1"}
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:5")
    assert s3_settings("s3://sentinel-cogs") == {"region": "us-west-2", "endpoint": "http://127.0.0.1:5"}
