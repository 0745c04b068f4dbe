"""A model as a repository for NVIDIA Triton: weights, the code that runs them, and config.pbtxt."""

from __future__ import annotations

import json
import shutil
from dataclasses import dataclass, replace
from importlib.metadata import version as version_of
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, get_args

import numpy as np

from earthfield.catalog import Catalog, checked_name
from earthfield.errors import BrokenArtefact, Conflict, InvalidInput
from earthfield.sources import known_sources
from earthfield.storage import (
    hash_of,
    hash_of_file,
    make_folder,
    scratch_folder,
    whole_file,
    write_json,
    writing,
)
from earthfield.timeline import Period
from earthfield_infer.serving.wire import (
    ACCOUNT,
    CONFIG_PBTXT,
    DTYPES,
    FINGERPRINT,
    FINGERPRINT_BYTES,
    PERIODS,
    VECTORS,
    Served,
    ServedSource,
    periods_tensor,
)
from earthfield_model.alphaearth import CONFIG_FILE, WEIGHTS_FILE, AlphaEarth
from earthfield_model.config import EMBEDDING_DIM, ModelConfig
from earthfield_model.encoder import fingerprint_of, model_folder

if TYPE_CHECKING:
    from tritonclient.grpc.model_config_pb2 import ModelConfig as TritonConfig

CODE_FILE, VERSION_FILE, WARMUP = "model.py", "export.json", "warmup"
NUM_KEPT = 2
"""Versions that a server has loaded: a job that began with the last but one can end with it."""
_MAX_QUEUED = 256
_WARMUP_PX = 128

Device = Literal["auto", "cpu", "gpu"]
Precision = Literal["float32", "bf16"]


@dataclass(frozen=True)
class ServingOptions:
    """How a server runs a model."""

    device: Device = "auto"
    """Where instances compute; `auto` takes a GPU where the server has one."""
    num_instances: int = 1
    """Copies that compute side by side, for each GPU or on the CPU."""
    together: int = 1
    """Windows that may share a pass. With 1 a vector never depends on what else is asked at the time."""
    precision: Precision = "float32"
    """In what it computes; `bf16` has matrix products in bfloat16, norms and sums in float32."""

    def __post_init__(self) -> None:
        for given, known in ((self.device, get_args(Device)), (self.precision, get_args(Precision))):
            if given not in known:
                raise InvalidInput(f"a server cannot run with {given!r}: choose one of {', '.join(known)}")
        if self.num_instances < 1 or self.together < 1:
            raise InvalidInput("a server runs 1 instance or more, with 1 window a pass or more")


@dataclass(frozen=True)
class RepositoryReport:
    """What an export for Triton wrote."""

    model: str
    """Name of the model."""
    version: int
    """Number of its version."""
    path: str
    """The version's folder."""
    fingerprint: str
    """Hash of config and weights; a server tells it with every answer."""
    written: bool
    """Whether the version is new; the same weights and code are not written twice."""


def export_repository(
    name: str, catalog: Catalog, repository: Path, *, options: ServingOptions | None = None
) -> RepositoryReport:
    """Writes a model into a Triton model repository, as its next version.

    Args:
        name: the model's name.
        catalog: where it lies, if it is not a bundled one.
        repository: folder of models; made where it is absent, other models in it stay.
        options: how the server runs it; they hold for all versions.

    Raises:
        NotFound: there is no such model.
        BrokenArtefact: its files cannot be read.
        Conflict: the repository holds a model of this name that reads other inputs or computes otherwise.
    """
    source = model_folder(name, catalog)
    model = AlphaEarth.from_pretrained(source)
    folder = make_folder(repository.absolute() / checked_name(model.config.name))
    options = options or ServingOptions()
    served = served_of(model.config, options)
    _check_same_inputs(folder, served)
    told = {
        "fingerprint": fingerprint_of(model),
        "code": hash_of_file(_code()),
        "software": {name: version_of(name) for name in ("earthfield", "torch")},
    }
    newest = max(versions_in(folder), default=0)
    written = newest == 0 or not _is_same(folder / str(newest), told)
    number = _add_version(folder, source, told) if written else newest
    _write_warmup(folder, served)
    config = config_text(served, options)
    if not (folder / CONFIG_PBTXT).is_file() or (folder / CONFIG_PBTXT).read_text() != config:
        with whole_file(folder / CONFIG_PBTXT) as temporary:
            temporary.write_text(config)
    return RepositoryReport(
        model.config.name, number, str(folder / str(number)), str(told["fingerprint"]), written
    )


