"""The search service from Python: every route as a method, pages as iterators, errors as errors, files whole."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx

from earthfield.client.addresses import Place, at, part
from earthfield.client.connection import Connection
from earthfield.client.pictures import Heat, Pictures
from earthfield.errors import InvalidInput, Unavailable

__all__ = ["Area", "Client", "Heat", "LabelSet", "Place"]

Area = str | Mapping[str, Any] | Sequence[float]
"""GeoJSON, WKT of a polygon, or a box (west, south, east, north), in degrees."""

LabelSet = str | Mapping[str, Any] | Path
"""Name of kept labels, GeoJSON, or the path of a GeoJSON file."""

_FILE_NAME = re.compile(r"^[A-Za-z0-9][A-Za-z0-9._-]{0,199}$")


class Client(Pictures):
    """Asks a search service. Answers are what the service's JSON holds, mostly GeoJSON as dictionaries.

    Busy services (429, 503) are asked again when they say so. One client may be used by several threads.

    Every method raises:
        InvalidInput: the request is wrong.
        NotFound: what was asked for does not exist.
        NotAllowed: the key is missing, not good, or not meant for this.
        Conflict: the request contradicts what is there.
        Unavailable: the service does not answer, is busy, or needs longer than it allows.
    """

    def __init__(
        self, url: str | None = None, key: str | None = None, *,
        timeout_s: float = 330.0, tries: int = 5, transport: httpx.BaseTransport | None = None,
    ) -> None:  # fmt: skip
        """Nothing is asked before the first call.

        Args:
            url: address of the service; EARTHFIELD_SEARCH_URL when absent.
            key: a key of the service; EARTHFIELD_SEARCH_KEY when absent.
            timeout_s: longest wait for an answer, seconds.
            tries: how often a busy service is asked in all.
            transport: another way to the service than the network, for tests.
        """
        if url is None or key is None:
            from earthfield.settings import Settings

            settings = Settings()
            url, key = (
                settings.search_url if url is None else url,
                settings.search_key if key is None else key,
            )
        self._to = Connection(url, key, timeout_s=timeout_s, tries=tries, transport=transport)

    @property
    def url(self) -> str:
        """Address of the service."""
        return self._to.url

    def __enter__(self) -> Client:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Ends its connections."""
        self._to.close()

    # What is there ------------------------------------------------------------------------------------------------

    def health(self) -> dict[str, Any]:
        """Tells that the service answers."""
        return self._to.json("GET", "/health")

    def ready(self) -> dict[str, Any]:
        """Tells that it can answer questions."""
        return self._to.json("GET", "/ready")

    def models(self) -> list[dict[str, Any]]:
        """Lists models: name, dim, periods, fingerprint."""
        return list(self._to.json("GET", "/models")["models"])

    def model_report(self, model: str) -> dict[str, Any]:
        """Tells what a model says of itself: `card` (Markdown) and `figures` of its training, None where absent."""
        return self._to.json("GET", f"/models/{part(model)}/report")

    def model_curves(self, model: str, *, most: int = 400) -> dict[str, Any]:
        """Gives how a training went: every figure over its steps, at most `most` points each."""
        return self._to.json("GET", f"/models/{part(model)}/curves", params={"most": most})

    def model_evaluations(self, model: str) -> dict[str, Any]:
        """Lists how a model's fields scored on labels, newest report first."""
        return self._to.json("GET", f"/models/{part(model)}/evaluations")

    def areas(
        self, *, model: str | None = None, period: str | None = None, page: int = 1000
    ) -> Iterator[dict[str, Any]]:
        """Yields every finished field, page by page."""
        return self._to.pages("/areas", "areas", {"model": model, "period": period, "limit": page})

    def catalog(self) -> dict[str, Any]:
        """Tells where and when the installation's own STAC catalogue holds scenes."""
        return self._to.json("GET", "/catalog")

    # Schedules --------------------------------------------------------------------------------------------------

    def schedules(self) -> list[dict[str, Any]]:
        """Lists areas that keep themselves up to date, with what was last new in each."""
        return list(self._to.json("GET", "/schedules")["schedules"])

    def save_schedule(self, name: str, content: Mapping[str, Any]) -> dict[str, Any]:
        """Keeps a schedule under a name, in place of what had it before; it holds within seconds.

        Args:
            name: its name.
            content: `catalog`, and if wanted `area`, `period_of`, `since`, `late_days`, `cron`, `rebuild_cron`,
                `model`, `sources`, `agreement`, `skip_unreadable`, `active`.
        """
        return self._to.json("PUT", f"/schedules/{part(name)}", json=dict(content))

    def remove_schedule(self, name: str) -> None:
        """Forgets a schedule; what it made stays."""
        self._to.ask("DELETE", f"/schedules/{part(name)}")

    # Vectors ----------------------------------------------------------------------------------------------------

    def embedding(self, model: str, period: str, place: Place) -> dict[str, Any]:
        """Gives the vector at a place, its quality, and the scenes behind it."""
        return self._to.json("GET", "/embeddings", params=at(model, period, place))

    def embeddings(self, model: str, period: str, places: Sequence[Place]) -> dict[str, Any]:
        """Gives the vectors at many places (at most 5000) as GeoJSON, in their order; None where there is none."""
        content = {"model": model, "period": period, "points": [list(place) for place in places]}
        return self._to.json("POST", "/embeddings", json=content)

    def save_embeddings(self, model: str, period: str, places: Sequence[Place], path: Path | str) -> Path:
        """Writes the vectors at many places as a table: `.csv`, `.parquet` (GeoParquet) or `.geojson`."""
        path = Path(path)
        forms = {".csv": "csv", ".parquet": "geoparquet", ".geojson": "geojson"}
        if path.suffix not in forms:
            raise InvalidInput(
                f"{path} does not end in {', '.join(forms)}: the ending says which table it becomes"
            )
        points = [list(place) for place in places]
        content = {"model": model, "period": period, "points": points, "format": forms[path.suffix]}
        return self._to.save("POST", "/embeddings", path, json=content)

    # Questions ----------------------------------------------------------------------------------------------------

    def similar(
        self, model: str, at: Sequence[Place] = (), *, period: str | None = None, k: int | None = None,
        area: Area | None = None, **more: Any,
    ) -> dict[str, Any]:  # fmt: skip
        """Gives the cells most like some examples, best first, as GeoJSON points.

        Args:
            model: name of a model.
            at: places that look like it; examples can also be `polygon`, `vector`, `text` or `label`.
            period: when they look like it; the newest when absent.
            k: how many; 20 when absent.
            area: where to look.
            more: any other field of `POST /similarity`: `not_at`, `above`, `periods`, `tiles`, `min_purity`,
                `min_distance_m`, `diverse`, `explain`, `labelled`, `offset`, `limit` ...
        """
        return self._to.json("POST", "/similarity", json=_similar(model, at, period, k=k, area=area, **more))

    def all_similar(self, model: str, at: Sequence[Place] = (), **question: Any) -> Iterator[dict[str, Any]]:
        """Yields what `similar` finds as GeoJSON features, page by page (`limit` places each, 200 when absent)."""
        offset, limit = question.pop("offset", 0), question.pop("limit", 200)
        while offset is not None:
            page = self.similar(model, at, offset=offset, limit=limit, **question)
            yield from page["features"]
            offset = page["next_offset"]

    def save_similar(self, path: Path | str, model: str, at: Sequence[Place] = (), **question: Any) -> Path:
        """Writes what `similar` finds as `.geojson` or `.parquet` (GeoParquet)."""
        path = Path(path)
        if path.suffix not in (".geojson", ".parquet"):
            raise InvalidInput(
                f"{path} ends neither in .geojson nor in .parquet: the ending says what it becomes"
            )
        form = "geojson" if path.suffix == ".geojson" else "geoparquet"
        content = _similar(model, at, format=form, **question)
        return self._to.save("POST", "/similarity", path, json=content)

    def similarity_map(self, model: str, at: Sequence[Place] = (), **question: Any) -> dict[str, Any]:
        """Compares every pixel of an area with the examples of `similar`; `download` fetches the rasters."""
        return self._to.json("POST", "/similarity/map", json=_similar(model, at, **question))

    def classify(
        self, model: str, period: str, labels: LabelSet, *, area: Area | None = None, **more: Any
    ) -> dict[str, Any]:
        """Tells the class of every pixel, learned from labels; `download` fetches the rasters.

        Args:
            model: name of a model.
            period: a valid period.
            labels: GeoJSON features with a class each (a mapping, or a file), or the name of kept labels.
            area: what to map; everything when absent.
            more: any other field of `POST /classify`: `method`, `column`, `each_class` ...
        """
        content = {"model": model, "period": period, "labels": _labels(labels), "area": _area(area)} | more
        return self._to.json("POST", "/classify", json=_without_none(content))

    def regress(
        self, model: str, period: str, labels: LabelSet, *, area: Area | None = None, **more: Any
    ) -> dict[str, Any]:
        """Tells a number for every pixel, learned from labels; arguments as in `classify`."""
        content = {"model": model, "period": period, "labels": _labels(labels), "area": _area(area)} | more
        return self._to.json("POST", "/regress", json=_without_none(content))

    def cluster(self, model: str, period: str, *, area: Area | None = None, **more: Any) -> dict[str, Any]:
        """Groups pixels that belong together; `more` is any other field of `POST /cluster`."""
        content = {"model": model, "period": period, "area": _area(area)} | more
        return self._to.json("POST", "/cluster", json=_without_none(content))

    def change(
        self, model: str, before: str, after: str, *, area: Area | None = None, **more: Any
    ) -> dict[str, Any]:
        """Tells what has changed between two periods; `more` is any other field of `POST /change`."""
        content = {"model": model, "before": before, "after": after, "area": _area(area)} | more
        return self._to.json("POST", "/change", json=_without_none(content))

    def temporal(
        self, model: str, place: Place, *, references: Mapping[str, Place] | None = None,
        labels: str | None = None, periods: Sequence[str] = (), **more: Any,
    ) -> dict[str, Any]:  # fmt: skip
        """Tells how a place went through time: its cosine to references, its distance to the period before.

        Args:
            model: name of a model.
            place: the place.
            references: other places by name.
            labels: name of kept labels, each class of which is a reference.
            periods: only these.
            more: any other parameter of `GET /temporal`.
        """
        asked = [f"{name}={lon},{lat}" for name, (lon, lat) in (references or {}).items()]
        content = {"model": model, "lon": place[0], "lat": place[1], "reference": asked, "labels": labels}
        content |= {"period": list(periods), **more}
        return self._to.json("GET", "/temporal", params=_without_none(content))

    # What is kept -------------------------------------------------------------------------------------------------

    def labels(self) -> list[dict[str, Any]]:
        """Lists the labels of this key."""
        return list(self._to.json("GET", "/labels")["labels"])

    def label_set(self, name: str) -> dict[str, Any]:
        """Gives kept labels as GeoJSON."""
        return self._to.json("GET", f"/labels/{part(name)}")

    def save_labels(self, name: str, labels: LabelSet, **more: Any) -> dict[str, Any]:
        """Keeps labels (GeoJSON, as in `classify`) under a name, in place of those that had it."""
        content = {"labels": _labels(labels)} | more
        return self._to.json("PUT", f"/labels/{part(name)}", json=_without_none(content))

    def remove_labels(self, name: str) -> None:
        """Removes kept labels."""
        self._to.ask("DELETE", f"/labels/{part(name)}")

    def searches(self) -> list[dict[str, Any]]:
        """Lists the saved searches of this key."""
        return list(self._to.json("GET", "/searches")["searches"])

    def search(self, name: str) -> dict[str, Any]:
        """Gives a saved search with what it found last."""
        return self._to.json("GET", f"/searches/{part(name)}")

    def save_search(self, name: str, model: str, at: Sequence[Place] = (), **question: Any) -> dict[str, Any]:
        """Asks as `similar` does, and keeps the question and its answer under a name."""
        return self._to.json("PUT", f"/searches/{part(name)}", json=_similar(model, at, **question))

    def run_search(self, name: str) -> dict[str, Any]:
        """Asks a saved question again; `new` and `gone` tell what is different."""
        return self._to.json("POST", f"/searches/{part(name)}/run")

    def remove_search(self, name: str) -> None:
        """Removes a saved search."""
        self._to.ask("DELETE", f"/searches/{part(name)}")

    # Files of answers ---------------------------------------------------------------------------------------------

    def answers(self) -> list[dict[str, Any]]:
        """Lists the answers of this key that were written as files, newest first."""
        return list(self._to.json("GET", "/answers")["answers"])

    def remove_answer(self, answer_id: str) -> None:
        """Removes an answer with its files."""
        self._to.ask("DELETE", f"/answers/{part(answer_id)}")

    def download(self, answer: Mapping[str, Any], folder: Path | str) -> list[Path]:
        """Fetches the files of an answer, each whole or not at all.

        Args:
            answer: what a question gave, with `links`; or one of `answers()`, with `files`.
            folder: where they go, under the names that the service gives them.
        """
        links = [
            one for one in answer.get("links") or answer.get("files") or [] if "/answers/" in one["href"]
        ]
        if not links:
            raise InvalidInput("this answer has no files: ask for them in the question")
        return [self._fetch(one, Path(folder)) for one in links]

    def _fetch(self, link: Mapping[str, str], folder: Path) -> Path:
        name, href = link["href"].rpartition("/")[2], urlsplit(link["href"])
        if href.scheme or href.netloc or not _FILE_NAME.fullmatch(name):
            raise Unavailable(
                f"the service told a strange address of a file, {link['href'][:80]!r}: it is not fetched"
            )
        return self._to.save("GET", link["href"].removeprefix(urlsplit(self.url).path), folder / name)


def _similar(model: str, at: Sequence[Place], period: str | None, **more: Any) -> dict[str, Any]:
    content = {"model": model, "at": [list(place) for place in at], "period": period} | more
    for name in ("area", "polygon"):
        content[name] = _area(content.get(name))
    return _without_none(content)


def _area(area: Any) -> Any:
    """Gives an area as JSON can carry it: shapes of shapely and others tell themselves as GeoJSON."""
    return getattr(area, "__geo_interface__", area)


def _labels(labels: LabelSet) -> Any:
    if not isinstance(labels, Path):
        return labels
    try:
        return json.loads(labels.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise InvalidInput(f"{labels} cannot be read as GeoJSON ({error}): give another file") from error


def _without_none(content: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in content.items() if value is not None}
