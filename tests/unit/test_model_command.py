"""`earthfield model`: models are listed, shown, and carried whole from one root to another, or not at all."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from training_land import SOURCES, one_thread  # noqa: F401
from typer.testing import CliRunner

from earthfield.catalog import Catalog
from earthfield.errors import BrokenArtefact, Conflict, EarthfieldError, InvalidInput, NotFound
from earthfield_infer.model_cli import model as command
from earthfield_infer.models import facts_named, list_models
from earthfield_infer.transfer import SUMS_FILE, export_model, import_model
from earthfield_model import load_model
from earthfield_model.alphaearth import CONFIG_FILE, WEIGHTS_FILE, AlphaEarth
from earthfield_model.config import SourceConfig, model_config
from earthfield_model.encoder import fingerprint_of
from earthfield_model.widths import widths_named

METRICS = {
    "parameters": 123, "steps": 7, "first": {"loss": 2.0}, "last": {"loss": 1.0},
    "health": {"effective_rank": 9.5},
}  # fmt: skip


def made(root: Path, name: str = "mine", *, seed: int = 0, metrics: object = METRICS) -> AlphaEarth:
    torch.manual_seed(seed)
    statistics = {"B04": (0.61, 0.07)}
    sources = [SourceConfig.of(one).with_statistics(statistics) for one in SOURCES.values()]
    model = AlphaEarth(model_config(name, sources, widths_named("nano")))
    folder = Catalog(root).model(name)
    model.save_pretrained(folder)
    (folder / "card.md").write_text(f"# {name}\n\nA card.\n")
    (folder / "metrics.json").write_text(json.dumps(metrics))
    (folder / "checkpoint.safetensors").write_bytes(b"large")
    (folder / "checkpoints").mkdir()
    (folder / "checkpoints" / "step-000001.safetensors").write_bytes(b"large")
    return model


@pytest.fixture
def root(tmp_path: Path) -> Path:
    made(tmp_path / "root")
    return tmp_path / "root"


def run(*words: object) -> tuple[int, str]:
    result = CliRunner().invoke(command, [str(word) for word in words], env={"COLUMNS": "160"})
    if isinstance(result.exception, EarthfieldError):
        raise result.exception
    return result.exit_code, result.stdout


def test_models_are_listed_with_what_their_metrics_tell(root: Path) -> None:
    (row,) = (one for one in list_models(Catalog(root)) if one.name == "mine")
    assert (row.parameters, row.steps, row.bundled) == (123, 7, False)
    assert row.bytes == (root / "models" / "mine" / WEIGHTS_FILE).stat().st_size
    code, out = run("list", "--root", root, "--json")
    assert code == 0
    assert "mine" in {one["name"] for one in json.loads(out)["models"]}
    assert "mine" in run("list", "--root", root)[1]


def test_a_model_is_shown_with_everything_known_of_it(root: Path) -> None:
    facts = facts_named("mine", Catalog(root))
    model = load_model("mine", root=root)
    assert facts.fingerprint == fingerprint_of(model)
    assert facts.cost.parameters == model.num_parameters == sum(facts.cost.parameters_by_part.values())
    assert facts.cost.gflops == pytest.approx(sum(facts.cost.gflops_by_part.values()), abs=0.01)
    assert facts.cost.gflops_per_km2 == pytest.approx(facts.cost.gflops / 1.6384, rel=1e-3)
    assert (facts.text, facts.metrics, facts.card) == (False, METRICS, "# mine\n\nA card.\n")
    told = json.loads(run("show", "mine", "--root", root, "--json")[1])
    assert told["fingerprint"] == facts.fingerprint
    shown = run("show", "mine", "--root", root)[1]
    for word in (
        "A card.",
        "B04",
        "0.6100",
        "0.0700",
        "effective rank 9.500",
        "text network: no",
        facts.fingerprint,
    ):
        assert word in shown


def test_a_preset_is_shown_before_anything_is_trained(tmp_path: Path) -> None:
    facts = facts_named("nano", Catalog(tmp_path))
    assert facts.fingerprint is None
    assert [one["name"] for one in facts.config["sources"]] == [
        "landsat-c2-l2",
        "sentinel-1-rtc",
        "sentinel-2-l2a",
    ]
    assert facts.cost.frames == {"sentinel-2-l2a": 65, "sentinel-1-rtc": 17, "landsat-c2-l2": 21}
    assert facts.cost.weights_mb == pytest.approx(facts.cost.parameters * 4e-6, rel=0.01)
    assert "GFLOP per km2" in run("show", "nano", "--root", tmp_path)[1]


def test_a_model_stands_before_a_preset_of_its_name(root: Path) -> None:
    made(root, "tiny")
    assert facts_named("tiny", Catalog(root)).fingerprint is not None
    assert facts_named("tiny", Catalog(root), preset=True).fingerprint is None
    with pytest.raises(NotFound, match="nonesuch"):
        facts_named("nonesuch", Catalog(root))


@pytest.mark.parametrize("content", ["{", "[1]"])
def test_broken_metrics_are_told(root: Path, content: str) -> None:
    (root / "models" / "mine" / "metrics.json").write_text(content)
    with pytest.raises(BrokenArtefact, match=r"metrics\.json"):
        facts_named("mine", Catalog(root))


def test_a_model_without_card_and_metrics_is_shown(root: Path) -> None:
    for name in ("card.md", "metrics.json"):
        (root / "models" / "mine" / name).unlink()
    assert run("show", "mine", "--root", root)[0] == 0


def test_export_and_import_keep_the_fingerprint(root: Path, tmp_path: Path) -> None:
    told = export_model("mine", Catalog(root), tmp_path / "out")
    assert {path.name for path in (tmp_path / "out").iterdir()} == {
        CONFIG_FILE, WEIGHTS_FILE, "card.md", "metrics.json", SUMS_FILE,
    }  # fmt: skip
    there = tmp_path / "other"
    report = json.loads(run("import", tmp_path / "out", "--root", there, "--json")[1])
    assert report["fingerprint"] == told.fingerprint == fingerprint_of(load_model("mine", root=there))
    assert {path.name for path in (there / "models" / "mine").iterdir()} == set(told.files)
    assert [path.name for path in (there / "models").iterdir()] == ["mine"]


def test_export_touches_no_folder_that_is_not_an_export(root: Path, tmp_path: Path) -> None:
    home = tmp_path / "home"
    home.mkdir()
    (home / "letters").write_text("dear")
    for overwrite in (False, True):
        with pytest.raises(Conflict, match="holds other things"):
            export_model("mine", Catalog(root), home, overwrite=overwrite)
    assert (home / "letters").read_text() == "dear"
    export_model("mine", Catalog(root), tmp_path / "out")
    with pytest.raises(Conflict, match="--overwrite"):
        export_model("mine", Catalog(root), tmp_path / "out")
    export_model("mine", Catalog(root), tmp_path / "out", overwrite=True)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["home", "out", "root"]


def test_an_existing_model_is_replaced_only_when_asked(root: Path, tmp_path: Path) -> None:
    before = fingerprint_of(load_model("mine", root=root))
    other = tmp_path / "other"
    made(other, seed=1)
    export_model("mine", Catalog(other), tmp_path / "out")
    with pytest.raises(Conflict, match="--overwrite"):
        import_model(tmp_path / "out", Catalog(root))
    assert fingerprint_of(load_model("mine", root=root)) == before
    import_model(tmp_path / "out", Catalog(root), overwrite=True)
    assert fingerprint_of(load_model("mine", root=root)) != before
    assert not (root / "models" / "mine" / "checkpoint.safetensors").exists()


def _flip(folder: Path) -> None:
    path = folder / WEIGHTS_FILE
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)


def _short(folder: Path) -> None:
    path = folder / WEIGHTS_FILE
    path.write_bytes(path.read_bytes()[:-100])


def _line(text: str):
    def change(folder: Path) -> None:
        (folder / SUMS_FILE).write_text((folder / SUMS_FILE).read_text() + text + "\n")

    return change


@pytest.mark.parametrize(
    "change",
    [
        _flip,
        _short,
        lambda folder: (folder / "card.md").unlink(),
        lambda folder: (folder / SUMS_FILE).write_text(""),
        lambda folder: (folder / SUMS_FILE).write_bytes(b"\xff\xfe"),
        _line("rubble"),
        _line("0" * 64 + "  ../../outside.json"),
        _line("0" * 64 + "  /tmp/outside.json"),
        _line("0" * 64 + "  run.sh"),
    ],
)
def test_a_broken_export_is_refused_and_leaves_nothing(root: Path, tmp_path: Path, change) -> None:
    export_model("mine", Catalog(root), tmp_path / "out")
    change(tmp_path / "out")
    there = tmp_path / "other"
    with pytest.raises(BrokenArtefact, match="again"):
        import_model(tmp_path / "out", Catalog(there))
    assert list((there / "models").glob("*")) == [] if (there / "models").exists() else True
    assert not (tmp_path / "outside.json").exists()


def test_weights_that_do_not_fit_their_config_are_refused(root: Path, tmp_path: Path) -> None:
    from earthfield.storage import hash_of_file

    export_model("mine", Catalog(root), tmp_path / "out")
    config = tmp_path / "out" / CONFIG_FILE
    config.write_text(config.read_text().replace('"num_blocks": 2', '"num_blocks": 3'))
    lines = [f"{hash_of_file(tmp_path / 'out' / name)}  {name}\n" for name in (CONFIG_FILE, WEIGHTS_FILE)]
    (tmp_path / "out" / SUMS_FILE).write_text("".join(lines))
    with pytest.raises(BrokenArtefact, match="do not fit"):
        import_model(tmp_path / "out", Catalog(tmp_path / "other"))


@pytest.mark.parametrize("name", ["../evil", "/evil", ".."])
def test_a_model_never_leaves_the_models_folder(root: Path, tmp_path: Path, name: str) -> None:
    from earthfield.storage import hash_of_file

    export_model("mine", Catalog(root), tmp_path / "out")
    config = tmp_path / "out" / CONFIG_FILE
    config.write_text(config.read_text().replace('"name": "mine"', f'"name": "{name}"'))
    lines = [f"{hash_of_file(tmp_path / 'out' / one)}  {one}\n" for one in (CONFIG_FILE, WEIGHTS_FILE)]
    (tmp_path / "out" / SUMS_FILE).write_text("".join(lines))
    with pytest.raises(InvalidInput, match="not a usable name"):
        import_model(tmp_path / "out", Catalog(tmp_path / "other"), overwrite=True)
    assert sorted(one.name for one in tmp_path.iterdir()) == ["other", "out", "root"]


def test_a_link_under_models_is_replaced_and_not_followed(root: Path, tmp_path: Path) -> None:
    export_model("mine", Catalog(root), tmp_path / "out")
    there, elsewhere = tmp_path / "other", tmp_path / "elsewhere"
    elsewhere.mkdir()
    (elsewhere / "letters").write_text("dear")
    (there / "models").mkdir(parents=True)
    (there / "models" / "mine").symlink_to(elsewhere)
    import_model(tmp_path / "out", Catalog(there), overwrite=True)
    assert [path.name for path in elsewhere.iterdir()] == ["letters"]
    assert load_model("mine", root=there).config.name == "mine"


def test_a_foreign_folder_is_told(root: Path, tmp_path: Path) -> None:
    with pytest.raises(NotFound, match="model export"):
        import_model(root / "models" / "mine", Catalog(tmp_path / "other"))
    with pytest.raises(NotFound, match="model export"):
        import_model(tmp_path / "nowhere", Catalog(tmp_path / "other"))


def test_a_missing_model_is_told_with_those_there_are(root: Path) -> None:
    with pytest.raises(NotFound, match="mine"):
        load_model("nonesuch", root=root)
