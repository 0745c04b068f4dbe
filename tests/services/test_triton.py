"""A real tritonserver runs the encoder: the same vectors as in process, whatever happens to it meanwhile."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
import numpy as np
import psutil
import pytest
import tritonclient.grpc as triton
from numpy.typing import NDArray
from triton_parts import Served, free_ports, serving, shared_files, start, words_of
from tritonclient.utils import InferenceServerException, np_to_triton_dtype

from earthfield.catalog import Catalog
from earthfield.errors import Conflict, InvalidInput, NotFound, Unavailable
from earthfield.grid import Window, geobox_of
from earthfield.schemas import EmbedRequest
from earthfield_infer.jobs import embed
from earthfield_infer.loading import load_version
from earthfield_infer.repository import RepositoryReport, export_repository
from earthfield_infer.serving.install import install_server, is_supported
from earthfield_infer.serving.leftovers import Sweeper
from earthfield_infer.triton import TritonEncoder
from earthfield_model.encoder import ModelEncoder

sys.path.insert(0, str(Path(__file__).parents[1] / "unit"))
from encoder_contract import CLOSE, YEAR, EncoderContract, made_model
from training_land import TILE, Land, made_frames, one_thread, write_cube  # noqa: F401

pytestmark = pytest.mark.skipif(
    not is_supported(), reason="NVIDIA publishes tritonserver for Linux on x86_64 only"
)


@pytest.fixture(scope="module", autouse=True)
def program() -> None:
    """Fetches tritonserver where it is not there yet."""
    install_server()


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("triton")


@pytest.fixture(scope="module")
def catalog(folder: Path) -> Catalog:
    return Catalog(folder / "root")


def exported(catalog: Catalog, folder: Path, *, name: str = "contract", seed: int = 3) -> ModelEncoder:
    """Writes a model and its next version in the repository."""
    made = made_model(catalog.model(name), name=name, seed=seed)
    report = export_repository(name, catalog, folder / "repository")
    assert report.fingerprint == made.fingerprint
    return made


@pytest.fixture(scope="module")
def reference(catalog: Catalog, folder: Path) -> ModelEncoder:
    return exported(catalog, folder)


@pytest.fixture(scope="module")
def server(reference: ModelEncoder, folder: Path) -> Iterator[Served]:
    before = shared_files()
    with serving(folder / "repository", folder) as served:
        yield served
    assert shared_files() <= before, "a server that has ended leaves nothing in shared memory"


class TestBySharedMemory(EncoderContract):
    """On one host, without being told."""

    @pytest.fixture(scope="class")
    def encoder(self, server: Served) -> Iterator[TritonEncoder]:
        with TritonEncoder.connect("contract", server.address) as encoder:
            assert encoder.num_parallel > 1
            yield encoder
            assert all(one.shares_memory for one in encoder._connections)


class TestByMessages(EncoderContract):
    """As from another host."""

    @pytest.fixture(scope="class")
    def encoder(self, server: Served) -> Iterator[TritonEncoder]:
        with TritonEncoder.connect("contract", server.address, shared_memory=False) as encoder:
            yield encoder


Tensors = dict[str, NDArray]


@pytest.fixture(scope="module")
def raw(server: Served) -> Iterator[triton.InferenceServerClient]:
    """Any other client of the server."""
    with triton.InferenceServerClient(server.address.removeprefix("grpc://")) as client:
        yield client


def asked(
    client: triton.InferenceServerClient, tensors: Tensors, model: str = "contract"
) -> NDArray[np.float32]:
    inputs = []
    for name, content in tensors.items():
        told = triton.InferInput(name, list(content.shape), np_to_triton_dtype(content.dtype))
        told.set_data_from_numpy(content)
        inputs.append(told)
    vectors = client.infer(model, inputs).as_numpy("vectors")
    assert vectors is not None
    return vectors


def good() -> Tensors:
    start, end = np.datetime64("2018-01-01", "us"), np.datetime64("2019-01-01", "us")
    return {
        "periods": np.array([[[start.astype(np.int64), end.astype(np.int64)]]]),
        "sentinel-1-rtc.values": np.full((1, 2, 2, 32, 48), -1200, np.int16),
        "sentinel-1-rtc.valid": np.ones((1, 2, 32, 48), bool),
        "sentinel-1-rtc.acquired": np.array([[start.astype(np.int64)] * 2]) + 86_400_000_000,
    }


def test_any_client_of_triton_is_answered(raw) -> None:
    vectors = asked(raw, good())
    assert vectors.shape == (1, 1, 32, 48, 64)
    np.testing.assert_allclose(np.linalg.norm(vectors, axis=-1), 1, atol=1e-4)


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"sentinel-1-rtc.values": np.zeros((1, 2, 2, 32, 48), np.float32)}, r"data-?type.*FP32.*INT16"),
        ({"sentinel-1-rtc.values": np.zeros((1, 2, 3, 32, 48), np.int16)}, r"unexpected shape.*\[-1,-1,2,-1,-1\]"),
        ({"sentinel-1-rtc.valid": np.ones((1, 2, 32, 32), bool)}, r"frames of sentinel-1-rtc do not fit"),
        ({"sentinel-1-rtc.valid": None}, r"sentinel-1-rtc.values.* go together"),
        ({"periods": np.array([[[5, 5]]])}, r"ends before it starts"),
        ({"periods": np.array([[[0, 2**62]]])}, r"beyond the calendar"),
        ({"periods": np.zeros((1, 0, 2), np.int64)}, r"at least one valid period"),
        (
            {
                "sentinel-1-rtc.values": np.zeros((1, 2, 2, 20, 48), np.int16),
                "sentinel-1-rtc.valid": np.ones((1, 2, 20, 48), bool),
            },
            r"20 x 48 px is not a multiple of 16",
        ),
        ({name: None for name in good() if name != "periods"}, r"frames of no source .* cannot be encoded"),
    ],
)  # fmt: skip
def test_wrong_shapes_and_types_are_told_in_words_and_harm_nobody(raw, change, told: str) -> None:
    tensors = {name: one for name, one in {**good(), **change}.items() if one is not None}
    with pytest.raises(InferenceServerException, match=told) as caught:
        asked(raw, tensors)
    assert caught.value.status() == "StatusCode.INVALID_ARGUMENT"
    assert asked(raw, good()).shape == (1, 1, 32, 48, 64)


def forget_memory(client: triton.InferenceServerClient) -> None:
    """Has the server lose what it knows of shared memory; it refuses while it still counts a request's end."""
    for _ in range(200):
        try:
            return client.unregister_system_shared_memory()
        except InferenceServerException:
            time.sleep(0.05)
    raise AssertionError(f"still held: {client.get_system_shared_memory_status()}")


