"""The published description is that of the service, and clients can be generated from it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from fastapi import FastAPI
from typer.testing import CliRunner

from earthfield.client import Client
from earthfield_search.api.app import create_app

PUBLISHED = Path(__file__).parents[2] / "docs" / "openapi.json"


@pytest.fixture(scope="module")
def app(tmp_path_factory: pytest.TempPathFactory) -> FastAPI:
    return create_app(tmp_path_factory.mktemp("root"))


@pytest.fixture(scope="module")
def spec(app: FastAPI) -> dict[str, Any]:
    return app.openapi()


def operations(spec: dict[str, Any]) -> list[tuple[str, str, dict[str, Any]]]:
    return [
        (path, method, about) for path, methods in spec["paths"].items() for method, about in methods.items()
    ]


def test_the_published_description_is_current(spec: dict[str, Any]) -> None:
    published = json.loads(PUBLISHED.read_text(encoding="utf-8"))
    told = "docs/openapi.json is out of date: earthfield serve search --spec > docs/openapi.json"
    assert published["paths"].keys() == spec["paths"].keys(), told
    assert published == json.loads(json.dumps(spec)), told


def test_the_command_prints_it(spec: dict[str, Any], tmp_path: Path) -> None:
    import typer

    from earthfield_search.commands.serve import serve

    command = typer.Typer()
    command.command()(serve)
    printed = CliRunner().invoke(command, ["--spec", "--root", str(tmp_path)], catch_exceptions=False).stdout
    assert json.loads(printed) == json.loads(json.dumps(spec))


def test_operations_have_plain_names_of_their_own(spec: dict[str, Any]) -> None:
    names = [about["operationId"] for _, _, about in operations(spec)]
    assert len(set(names)) == len(names) and all(name.isidentifier() for name in names)


def test_every_operation_says_what_it_does_and_how_it_refuses(spec: dict[str, Any]) -> None:
    for path, method, about in operations(spec):
        assert about.get("description"), (method, path)
        refused = about["responses"]["422"]["content"]["application/json"]["schema"]["$ref"]
        assert refused.endswith("/Refusal"), (method, path)
        for parameter in about.get("parameters", []):
            assert parameter.get("description") or parameter["name"] == "style", (
                method,
                path,
                parameter["name"],
            )


def test_the_client_has_a_method_for_every_operation(spec: dict[str, Any]) -> None:
    other = {
        "metrics",
        "picture_bounds",
        "similarity_picture",
        "answer",
    }  # bounds, heat, download; metrics: Prometheus
    missing = {about["operationId"] for _, _, about in operations(spec)} - other - set(dir(Client))
    assert not missing


def test_text_and_numbers_in_requests_have_bounds(spec: dict[str, Any]) -> None:
    loose = []
    for path, method, about in operations(spec):
        for parameter in about.get("parameters", []):
            schema = parameter["schema"]
            is_text = (
                schema.get("type") == "string"
                and not {"maxLength", "enum", "const", "pattern"} & schema.keys()
            )
            if is_text and parameter["name"] not in (
                "model",
                "period",
            ):  # checked by `checked_name`, `Period.parse`
                loose.append((method, path, parameter["name"]))
    assert not loose, loose
