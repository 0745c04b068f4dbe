"""Who may ask the service for what: keys, scopes, and whose answers are whose."""

from __future__ import annotations

import json
import logging
import os
import stat
from pathlib import Path

import pytest
from fastapi.testclient import TestClient
from typer.testing import CliRunner

from earthfield.catalog import Catalog
from earthfield.errors import BrokenArtefact, InvalidInput, NotFound
from earthfield.settings import Settings
from earthfield_search.api.answer_files import new_answer_folder
from earthfield_search.api.app import Service, create_app
from earthfield_search.api.keys import SCOPES, KeyRing, add_key, read_keys, remove_key
from earthfield_search.api.server import service_of
from earthfield_search.commands.keys import keys as keys_command


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "keys" / "keys.json"


def guarded(root: Path, file: Path) -> TestClient:
    return TestClient(create_app(root, service=Service(keys=KeyRing(file))))


def bearer(key: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {key}"}


def test_the_file_keeps_no_key_and_only_its_owner_reads_it(file: Path) -> None:
    text, key = add_key(file, "ann", ["read", "read", "ask"])
    assert text not in file.read_text() and text.rpartition("_")[2] not in file.read_text()
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert read_keys(file) == [key] and key.scopes == ("read", "ask")


def test_a_service_with_keys_answers_those_who_carry_one(tmp_path: Path, file: Path) -> None:
    text, _ = add_key(file, "ann", ["read"])
    client = guarded(tmp_path, file)
    refused = client.get("/areas")
    assert refused.status_code == 401 and refused.json()["error"] == "NotAllowed"
    assert "Bearer" in refused.headers["www-authenticate"]
    assert client.get("/areas", headers=bearer(text)).status_code == 200
    assert client.get("/areas", headers={"X-API-Key": text}).status_code == 200
    for wrong in (text[:-1] + ("a" if text[-1] != "a" else "b"), "ef_nothing", "", "é"):
        assert client.get("/areas", headers={"X-API-Key": wrong.encode()}).status_code == 401
    assert client.get(f"/areas?key={text}").status_code == 401, "an address is for tiles only"
    assert client.get(f"/tiles/absent/2018?key={text}").status_code == 404


def test_how_it_is_asks_for_no_key(tmp_path: Path, file: Path) -> None:
    add_key(file, "ann", ["read"])
    client = guarded(tmp_path, file)
    for path in ("/health", "/ready", "/openapi.json"):
        answer = client.get(path)
        assert answer.status_code == 200 and str(tmp_path) not in answer.text


@pytest.mark.parametrize(
    ("scope", "method", "path", "status"),
    [
        ("read", "GET", "/models", 200),
        ("ask", "GET", "/models", 403),
        ("read", "POST", "/similarity", 403),
        ("admin", "GET", "/metrics", 200),
        ("read", "GET", "/metrics", 403),
        ("read", "DELETE", "/answers/a-0123456789abcdef", 403),
        ("write", "DELETE", "/answers/a-0123456789abcdef", 404),
    ],
)
def test_a_key_is_good_for_its_scopes(
    tmp_path: Path, file: Path, scope: str, method: str, path: str, status: int
) -> None:
    text, _ = add_key(file, "ann", [scope])
    question = {"model": "m", "period": "2018", "lon": 3, "lat": 50} if method == "POST" else None
    answer = guarded(tmp_path, file).request(method, path, json=question, headers=bearer(text))
    assert answer.status_code == status, answer.text
    if status == 403:
        assert answer.json()["error"] == "NotAllowed" and scope in answer.json()["message"]


def test_every_route_but_the_open_ones_needs_a_key(tmp_path: Path, file: Path) -> None:
    add_key(file, "ann", list(SCOPES))
    client = guarded(tmp_path, file)
    spec = client.get("/openapi.json").json()
    for path, methods in spec["paths"].items():
        if path in ("/health", "/ready"):
            continue
        for method, about in methods.items():
            assert client.request(method, path).status_code == 401, (method, path)
            assert about.get("security"), f"the description of {method} {path} tells of no key"


def test_a_removed_key_is_refused_at_once(tmp_path: Path, file: Path) -> None:
    text, key = add_key(file, "ann", ["read"])
    other, _ = add_key(file, "ben", ["read"])
    client = guarded(tmp_path, file)
    assert client.get("/areas", headers=bearer(text)).status_code == 200
    remove_key(file, key.id)
    assert client.get("/areas", headers=bearer(text)).status_code == 401
    assert client.get("/areas", headers=bearer(other)).status_code == 200
    file.unlink()
    gone = client.get("/areas", headers=bearer(other))
    assert gone.status_code == 503 and str(file) not in gone.text
    with pytest.raises(NotFound, match="keys add"):
        KeyRing(file)


@pytest.mark.parametrize(
    "text", ["", "[]", '{"schema": 1}', '{"schema": "earthfield-keys/1", "keys": [{"id": "a"}]}']
)
def test_a_broken_file_of_keys_opens_nothing(file: Path, text: str) -> None:
    file.parent.mkdir()
    file.write_text(text)
    with pytest.raises(BrokenArtefact, match="keys"):
        KeyRing(file)


@pytest.mark.parametrize("owner", ["../ann", "Ann", "", "a" * 41, "by/ann", ".ann"])
def test_an_owner_has_a_plain_name(file: Path, owner: str) -> None:
    with pytest.raises(InvalidInput, match="cannot own a key"):
        add_key(file, owner, ["read"])
    with pytest.raises(InvalidInput, match="not a scope"):
        add_key(file, "ann", ["everything"])
    assert not file.exists()


def test_answers_stay_with_their_owner(tmp_path: Path, file: Path) -> None:
    ann, _ = add_key(file, "ann", ["read", "write"])
    ben, _ = add_key(file, "ben", ["read", "write"])
    catalog = Catalog(tmp_path)
    folder = new_answer_folder(catalog, "ann", keep=5)
    folder.mkdir(parents=True)
    (folder / "map.tif").write_bytes(bytes(range(100)))
    (tmp_path / "secret.json").write_text("{}")
    (folder / "away.json").symlink_to(tmp_path / "secret.json")
    client = guarded(tmp_path, file)
    told = client.get("/answers", headers=bearer(ann)).json()["answers"]
    href = next(one["href"] for one in told[0]["files"] if one["title"] == "map.tif")
    assert client.get("/answers", headers=bearer(ben)).json() == {"answers": []}
    assert client.get(href, headers=bearer(ben)).status_code == 404
    assert client.delete(f"/answers/{folder.name}", headers=bearer(ben)).status_code == 404
    whole = client.get(href, headers=bearer(ann))
    assert whole.content == bytes(range(100)) and whole.headers["content-type"].startswith("image/tiff")
    part = client.get(href, headers={**bearer(ann), "Range": "bytes=10-19"})
    assert part.status_code == 206 and part.content == bytes(range(10, 20))
    base = f"/answers/{folder.name}"
    for wrong in (f"{base}/away.json", f"{base}/..%2f..%2fsecret.json", f"{base}/%2e%2e", "/answers/a-0/map.tif",
                  f"/answers/..%2fby-ann%2f{folder.name}/map.tif"):  # fmt: skip
        assert client.get(wrong, headers=bearer(ann)).status_code in (404, 422), wrong
    assert client.delete(base, headers=bearer(ann)).status_code == 204 and not folder.exists()


def test_old_answers_make_room(tmp_path: Path) -> None:
    catalog = Catalog(tmp_path)
    made = []
    for number in range(5):
        made.append(new_answer_folder(catalog, "", keep=3))
        made[-1].mkdir(parents=True)
        os.utime(made[-1], (number, number))
    assert [one.exists() for one in made] == [False, True, True, True, True]


def test_messages_tell_no_address_of_the_machine_to_strangers(tmp_path: Path, file: Path) -> None:
    text, _ = add_key(file, "ann", list(SCOPES))
    query = "/embeddings?model=absent&period=2018&lon=3&lat=50"
    assert str(tmp_path) in TestClient(create_app(tmp_path)).get(query).text
    answer = guarded(tmp_path, file).get(query, headers=bearer(text))
    assert answer.status_code == 404 and str(tmp_path) not in answer.text and "the root" in answer.text


def test_a_key_in_the_address_of_a_tile_is_not_logged(
    tmp_path: Path, file: Path, caplog: pytest.LogCaptureFixture
) -> None:
    text, key = add_key(file, "ann", ["read"])
    with caplog.at_level(logging.INFO, logger="earthfield_search.access"):
        guarded(tmp_path, file).get(f"/tiles/absent/2018?key={text}")
    lines = [one.getMessage() for one in caplog.records if one.name == "earthfield_search.access"]
    assert len(lines) == 1 and key.id in lines[0] and "404" in lines[0]
    assert text.rpartition("_")[2] not in lines[0]


def test_an_open_service_stays_on_this_machine_unless_told(tmp_path: Path, file: Path) -> None:
    settings = Settings(root=tmp_path)
    with pytest.raises(InvalidInput, match=r"--keys FILE.*--open"):
        service_of(settings, "0.0.0.0")
    assert service_of(Settings(root=tmp_path, api_open=True), "0.0.0.0").hosts == ()
    here = service_of(settings, "127.0.0.1")
    assert here.keys is None and "127.0.0.1" in here.hosts
    client = TestClient(create_app(tmp_path, service=here), base_url="http://evil.example")
    assert client.get("/areas").status_code == 400, "a page's own name for this machine is refused"
    assert (
        TestClient(create_app(tmp_path, service=here), base_url="http://127.0.0.1").get("/areas").is_success
    )
    add_key(file, "ann", ["read"])
    assert service_of(Settings(root=tmp_path, api_keys=file), "0.0.0.0").keys is not None


def test_the_command_makes_lists_and_removes_keys(file: Path) -> None:
    run = CliRunner().invoke
    made = json.loads(
        run(keys_command, ["add", "ann", "--keys", str(file), "--scope", "read", "--json"]).stdout
    )
    assert KeyRing(file).caller(made["key"]) is not None
    listed = json.loads(run(keys_command, ["list", "--keys", str(file), "--json"]).stdout)["keys"]
    assert [(one["id"], one["owner"], one["scopes"]) for one in listed] == [(made["id"], "ann", ["read"])]
    assert made["key"] not in run(keys_command, ["list", "--keys", str(file)]).stdout
    assert run(keys_command, ["remove", made["id"], "--keys", str(file)]).exit_code == 0
    assert read_keys(file) == []
    with pytest.raises(NotFound, match="holds no key"):
        run(keys_command, ["remove", made["id"], "--keys", str(file)], catch_exceptions=False)


def test_labels_stay_with_their_owner(tmp_path: Path, file: Path) -> None:
    ann, _ = add_key(file, "ann", ["read", "write"])
    ben, _ = add_key(file, "ben", ["read", "write"])
    client = guarded(tmp_path, file)
    features = [
        {
            "type": "Feature",
            "geometry": {"type": "Point", "coordinates": [3.0, 50.0]},
            "properties": {"class": name},
        }
        for name in ("a", "b")
    ]
    kept = {"labels": {"type": "FeatureCollection", "features": features}}
    assert client.put("/labels/mine", json=kept, headers=bearer(ann)).status_code == 200
    assert [one["name"] for one in client.get("/labels", headers=bearer(ann)).json()["labels"]] == ["mine"]
    assert client.get("/labels", headers=bearer(ben)).json() == {"labels": []}
    assert client.get("/labels/mine", headers=bearer(ben)).status_code == 404
    assert client.delete("/labels/mine", headers=bearer(ben)).status_code == 404
    assert client.get("/labels/mine", headers=bearer(ann)).status_code == 200
