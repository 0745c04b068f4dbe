"""What docs/add-a-source.md says holds: its example runs, and its table is that of the declared sources."""

from __future__ import annotations

import json
import re
import tomllib
from pathlib import Path

import numpy as np
import pytest
from ingest_catalogue import PLACE, TinyCatalogue, area_text, write_tif

from earthfield.catalog import Catalog
from earthfield.cube import Cube
from earthfield.grid import Tile
from earthfield.schemas import IngestRequest
from earthfield.sources import Source, known_sources
from earthfield_ingest import jobs

REPOSITORY = Path(__file__).parents[2]
PAGE = (REPOSITORY / "docs" / "add-a-source.md").read_text()
WEST = Tile.parse("32631_0048_0549")


def block(language: str) -> str:
    """The first block of the page in a language."""
    found = re.search(rf"```{language}\n(.*?)```", PAGE, re.DOTALL)
    assert found is not None
    return found[1]


@pytest.fixture
def example(monkeypatch: pytest.MonkeyPatch) -> Source:
    """The source of the page, declared."""
    module: dict[str, object] = {"__name__": "hls_s30"}
    exec(compile(block("python"), "docs/add-a-source.md", "exec"), module)
    source = module["SOURCE"]
    assert isinstance(source, Source)
    with_it = {**known_sources(), source.name: source}
    for place in ("earthfield.sources", "earthfield_ingest.dialect", "earthfield_ingest.scene"):
        monkeypatch.setattr(f"{place}.known_sources", lambda: with_it)
    return source


def test_a_source_of_one_file_is_ingested(example: Source, tmp_path: Path) -> None:
    tiny = TinyCatalogue(tmp_path / "catalogue", example.collections[0])
    flags = np.zeros(PLACE.shape, np.uint8)
    flags[:, 3] = 1 << 1
    flags[:, 4] = 1 << 4  # snow is surface
    for name in ("HLS.S30.T31UES.2020153", "HLS.L30.T31UES.2020158"):
        folder = tiny.add(
            name, "2020-06-01T10:00:00", value=2500, bands=("B04", "B8A"), platform="sentinel-2a"
        )
        write_tif(folder / "Fmask.tif", flags, PLACE, nodata=None)
        path = folder / f"{name}.json"
        item = json.loads(path.read_text())
        item["assets"]["Fmask"] = {"href": "./Fmask.tif", "type": "image/tiff"}
        path.write_text(json.dumps(item))
    request = IngestRequest.model_validate(
        {
            "root": tmp_path / "root", "catalog": str(tiny.folder), "periods": ("2020",),
            "sources": (example.name,), "aoi": area_text(PLACE),
        }
    )  # fmt: skip
    report = jobs.ingest(request).sources[example.name]
    assert (report.found, report.used) == (2, 1)
    assert report.dropped == {"its `id` is that of an L30 product": 1}
    cube = Cube(Catalog(tmp_path / "root").cube(WEST))
    (seen,) = cube.observations(example.name)
    part = WEST.local(PLACE & WEST.window)
    values, valid = cube.read(example.name, [seen.slot], part)
    shown = flags[:, : part.shape[1]] & 0b1111 == 0
    assert np.array_equal(valid[0], shown)
    assert (values[0][:, shown] == 2500).all()
    assert seen.about == {"platform": "sentinel-2a"}


def test_the_entry_point_of_the_page_is_of_the_group_that_is_searched(example: Source) -> None:
    told = tomllib.loads(block("toml"))["project"]["entry-points"]
    own = tomllib.loads((REPOSITORY / "pyproject.toml").read_text())["project"]["entry-points"]
    assert set(told["earthfield.sources"]) == {example.name}
    assert set(known_sources()) >= set(own["earthfield.sources"])


def test_entry_points_bear_the_names_of_their_sources() -> None:
    own = tomllib.loads((REPOSITORY / "pyproject.toml").read_text())["project"]["entry-points"]
    assert set(own["earthfield.sources"]) <= set(known_sources())


def row(source: Source) -> str:
    """A source's line in the table of the page."""
    told = [" or ".join(f"`{name}`" for name in one.assets[:1]) for one in source.quality]
    cells = (
        f"`{source.name}`",
        source.title,
        ", ".join(source.band_names),
        source.dtype + ("" if source.lattice is None else f" on {source.lattice.pixel:g} {unit(source)}"),
        ", ".join(told) or "-",
        source.cadence,
        " and ".join(sorted(source.roles)),
    )
    return f"| {' | '.join(cells)} |"


def unit(source: Source) -> str:
    assert source.lattice is not None
    return "degrees" if source.lattice.crs.upper() == "EPSG:4326" else "m"


def test_the_table_of_the_page_is_that_of_the_registry() -> None:
    expected = [row(source) for source in known_sources().values()]
    table = PAGE.split("## The sources there are")[1]
    assert re.findall(r"^\| `.*\|$", table, re.MULTILINE) == expected, "\n".join(expected)


def test_every_field_of_a_source_is_explained() -> None:
    from dataclasses import fields

    table = PAGE.split("## What to say")[1].split("## Test it")[0]
    assert [one.name for one in fields(Source) if f"`{one.name}`" not in table and one.name != "title"] == []
