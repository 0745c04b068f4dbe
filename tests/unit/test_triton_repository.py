"""`earthfield model export --triton`: versions are added whole, and tell all that a client must know."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from encoder_contract import YEAR, made_model
from google.protobuf import text_format
from training_land import SOURCES, Land, made_frames, one_thread  # noqa: F401
from tritonclient.grpc import model_config_pb2 as pb
from typer.testing import CliRunner

from earthfield.catalog import Catalog
from earthfield.errors import Conflict, EarthfieldError, InvalidInput, NotFound
from earthfield.timeline import Period
from earthfield_infer.model_cli import model as command
from earthfield_infer.repository import ServingOptions, export_repository, read_served, versions_in
from earthfield_infer.server import ServerOptions, models_in
from earthfield_infer.serving.compute import Asked, vectors_of
from earthfield_model.alphaearth import AlphaEarth
from earthfield_model.config import SourceConfig, model_config
from earthfield_model.encoder import load_encoder
from earthfield_model.widths import widths_named


@pytest.fixture
def catalog(tmp_path: Path) -> Catalog:
    made_model(Catalog(tmp_path / "root").model("contract"))
    return Catalog(tmp_path / "root")


def config_in(folder: Path) -> pb.ModelConfig:
    return text_format.Parse((folder / "config.pbtxt").read_text(), pb.ModelConfig())


def test_the_repository_tells_inputs_outputs_and_how_it_is_run(catalog: Catalog, tmp_path: Path) -> None:
    options = ServingOptions("gpu", num_instances=2, together=4)
    report = export_repository("contract", catalog, tmp_path / "repo", options=options)
    folder = tmp_path / "repo" / "contract"
    config = config_in(folder)
    assert (config.name, config.backend, config.max_batch_size) == ("contract", "python", 4)
    assert config.version_policy.latest.num_versions == 2
    inputs = {one.name: one for one in config.input}
    assert not inputs["periods"].optional
    assert all(one.optional for name, one in inputs.items() if name != "periods")
    for name, source in SOURCES.items():
        values = inputs[f"{name}.values"]
        assert list(values.dims) == [-1, len(source.bands), -1, -1]
        assert values.data_type == pb.DataType.Value(f"TYPE_{source.dtype.upper()}")
        assert inputs[f"{name}.valid"].data_type == pb.TYPE_BOOL
    assert {one.name: list(one.dims) for one in config.output} == {
        "vectors": [-1, -1, -1, 64],
        "fingerprint": [32],
    }
    (group,) = config.instance_group
    assert (group.count, group.kind) == (2, pb.ModelInstanceGroup.KIND_GPU)
    assert config.HasField("dynamic_batching")
    (warm,) = config.model_warmup
    assert set(warm.inputs) == set(inputs)
    for name, one in warm.inputs.items():
        assert not one.input_data_file or (folder / "warmup" / one.input_data_file).is_file(), name
    served = read_served(folder)
    assert served is not None
    assert (served.model, served.dim, served.source_names) == ("contract", 64, tuple(sorted(SOURCES)))
    assert load_encoder(folder / "1").fingerprint == report.fingerprint
    assert models_in(tmp_path / "repo") == ("contract",)


def test_exporting_again_adds_the_next_version_only_where_something_changed(catalog, tmp_path: Path) -> None:
    repository = tmp_path / "repo"
    first = export_repository("contract", catalog, repository)
    again = export_repository("contract", catalog, repository)
    assert (first.version, first.written, again.version, again.written) == (1, True, 1, False)
    made_model(catalog.model("contract"), seed=9)
    second = export_repository("contract", catalog, repository)
    assert (second.version, second.written) == (2, True)
    assert second.fingerprint != first.fingerprint
    assert load_encoder(repository / "contract" / "1").fingerprint == first.fingerprint
    (repository / "contract" / "2" / "model.py").unlink()
    made_model(catalog.model("contract"), seed=3)
    third = export_repository("contract", catalog, repository)
    assert (third.version, third.fingerprint) == (3, first.fingerprint), "going back is a version too"


def test_a_version_is_there_whole_or_not_at_all(catalog, tmp_path: Path, monkeypatch) -> None:
    copied = shutil.copyfile

    def dies(source: Path, target: Path) -> None:
        copied(source, target)
        if Path(target).name == "model.safetensors":
            raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(shutil, "copyfile", dies)
        with pytest.raises(KeyboardInterrupt):
            export_repository("contract", catalog, tmp_path / "repo")
    folder = tmp_path / "repo" / "contract"
    assert versions_in(folder) == []
    assert not (folder / "config.pbtxt").exists(), "no server takes it for a model"
    assert export_repository("contract", catalog, tmp_path / "repo").version == 1


def test_versions_must_read_the_same_and_compute_alike(catalog, tmp_path: Path) -> None:
    repository = tmp_path / "repo"
    export_repository("contract", catalog, repository)
    with pytest.raises(Conflict, match="other sources or bands, or compute in float32"):
        export_repository("contract", catalog, repository, options=ServingOptions(precision="bf16"))
    optical = [SourceConfig.of(SOURCES["sentinel-2-l2a"])]
    AlphaEarth(model_config("contract", optical, widths_named("nano"))).save_pretrained(
        catalog.model("contract")
    )
    with pytest.raises(Conflict, match="export to another repository"):
        export_repository("contract", catalog, repository)
    assert versions_in(repository / "contract") == [1]


def test_the_command_writes_a_version_and_refuses_what_makes_no_sense(catalog, tmp_path: Path) -> None:
    def run(*words: object) -> str:
        result = CliRunner().invoke(command, [str(word) for word in words])
        if isinstance(result.exception, EarthfieldError):
            raise result.exception
        assert result.exit_code == 0, result.output
        return result.stdout

    root = ("--root", catalog.root)
    told = json.loads(
        run("export", "contract", "--triton", tmp_path / "repo", "--device", "cpu", "--json", *root)
    )
    assert (told["version"], told["written"]) == (1, True)
    assert "there already is version 1" in run("export", "contract", "--triton", tmp_path / "repo", *root)
    for words, match in (
        (("export", "contract"), "name one folder"),
        (("export", "contract", tmp_path / "a", "--triton", tmp_path / "b"), "name one folder"),
        (("export", "contract", tmp_path / "a", "--load", "grpc://x:1"), "--load goes with --triton"),
        (
            ("export", "contract", "--triton", tmp_path / "b", "--device", "tpu"),
            "'tpu': choose one of auto, cpu, gpu",
        ),
    ):
        with pytest.raises(InvalidInput, match=match):
            run(*words, *root)
    with pytest.raises(NotFound, match="no model 'nobody'"):
        run("export", "nobody", "--triton", tmp_path / "b", *root)


def test_windows_that_share_a_pass_get_the_vectors_they_get_alone(tmp_path: Path) -> None:
    encoder = made_model(tmp_path / "model")
    spring = Period.parse("2018-03..2018-05")
    lands = [Land(size=32, seed=seed, every=(20 + 9 * seed, 30, 60)) for seed in range(3)] + [Land(size=16)]
    asked = [Asked(made_frames(land), [YEAR, spring] if land.seed != 1 else [spring, YEAR]) for land in lands]
    asked.append(Asked({"sentinel-1-rtc": made_frames(lands[0])["sentinel-1-rtc"]}, [YEAR, spring]))
    alone = vectors_of(encoder, asked, together=1)
    for found, expected in zip(vectors_of(encoder, asked, together=3), alone, strict=True):
        np.testing.assert_allclose(found, expected, atol=1e-4, rtol=0, equal_nan=True)


def test_a_server_is_reached_at_an_address_of_this_machine() -> None:
    assert ServerOptions("0.0.0.0", 5).url(5, scheme="grpc") == "grpc://127.0.0.1:5"
    assert ServerOptions("::1", 5).url(5, "/metrics") == "http://[::1]:5/metrics"
