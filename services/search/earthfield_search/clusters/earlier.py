"""Clusters of an earlier answer, kept as JSON, so that numbers and colours can stay where they were."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator

from earthfield.errors import Conflict, InvalidInput, NotFound
from earthfield_analysis.cluster import MOST, Clusters

SCHEMA = "earthfield-clusters/1"
_MOST_BYTES = 64 << 20


class Asked(Protocol):
    """What is kept of a question."""

    @property
    def period(self) -> str:
        """Valid period."""
        ...

    @property
    def method(self) -> str:
        """How clusters are found."""
        ...

    @property
    def k(self) -> int:
        """How many were asked for."""
        ...


@dataclass(frozen=True)
class KeptClusters:
    """Clusters whose numbers and colours shall be kept."""

    name: str
    """What the answer is called."""
    clusters: Clusters
    """Their centres and numbers."""
    model: str | None = None
    """The model that they are of; None where it was not told."""
    maker: str | None = None
    """Fingerprint of that model."""

    def check(self, model: str, maker: str) -> None:
        """Makes sure that they are of a model.

        Raises:
            Conflict: they are not.
        """
        if (self.model or model, self.maker or maker) != (model, maker):
            raise Conflict(
                f"{self.name} holds clusters of another model than {model}, or of another version of it, so "
                "numbers cannot be kept: name an answer of the same model, or number them anew with --fresh"
            )


class _Kept(BaseModel):
    """The file."""

    model_config = ConfigDict(protected_namespaces=())

    schema_: str = Field(alias="schema")
    model: str
    maker: str
    period: str
    method: str
    k: int
    numbers: list[int] = Field(min_length=1)
    centres: list[list[float]] = Field(min_length=1)

    @field_validator("schema_")
    @classmethod
    def _known(cls, value: str) -> str:
        if value != SCHEMA:
            raise ValueError(f"its schema is not {SCHEMA}")
        return value


def kept_clusters(model: str, maker: str, clusters: Clusters, question: Asked) -> dict[str, Any]:
    """Gives what is kept of clusters: a place and a number for each."""
    return {
        "schema": SCHEMA, "model": model, "maker": maker, "period": question.period, "method": question.method,
        "k": question.k, "numbers": clusters.present, "centres": clusters.means.astype(float).round(6).tolist(),
    }  # fmt: skip


def clusters_like(centres: Sequence[Sequence[float]], numbers: Sequence[int] | None = None) -> Clusters:
    """Gives the clusters that have some centres, numbered from 1 where no numbers are given.

    Raises:
        InvalidInput: centres of different lengths, no centre, more than 254, or numbers that do not fit.
    """
    own = list(numbers) if numbers is not None else list(range(1, len(centres) + 1))
    lengths = {len(one) for one in centres}
    if not 1 <= len(centres) <= MOST or len(lengths) != 1 or 0 in lengths:
        raise InvalidInput(f"earlier clusters must be 1..{MOST} centres of one length")
    if len(own) != len(centres) or len(set(own)) != len(own) or not all(1 <= one <= MOST for one in own):
        raise InvalidInput(f"numbers of earlier clusters must differ, lie in 1..{MOST}, and be one for each")
    x = np.array(centres, np.float32)
    if not np.isfinite(x).all():
        raise InvalidInput("centres of earlier clusters must be finite numbers")
    return Clusters(x, np.array(own, np.uint8), float("nan"))


def read_clusters(path: Path) -> KeptClusters:
    """Reads the JSON that an answer keeps its centres in.

    Raises:
        NotFound: there is no such file.
        InvalidInput: it is something else.
    """
    if not path.is_file():
        raise NotFound(f"there is no file {path}: name the .json of an earlier `earthfield cluster`")
    try:
        if path.stat().st_size > _MOST_BYTES:
            raise ValueError("it is too large")
        kept = _Kept.model_validate_json(path.read_bytes())
        return KeptClusters(path.name, clusters_like(kept.centres, kept.numbers), kept.model, kept.maker)
    except (OSError, ValueError, ValidationError) as error:
        told = error.errors()[0]["msg"] if isinstance(error, ValidationError) else error
        raise InvalidInput(
            f"{path} does not hold clusters of an earlier answer ({told}): name the .json of one"
        ) from error


def newest_clusters(folder: Path, asked: Asked, model: str, maker: str) -> KeptClusters | None:
    """Gives the newest answer in a folder that can lend its numbers: of the same model, method and k.

    Files that are something else do not count.
    """
    found = []
    for path in folder.glob("clusters_*.json") if folder.is_dir() else ():
        try:
            content = json.loads(path.read_bytes())
            same = [content[name] for name in ("schema", "model", "maker", "method", "k")]
        except (OSError, ValueError, KeyError, TypeError):
            continue
        if same == [SCHEMA, model, maker, asked.method, asked.k]:
            found.append((path.stat().st_mtime_ns, path))
    return read_clusters(max(found)[1]) if found else None