def versions_in(folder: Path) -> list[int]:
    """Lists the versions of a model in a repository, ascending."""
    return sorted(
        int(path.name)
        for path in folder.iterdir()
        if path.is_dir() and path.name.isascii() and path.name.isdecimal()
    )


def served_of(config: ModelConfig, options: ServingOptions) -> Served:
    """Gives a model's account for its clients: what it reads, and in which types it travels."""
    known = known_sources()
    sources = tuple(
        ServedSource(
            one.name, one.band_names, one.nodata, known[one.name].dtype if one.name in known else "int32"
        )
        for one in config.inputs
    )
    sources = tuple(map(_roomy, sources))
    return Served(config.name, EMBEDDING_DIM, sources, options.num_instances, options.precision)


def _roomy(source: ServedSource) -> ServedSource:
    """Falls back to 32 bits where the declared type does not travel, or cannot hold the model's nodata."""
    if source.dtype in DTYPES:
        limits = np.iinfo(source.dtype)
        if limits.min <= source.nodata <= limits.max:
            return source
    return replace(source, dtype="int32")


def config_text(served: Served, options: ServingOptions) -> str:
    """Gives config.pbtxt: inputs by source, all but the periods optional, batching, instances and warm-up."""
    from google.protobuf import text_format

    return text_format.MessageToString(_config(served, options))


def _config(served: Served, options: ServingOptions) -> TritonConfig:
    from tritonclient.grpc import model_config_pb2 as pb

    config = pb.ModelConfig(name=served.model, backend="python", max_batch_size=options.together)
    config.version_policy.latest.num_versions = NUM_KEPT
    config.input.add(name=PERIODS, data_type=pb.TYPE_INT64, dims=[-1, 2], allow_ragged_batch=True)
    for one in served.sources:
        kinds = {
            one.values: (pb.DataType.Value(f"TYPE_{DTYPES[one.dtype]}"), [-1, len(one.bands), -1, -1]),
            one.valid: (pb.TYPE_BOOL, [-1, -1, -1]),
            one.acquired: (pb.TYPE_INT64, [-1]),
        }
        for name, (kind, dims) in kinds.items():
            config.input.add(name=name, data_type=kind, dims=dims, optional=True, allow_ragged_batch=True)
    config.output.add(name=VECTORS, data_type=pb.TYPE_FP32, dims=[-1, -1, -1, served.dim])
    config.output.add(name=FINGERPRINT, data_type=pb.TYPE_UINT8, dims=[FINGERPRINT_BYTES])
    kind = f"KIND_{options.device.upper()}"
    config.instance_group.add(count=options.num_instances, kind=pb.ModelInstanceGroup.Kind.Value(kind))
    queue = config.dynamic_batching.default_queue_policy
    # A request whose client gave up waiting is not computed.
    queue.allow_timeout_override, queue.max_queue_size = True, _MAX_QUEUED
    if options.together > 1:
        config.dynamic_batching.max_queue_delay_microseconds = 2000
    parameters = {
        ACCOUNT: served.to_json(),
        "together": str(options.together),
        "FORCE_CPU_ONLY_INPUT_TENSORS": "yes",
    }
    for key, value in sorted(parameters.items()):
        config.parameters[key].string_value = value
    _add_warmup(config, pb, served)
    return config


