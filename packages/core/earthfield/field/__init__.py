"""Embedding fields: the files of one, written whole and read back; the collection of a model."""

from earthfield.field.blocks import keep_blocks
from earthfield.field.collection import keep_collection
from earthfield.field.content import (
    EMBEDDING,
    MANIFEST,
    PREVIEW,
    QUALITY,
    SCHEMA,
    THREE_AXES,
    Embedding,
    FieldContent,
)
from earthfield.field.quality import QUALITY_NODATA, QualityLayer, layer_of, plain_value
from earthfield.field.raster import BLOCK_PX, cog_options, file_dtype_of, nodata_of, write_vectors
from earthfield.field.read import Field, fields_of, safe_label
from earthfield.field.scenes import CONTEXT, frames_read, scenes_read
from earthfield.field.write import write_field

__all__ = [
    "BLOCK_PX",
    "CONTEXT",
    "EMBEDDING",
    "MANIFEST",
    "PREVIEW",
    "QUALITY",
    "QUALITY_NODATA",
    "SCHEMA",
    "THREE_AXES",
    "Embedding",
    "Field",
    "FieldContent",
    "QualityLayer",
    "cog_options",
    "fields_of",
    "file_dtype_of",
    "frames_read",
    "keep_blocks",
    "keep_collection",
    "layer_of",
    "nodata_of",
    "plain_value",
    "safe_label",
    "scenes_read",
    "write_field",
    "write_vectors",
]