def test_errors_of_a_client_leave_nothing_in_shared_memory(server: Served, monkeypatch) -> None:
    frames, before = made_frames(Land(size=32)), shared_files()
    with TritonEncoder.connect("contract", server.address) as encoder:
        good_spans = encoder.encode(frames, [YEAR])
        connection = encoder._connections[0]
        assert connection.shares_memory
        with monkeypatch.context() as patched:
            patched.setattr(
                "earthfield_infer.triton.periods_tensor", lambda periods: np.array([[[7, 7]]], np.int64)
            )
            with pytest.raises(InvalidInput, match=r"cannot read the request.*ends before it starts"):
                encoder.encode(frames, [YEAR])
        assert shared_files() == before
        assert np.array_equal(encoder.encode(frames, [YEAR]), good_spans, equal_nan=True)
        assert shared_files() == before
        # The server loses what it knew of the client's memory, as after a restart.
        forget_memory(connection._client)
        assert np.array_equal(encoder.encode(frames, [YEAR]), good_spans, equal_nan=True)
        assert connection.shares_memory
    assert shared_files() == before


def test_without_room_in_shared_memory_messages_are_sent(server: Served, monkeypatch) -> None:
    frames = made_frames(Land(size=32))
    with TritonEncoder.connect("contract", server.address) as encoder:
        by_memory = encoder.encode(frames, [YEAR])
        encoder._connections[0]._pool.clear()

        def full(*_: object) -> None:
            raise OSError(28, "No space left on device")

        monkeypatch.setattr(os, "posix_fallocate", full)
        assert np.array_equal(encoder.encode(frames, [YEAR]), by_memory, equal_nan=True)
        assert not encoder._connections[0].shares_memory


