"""Every error has a code of its own, and says the numbers and the next step."""

from domain import errors
from domain.units import GIB


def tree(kind: type[errors.NodeError]) -> list[type[errors.NodeError]]:
    """Those of this tree alone: a room may add kinds of its own under a code that is here."""
    own = [child for child in kind.__subclasses__() if child.__module__ == errors.__name__]
    return [kind, *(found for child in own for found in tree(child))]


def test_codes_are_unique_and_written_in_the_tree_above():
    kinds = [kind for kind in tree(errors.NodeError) if kind.__module__ == errors.__name__]
    codes = [kind.code for kind in kinds]
    assert len(set(codes)) == len(codes)
    for kind in kinds:
        assert kind.__name__ in (errors.__doc__ or "")


def test_what_does_not_fit_says_by_how_much():
    error = errors.DoesNotFitError("gpt-oss-120b", needs_bytes=60 * GIB, has_bytes=20 * GIB)
    assert "60.0 GiB" in str(error)
    assert "20.0 GiB" in str(error)
    assert error.hint


def test_memory_of_an_unknown_size_is_not_called_zero():
    error = errors.DoesNotFitError("gpt-oss-120b", needs_bytes=60 * GIB, has_bytes=None)
    assert "has an unknown amount for it" in str(error)
    assert error.has_bytes is None


def test_an_engines_line_is_told_once_and_not_at_any_length():
    silent, said = (
        errors.EngineError("exited 3"),
        errors.EngineError("exited 3", engine_output="out of plutonium"),
    )
    assert (silent.engine_output, silent.in_full) == ("", "exited 3")
    assert said.in_full == "exited 3: out of plutonium"
    assert errors.EngineError("no libfoo.so", engine_output="libfoo.so").in_full == "no libfoo.so"
    assert len(errors.EngineError("exited 3", engine_output="x" * 10_000).in_full) < 500


def test_an_unknown_model_names_the_nearest():
    error = errors.UnknownModelError("gpt-os", near=["gpt-oss-20b", "gpt-oss-120b"])
    assert "gpt-oss-20b, gpt-oss-120b" in error.hint
