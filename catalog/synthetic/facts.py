"""The catalogue's facts of a model, read as a header's."""

from collections.abc import Mapping

from domain.models.header import HeaderReader
from domain.models.model import MetadataValue, ModelShape


def facts_reader(architecture: str, facts: Mapping[str, MetadataValue]) -> HeaderReader:
    """Reads ``facts``, which have GGUF's keys without the architecture."""
    metadata = {f"{architecture}.{key}": value for key, value in facts.items()}
    return HeaderReader(ModelShape(architecture, (), 0, metadata))