def test_memory_of_a_client_that_was_killed_is_let_go(server: Served, raw) -> None:
    script = (
        "import sys, time; sys.path.insert(0, sys.argv[1])\n"
        "from training_land import Land, made_frames\n"
        "from earthfield.timeline import Period\n"
        "from earthfield_infer.triton import TritonEncoder\n"
        "encoder = TritonEncoder.connect('contract', sys.argv[2])\n"
        "encoder.encode(made_frames(Land(size=32)), [Period.parse('2018')])\n"
        "print('encoded', flush=True); time.sleep(60)\n"
    )
    unit = str(Path(__file__).parents[1] / "unit")
    before = shared_files()
    client = subprocess.Popen([sys.executable, "-c", script, unit, server.address], stdout=subprocess.PIPE)
    assert client.stdout is not None
    assert client.stdout.readline() == b"encoded\n"
    client.kill()
    client.wait()
    assert shared_files() == before
    held = {name for name in raw.get_system_shared_memory_status().regions if f"-{client.pid}-" in name}
    assert held
    sweeper = Sweeper(server.told["http"], grace_s=0.0)
    assert held <= set(sweeper.sweep())
    assert not held & set(raw.get_system_shared_memory_status().regions)
    assert Sweeper(server.told["http"]).sweep() == [], "what died a moment ago may still be computed for"


def test_prometheus_is_told_of_requests(server: Served, raw) -> None:
    asked(raw, good())
    text = httpx.get(server.told["metrics"]).text
    counted = [
        line for line in text.splitlines() if line.startswith('nv_inference_request_success{model="contract"')
    ]
    assert counted and float(counted[0].rpartition(" ")[2]) > 0
    for name in (
        "nv_inference_request_failure", "nv_inference_queue_duration_us", "nv_inference_compute_infer_duration_us",
        "nv_inference_pending_request_count", "nv_inference_request_summary_us",
    ):  # fmt: skip
        assert name in text, name


def test_a_model_that_is_not_there_and_weights_that_are_others_are_told(server: Served) -> None:
    with pytest.raises(NotFound, match=r"does not serve the model other.*it serves: .*contract"):
        TritonEncoder.connect("other", server.address)
    with pytest.raises(InvalidInput, match=r"runs contract of [0-9a-f]{12}, not of 00000000"):
        TritonEncoder.connect("contract", server.address, fingerprint="0" * 64)


def test_of_several_servers_a_dead_one_is_left_out(server: Served, reference: ModelEncoder) -> None:
    (dead,) = free_ports(1)
    frames = made_frames(Land(size=32))
    with TritonEncoder.connect("contract", f"grpc://127.0.0.1:{dead},{server.address}") as encoder:
        assert encoder.num_parallel == 4
        for _ in range(3):
            np.testing.assert_allclose(
                encoder.encode(frames, [YEAR]), reference.encode(frames, [YEAR]), **CLOSE
            )
    with pytest.raises(Unavailable, match=rf"127.0.0.1:{dead} does not answer.*earthfield serve encoder"):
        TritonEncoder.connect("contract", f"grpc://127.0.0.1:{dead}")


def test_a_server_that_hangs_is_given_up_in_time(server: Served) -> None:
    frames = made_frames(Land(size=32))
    with TritonEncoder.connect("contract", server.address, timeout_s=1.0, patience_s=0.5) as encoder:
        server.program.suspend()
        try:
            with pytest.raises(Unavailable, match=r"does not answer \(DEADLINE_EXCEEDED"):
                encoder.encode(frames, [YEAR])
        finally:
            server.program.resume()
        encoder.patience_s = 60.0
        assert encoder.encode(frames, [YEAR]).shape == (1, 32, 32, 64)


def test_new_versions_under_load_lose_no_request_and_never_mix(
    server: Served, catalog: Catalog, folder: Path, raw
) -> None:
    frames = made_frames(Land(size=32))

    def next_version(seed: int) -> ModelEncoder:
        made = exported(catalog, folder, name="swapped", seed=seed)
        load_version("swapped", server.address, fingerprint=made.fingerprint)
        return made

    first = next_version(11)
    expected, stop = first.encode(frames, [YEAR]), threading.Event()
    began = TritonEncoder.connect("swapped", server.address, patience_s=0.0)
    by_message = TritonEncoder.connect("swapped", server.address, patience_s=0.0, shared_memory=False)

    def load(encoder: TritonEncoder) -> int:
        count = 0
        while not stop.is_set():
            np.testing.assert_allclose(encoder.encode(frames, [YEAR]), expected, **CLOSE)
            count += 1
        return count

    def load_newest() -> int:
        count = 0
        while not stop.is_set():
            assert asked(raw, good(), "swapped").shape == (1, 1, 32, 48, 64)
            count += 1
        return count

    with ThreadPoolExecutor(4) as pool:
        loads = [pool.submit(load, one) for one in (began, began, by_message)] + [pool.submit(load_newest)]
        time.sleep(0.5)
        try:
            second = next_version(12)
            time.sleep(0.5)
        finally:
            stop.set()
        counts = [one.result() for one in loads]
    assert min(counts) > 0, counts
    with TritonEncoder.connect("swapped", server.address) as fresh:
        assert fresh.fingerprint == second.fingerprint
        np.testing.assert_allclose(fresh.encode(frames, [YEAR]), second.encode(frames, [YEAR]), **CLOSE)
    next_version(13)
    for one in (began, by_message):
        one.patience_s = 30.0
        with pytest.raises(
            Conflict, match=rf"began with swapped of {first.fingerprint[:12]}.*run the same command"
        ):
            one.encode(frames, [YEAR])
        one.close()


