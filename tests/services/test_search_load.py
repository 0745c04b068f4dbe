"""One worker process serves many clients at once while its index is written, and none of them meets an error."""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path

import httpx
import pytest

REPOSITORY = Path(__file__).parents[2]
sys.path[:0] = [str(REPOSITORY / "tests" / "unit"), str(REPOSITORY / "benchmarks")]
from serve import Writer, put_load, running_service  # noqa: E402
from smooth_fields import TILE, write_smooth_field  # noqa: E402

from earthfield.catalog import Catalog  # noqa: E402
from earthfield.grid import Window  # noqa: E402
from earthfield_search.cells.opening import open_index  # noqa: E402
from earthfield_search.jobs.index import index_field  # noqa: E402

LOCAL = Window(128, 256, 256, 384)


@pytest.fixture(scope="module")
def catalog(tmp_path_factory: pytest.TempPathFactory) -> Catalog:
    catalog = Catalog(tmp_path_factory.mktemp("load"))
    for period in ("2018", "2019"):
        index_field(catalog, write_smooth_field(catalog, period=period, local=LOCAL))
    return catalog


def test_fifty_clients_and_a_writer_meet_no_error(catalog: Catalog) -> None:
    writer = Writer(catalog.folder, "smooth")
    with running_service(catalog.folder) as (url, process):
        writer.start()
        found = asyncio.run(put_load(url, clients=50, seconds=10, at_least=100))
        written = writer.end()
        metrics = httpx.get(f"{url}/metrics", trust_env=False).text
        assert process.poll() is None
    assert not found.failures, found.failures
    assert written >= 2, "the index was written meanwhile"
    assert min(map(len, found.seconds.values())) >= 1 and found.num >= 100, {
        k: len(v) for k, v in found.seconds.items()
    }
    print(f"{found.num} answers, p50 {found.percentile_ms(50):.0f} ms, p99 {found.percentile_ms(99):.0f} ms")
    assert 'earthfield_requests_total{method="POST",route="/similarity",status="200"}' in metrics
    assert 'status="5' not in metrics
    # Nothing was lost and nothing is there twice: every cell of both periods, once.
    index = open_index(catalog, "smooth")
    cells = (LOCAL.shape[0] // 8) * (LOCAL.shape[1] // 8) - 1
    assert [index.count(tile=TILE.id, period=one) for one in index.periods()] == [cells, cells]


def test_the_example_of_the_docs_runs(
    catalog: Catalog, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    text = (REPOSITORY / "docs" / "api.md").read_text(encoding="utf-8")
    example = text.split("```python\n")[1].split("```")[0]
    monkeypatch.chdir(tmp_path)
    with running_service(catalog.folder) as (url, _):
        exec(example.replace("http://127.0.0.1:8801", url), {})
        assert httpx.get(f"{url}/models", trust_env=False).is_success
    assert (tmp_path / "vectors.parquet").is_file()
    assert {one.suffix for one in (tmp_path / "maps").iterdir()} >= {".tif", ".png", ".geojson"}