def _add_warmup(config: TritonConfig, pb: Any, served: Served) -> None:
    """Has one window with a frame of every source computed before the server tells that it is ready."""
    sample = config.model_warmup.add(name="one window", batch_size=1, count=1)
    inputs = {one.name: one for one in config.input}
    for name, dims in _warmup_shapes(served).items():
        told = sample.inputs[name]
        told.data_type = inputs[name].data_type
        told.dims.extend(dims)
        if name == PERIODS or name.endswith(".valid"):
            told.input_data_file = _warmup_file(name)
        else:
            told.zero_data = True


def _warmup_shapes(served: Served) -> dict[str, tuple[int, ...]]:
    window = (_WARMUP_PX, _WARMUP_PX)
    shapes: dict[str, tuple[int, ...]] = {PERIODS: (1, 2)}
    for one in served.sources:
        shapes |= {one.values: (1, len(one.bands), *window), one.valid: (1, *window), one.acquired: (1,)}
    return shapes


def _warmup_file(name: str) -> str:
    return PERIODS if name == PERIODS else "valid"


def _write_warmup(folder: Path, served: Served) -> None:
    content = {
        PERIODS: periods_tensor([Period.parse("1970")]).tobytes(),
        "valid": np.ones((_WARMUP_PX, _WARMUP_PX), bool).tobytes(),
    }
    for name, data in content.items():
        path = folder / WARMUP / name
        if not path.is_file() or path.read_bytes() != data:
            with whole_file(path) as temporary:
                temporary.write_bytes(data)


def _check_same_inputs(folder: Path, served: Served) -> None:
    """Versions of a model share one config.pbtxt, so they must read the same."""
    before = read_served(folder)
    if (
        before is not None
        and versions_in(folder)
        and replace(before, num_instances=served.num_instances) != served
    ):
        raise Conflict(
            f"{folder} holds versions of {served.model} that read other sources or bands, or compute in "
            f"{before.precision}: export to another repository, or remove that folder if nobody is served from it"
        )


def read_served(folder: Path) -> Served | None:
    """Reads the account in a model's config.pbtxt; None where there is no such file.

    Raises:
        BrokenArtefact: it is there and cannot be read.
    """
    from google.protobuf import text_format
    from tritonclient.grpc import model_config_pb2 as pb

    path = folder / CONFIG_PBTXT
    if not path.is_file():
        return None
    try:
        config = text_format.Parse(path.read_text(), pb.ModelConfig())
    except (text_format.ParseError, OSError, UnicodeDecodeError) as error:
        raise BrokenArtefact(
            f"{path} cannot be read ({error}): remove the folder and export again"
        ) from error
    return Served.from_json(config.parameters[ACCOUNT].string_value)


def _code() -> Path:
    return Path(str(files("earthfield_infer") / "serving" / CODE_FILE))


def _is_same(folder: Path, told: dict[str, Any]) -> bool:
    try:
        found = json.loads((folder / VERSION_FILE).read_text())
    except (OSError, ValueError):
        return False
    return hash_of([found.get(key) for key in ("fingerprint", "code")]) == hash_of(
        [told[key] for key in ("fingerprint", "code")]
    )


def _add_version(folder: Path, source: Path, told: dict[str, Any]) -> int:
    """Writes the next version beside the others and renames it, so that a server never sees half of one."""
    with scratch_folder(folder) as scratch:
        copy = make_folder(scratch / "version")
        with writing(folder):
            for name in (CONFIG_FILE, WEIGHTS_FILE):
                shutil.copyfile(source / name, copy / name)
            shutil.copyfile(_code(), copy / CODE_FILE)
        write_json(copy / VERSION_FILE, told)
        number = max(versions_in(folder), default=0) + 1
        with writing(folder):
            while True:
                try:
                    copy.rename(folder / str(number))
                    return number
                except OSError:
                    if not (folder / str(number)).exists():
                        raise
                    # Another export was faster.
                    number += 1