def end_with_its_command(served: Served) -> None:
    """Kills the command and sees to it that nothing of the server outlives it."""
    family = [served.program, *served.program.children(recursive=True)]
    assert len(family) > 1, "the backend computes in processes of its own"
    served.command.kill()
    served.command.wait()
    assert psutil.wait_procs(family, timeout=600)[1] == []


def test_a_server_that_is_killed_amid_a_job_is_waited_for_and_the_field_is_whole(
    reference: ModelEncoder, folder: Path, tmp_path: Path
) -> None:
    before = shared_files()
    frames = made_frames(Land(size=320, every=(180, 240, 300)))
    corner = TILE.window
    window = Window(corner.y0 + 100, corner.y0 + 420, corner.x0 + 200, corner.x0 + 520)
    area = geobox_of(TILE.epsg, window).extent.to_crs("EPSG:4326").wkt
    ports, log = free_ports(), tmp_path / "server.log"
    made: dict[str, bytes] = {}
    for name in ("local", "served"):
        root = tmp_path / name
        write_cube(root, frames)
        made_model(Catalog(root).model("contract"))
    request = EmbedRequest(
        root=tmp_path / "local", periods=("2018",), model="contract", aoi=area, agreement=False
    )
    (field,) = embed(request).fields
    made["local"] = (Path(field.path) / "embedding.tif").read_bytes()

    served = start(folder / "repository", ports, log)
    again: list[Served] = []

    def start_again() -> None:
        assert served.command.wait(30) == 4, "the command tells that its server has gone"
        again.append(start(folder / "repository", ports, log))

    restarting = threading.Thread(target=start_again)

    def progress(task: str, done: int, total: int) -> None:
        if task == "windows" and restarting.ident is None:
            assert total > done + 3, "windows are left that nobody asked for yet"
            served.program.kill()
            restarting.start()

    try:
        served_request = request.model_copy(update={"root": tmp_path / "served", "encoder": served.address})
        (field,) = embed(served_request, progress=progress).fields
        restarting.join()
        assert again, "the job ended after the server came back"
        end_with_its_command(again[0])
    finally:
        for one in (served, *again):
            one.stop()
    made["served"] = (Path(field.path) / "embedding.tif").read_bytes()
    assert made["served"] == made["local"]
    assert shared_files() <= before


def test_what_hinders_a_start_is_told_in_a_sentence(
    reference: ModelEncoder, folder: Path, tmp_path: Path
) -> None:
    def tried(repository: Path, ports: list[int], **environment: str) -> tuple[int, str]:
        words = words_of(repository, ports, tmp_path / "log")
        done = subprocess.run(
            words, capture_output=True, text=True, env={**os.environ, **environment}, timeout=900, check=False
        )
        return done.returncode, done.stderr

    import socket

    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        ports = [other.getsockname()[1], *free_ports(2)]
        code, told = tried(folder / "repository", ports)
        assert (code, f"port {ports[0]} for gRPC at 127.0.0.1 is taken" in told) == (2, True), told
    code, told = tried(tmp_path, free_ports())
    assert (code, "holds no model" in told) == (3, True), told
    code, told = tried(folder / "repository", free_ports(), EARTHFIELD_STATE=str(tmp_path / "nothing"))
    assert (code, "add --install" in told) == (3, True), told
    broken = tmp_path / "broken"
    made_model(Catalog(tmp_path / "root").model("bad"), name="bad")
    report: RepositoryReport = export_repository("bad", Catalog(tmp_path / "root"), broken)
    (Path(report.path) / "model.safetensors").write_bytes(b"no weights")
    code, told = tried(broken, free_ports())
    assert code == 4, told
    assert "tritonserver ended while starting" in told
    assert "Traceback" not in told
