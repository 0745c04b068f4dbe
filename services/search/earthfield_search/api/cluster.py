"""What belongs together: every pixel in a class, found without labels."""

from __future__ import annotations

from typing import Annotated, Literal

from fastapi import APIRouter, Request
from pydantic import BaseModel, ConfigDict, Field

from earthfield.catalog import checked_name
from earthfield_search.api.deps import (
    PERIOD,
    AnswerFolder,
    AreaInBody,
    Served,
    inline_area_text,
    links_of,
    period_of,
)
from earthfield_search.clusters.earlier import KeptClusters, clusters_like
from earthfield_search.jobs.cluster import ClusterQuestion, ClusterSize, cluster_fields

router = APIRouter()

_Centre = Annotated[list[Annotated[float, Field(ge=-1, le=1)]], Field(min_length=1, max_length=4096)]


class EarlierClusters(BaseModel):
    """Clusters of an earlier answer."""

    model_config = ConfigDict(extra="forbid")

    centres: Annotated[list[_Centre], Field(min_length=1, max_length=254, description="Its `centres`.")]
    numbers: Annotated[list[Annotated[int, Field(ge=1, le=254)]], Field(max_length=254)] | None = Field(
        None, description="The number of each; 1, 2, 3.. where absent."
    )


class ClusterRequest(BaseModel):
    """What belongs together?"""

    model_config = ConfigDict(extra="forbid", protected_namespaces=())

    model: Annotated[str, Field(max_length=64, description="Name of a model.")]
    period: Annotated[str, Field(max_length=64, description=PERIOD)]
    k: Annotated[int, Field(ge=1, le=254, description="For kmeans: how many clusters.")] = 5
    method: Annotated[
        Literal["kmeans", "hdbscan"],
        Field(description="k-means, or HDBSCAN: as many clusters as are dense, and noise between them."),
    ] = "kmeans"
    min_share: Annotated[
        float, Field(gt=0, le=0.5, description="For hdbscan: least share of the land that is a cluster.")
    ] = 0.01
    area: AreaInBody = None
    seed: Annotated[int, Field(ge=0, lt=2**32, description="Of the sample and the starts.")] = 0
    outlines: bool = Field(
        False, description="Also as GeoJSON, an outline for each cluster; of at most eight million pixels."
    )
    like: EarlierClusters | None = Field(
        None, description="Clusters of the same model whose numbers and colours shall be kept."
    )

    def question(self) -> ClusterQuestion:
        """Gives what the job answers."""
        return ClusterQuestion(
            checked_name(self.model), str(period_of(self.period)), self.k, self.seed, self.method, self.min_share,
            inline_area_text(self.area), self.outlines,
        )  # fmt: skip


class ClusterTold(BaseModel):
    """What belongs together: clusters with their size and centre, and links to the rasters."""

    model_config = ConfigDict(protected_namespaces=())

    model: str
    period: str
    method: str
    k: int = Field(description="How many clusters there are.")
    seed: int
    tiles: list[str]
    pixels: int = Field(description="Pixels with data in the area.")
    fitted_on: int = Field(description="Pixels that the centres were fitted on.")
    inertia: float = Field(description="Mean squared distance of these to their centres, 0..4.")
    noise: float = Field(description="Share of the pixels that no cluster is near.")
    clusters: list[ClusterSize] = Field(description="By number; 255 is noise.")
    numbers: list[int] = Field(description="The number of each of the centres.")
    centres: list[list[float]] = Field(description="Mean vector of each cluster, by number; keep for `like`.")
    outlined: bool = Field(description="Whether their outlines are among the links.")
    links: list[dict[str, str]] = Field(
        description="GeoTIFFs of classes, pictures, the centres, and outlines where asked for."
    )


@router.post("/cluster")
def cluster(request: Request, catalog: Served, folder: AnswerFolder, asked: ClusterRequest) -> ClusterTold:
    """Puts every pixel into a class, found without labels; classes 1.. as cloud-optimised GeoTIFF, 0 is no data.

    `like` keeps numbers and colours where they were in another answer, of another period for instance.
    """
    like = None
    if asked.like is not None:
        like = KeptClusters("the request", clusters_like(asked.like.centres, asked.like.numbers))
    answer = cluster_fields(catalog, asked.question(), like=like, folder=folder)
    names = ClusterTold.model_fields.keys() - {"links", "numbers"}
    numbers = [one.cluster for one in answer.clusters][: len(answer.centres)]
    return ClusterTold(
        links=links_of(request, answer.files), numbers=numbers,
        **{name: getattr(answer, name) for name in names},
    )  # fmt: skip
