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
        """``a speech model``: what follows "is" in a sentence."""
        return _DESCRIPTIONS[self]

    @property
    def hint(self) -> str:
        """The next step for an owner who named such a file as a model."""
        return _HINTS.get(self, "")


_DESCRIPTIONS = {
    Kind.MODEL: "a model that generates text",
    Kind.EMBEDDING: "an embedding model",
    Kind.RERANKER: "a reranking model",
    Kind.DRAFT: "a draft model, which only proposes tokens to another model",
    Kind.PROJECTOR: "a projector, which turns images or sound into input of a model",
    Kind.ADAPTER: "a LoRA adapter, which changes a model and can't be served without it",
    Kind.CONTROL_VECTOR: "a control vector, which steers a model and can't be served without it",
    Kind.IMATRIX: "an importance matrix, from which quants of a model are made",
    Kind.ENCODER: "an encoder, which answers with vectors of single tokens or with labels",
    Kind.SPEECH: "a speech model",
    Kind.IMAGE: "a model that generates images",
    Kind.OTHER: "no model of an architecture that is known here",
}
_NOT_SERVED = "node-daemon serves models that answer with text, embeddings or scores"
_LAUNCH_MODEL = "launch the model that it was made for: node-ctl launch MODEL"
_HINTS = {
    Kind.DRAFT: f"{_LAUNCH_MODEL}; a draft beside it is used where it makes answers faster",
    Kind.PROJECTOR: f"{_LAUNCH_MODEL}; a projector beside it is used",
    Kind.ADAPTER: "launch the model that it was made for, or merge both into one file: "
    "llama-export-lora -m MODEL --lora ADAPTER -o MERGED.gguf, then node-ctl launch ./MERGED.gguf",
    Kind.CONTROL_VECTOR: f"{_LAUNCH_MODEL}; control vectors are not applied",
    Kind.IMATRIX: f"{_LAUNCH_MODEL}; llama-quantize reads the matrix",
    Kind.ENCODER: f"{_NOT_SERVED}; find an embedding model: node-ctl search embed",
    Kind.SPEECH: f"{_NOT_SERVED}, and no speech",
    Kind.IMAGE: f"{_NOT_SERVED}, and no images; stable-diffusion.cpp or ComfyUI load it",
    Kind.OTHER: f"{_NOT_SERVED}; find one: node-ctl search NAME",
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
