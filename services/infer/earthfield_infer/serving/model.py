"""The encoder as Triton's Python backend runs it; `earthfield model export --triton` copies this file.

Tensors come and go by DLPack alone: under NumPy 2 the backend's own conversions give wrong contents without a word.
"""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import torch
import triton_python_backend_utils as pb_utils

from earthfield.errors import EarthfieldError, InvalidInput, Unavailable
from earthfield.settings import Settings
from earthfield_infer.serving.compute import Asked, asked_of, vectors_of
from earthfield_infer.serving.wire import ACCOUNT, FINGERPRINT, VECTORS, Served
from earthfield_model.encoder import load_encoder


class TritonPythonModel:
    """What Triton calls: `initialize` once an instance, then `execute`."""

    def initialize(self, args: dict[str, str]) -> None:
        """Loads the weights that lie beside this file and gives them the instance's device."""
        config = json.loads(args["model_config"])
        told = {name: one["string_value"] for name, one in config["parameters"].items()}
        self.served = Served.from_json(told[ACCOUNT])
        self.together = int(told["together"])
        is_gpu = args["model_instance_kind"] == "GPU"
        if is_gpu and not torch.cuda.is_available():
            raise pb_utils.TritonModelException(
                "this instance is for a GPU and torch sees none: export the model with --device cpu"
            )
        threads = Settings().threads or os.cpu_count() or 1
        torch.set_num_threads(max(1, threads // self.served.num_instances))
        self.encoder = load_encoder(Path(args["model_repository"]) / args["model_version"])
        self.device = torch.device(f"cuda:{args['model_instance_device_id']}" if is_gpu else "cpu")
        self.encoder.model.to(self.device)
        self.fingerprint = torch.tensor(list(bytes.fromhex(self.encoder.fingerprint)), dtype=torch.uint8)

    def execute(self, requests: list[Any]) -> list[Any]:
        """Answers requests, each with its own vectors or its own error."""
        read = [self._read(one) for one in requests]
        asked = [one for one in read if isinstance(one, Asked)]
        try:
            with torch.autocast(self.device.type, torch.bfloat16, enabled=self.served.precision == "bf16"):
                made = iter(vectors_of(self.encoder, asked, together=self.together))
        except EarthfieldError as error:
            # Only where something was read and yet cannot be encoded; nobody's answer is guessed.
            return [_refused(error) for _ in requests]
        except torch.OutOfMemoryError as error:
            return [_refused(Unavailable(f"the memory of {self.device} is full: {error}")) for _ in requests]
        return [
            _refused(one) if isinstance(one, EarthfieldError)
            else self._answer(next(made) if isinstance(one, Asked) else None)
            for one in read
        ]  # fmt: skip

    def _read(self, request: Any) -> Asked | EarthfieldError | None:
        """Reads a request; None where it asks for the fingerprint alone."""
        if VECTORS not in request.requested_output_names():
            return None
        try:
            tensors = {one.name(): torch.from_dlpack(one).numpy() for one in request.inputs()}
            return asked_of(tensors, self.served)
        except EarthfieldError as error:
            return error

    def _answer(self, vectors: Any) -> Any:
        tensors = [pb_utils.Tensor.from_dlpack(FINGERPRINT, self.fingerprint[None])]
        if vectors is not None:
            tensors.append(pb_utils.Tensor.from_dlpack(VECTORS, torch.from_numpy(vectors)[None]))
        return pb_utils.InferenceResponse(output_tensors=tensors)


def _refused(error: EarthfieldError) -> Any:
    kinds = pb_utils.TritonError
    codes = {InvalidInput: kinds.INVALID_ARG, Unavailable: kinds.UNAVAILABLE}
    code = next((code for kind, code in codes.items() if isinstance(error, kind)), kinds.INTERNAL)
    return pb_utils.InferenceResponse(error=pb_utils.TritonError(str(error), code))
