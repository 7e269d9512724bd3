"""What a file of weights can be for. ``classification`` decides which it is."""

from enum import IntEnum, StrEnum


class Kind(StrEnum):
    """A ``MODEL`` generates text. An ``ENCODER`` gives vectors of tokens, or labels: nothing that an API
    serves. ``OTHER`` is no model that an engine here knows, such as the decoder of an image model."""

    MODEL = "model"
    EMBEDDING = "embedding"
    RERANKER = "reranker"
    DRAFT = "draft"
    PROJECTOR = "mmproj"
    ADAPTER = "adapter"
    CONTROL_VECTOR = "control-vector"
    IMATRIX = "imatrix"
    ENCODER = "encoder"
    SPEECH = "speech"
    IMAGE = "image"
    OTHER = "other"

    @property
    def is_served(self) -> bool:
        """Whether a plan can be made of it alone."""
        return self in (Kind.MODEL, Kind.EMBEDDING, Kind.RERANKER)

    @property
    def is_pooled(self) -> bool:
        """Whether it answers with vectors or scores instead of text."""
        return self in (Kind.EMBEDDING, Kind.RERANKER)

    @property
    def description(self) -> str:
        """``a LoRA adapter, which changes a model and is none``."""
        return _DESCRIPTIONS[self]

    @property
    def hint(self) -> str:
        """The next step for an owner who named such a file as a model."""
        if self in (Kind.SPEECH, Kind.IMAGE, Kind.ENCODER, Kind.OTHER):
            return "the engines here serve models that answer with text, embeddings or scores"
        return "name the model that it was made for"


_DESCRIPTIONS = {
    Kind.MODEL: "a model that generates text",
    Kind.EMBEDDING: "an embedding model",
    Kind.RERANKER: "a reranking model",
    Kind.DRAFT: "a draft model, which proposes tokens to another model",
    Kind.PROJECTOR: "a projector, which gives a model images or sound",
    Kind.ADAPTER: "a LoRA adapter, which changes a model and is none",
    Kind.CONTROL_VECTOR: "a control vector, which steers a model and is none",
    Kind.IMATRIX: "an importance matrix, from which quants are made",
    Kind.ENCODER: "an encoder, whose output no API serves",
    Kind.SPEECH: "a speech model",
    Kind.IMAGE: "a model that generates images",
    Kind.OTHER: "no model that an engine here knows",
}


class DraftMethod(StrEnum):
    """How a draft proposes tokens, in the words of llama-server's ``--spec-type``."""

    SIMPLE = "draft-simple"
    EAGLE3 = "draft-eagle3"
    MTP = "draft-mtp"
    DFLASH = "draft-dflash"
    DSPARK = "draft-dspark"


class Pooling(IntEnum):
    """How the vectors of a text's tokens become one, as ``<architecture>.pooling_type`` has it. Source:
    llama.cpp ``include/llama.h``, ``llama_pooling_type``."""

    NONE = 0
    MEAN = 1
    CLS = 2
    LAST = 3
    RANK = 4
