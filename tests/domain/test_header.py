"""Numbers of a header: one for all layers or one for each, a default, and what can't be a count."""

import pytest

from domain.errors import BadModelError
from domain.models.header import HeaderReader
from domain.models.model import MetadataValue, ModelShape


def reader(value: MetadataValue | None) -> HeaderReader:
    return HeaderReader(ModelShape("llama", (), 0, {} if value is None else {"llama.key": value}))


def test_a_number_for_the_model_holds_for_every_layer() -> None:
    header = reader(8)
    assert header.count("key") == header.at_layer("key", 5) == 8
    assert header.per_layer("key", 3) == (8, 8, 8)


def test_a_list_has_a_number_for_each_layer() -> None:
    header = reader((8, 0, 4))
    assert (header.count("key"), header.at_layer("key", 2)) == (8, 4)
    assert header.per_layer("key", 2) == (8, 0)


def test_a_default_stands_for_what_is_missing_and_only_for_that() -> None:
    assert reader(None).count("key", 0) == 0
    assert reader(None).per_layer("key", 2, 7) == (7, 7)
    with pytest.raises(BadModelError, match=r"llama\.key is 'many', a count is expected"):
        reader("many").count("key", 0)


@pytest.mark.parametrize("value", [None, -1, "8", 1 << 40, (), ("a",)])
def test_what_is_no_count_is_refused_by_its_key(value: MetadataValue | None) -> None:
    for read in (lambda header: header.count("key"), lambda header: header.at_layer("key", 0)):
        with pytest.raises(BadModelError, match=r"llama\.key"):
            read(reader(value))


def test_a_list_that_is_too_short_is_refused_where_a_layer_needs_it() -> None:
    with pytest.raises(BadModelError, match=r"llama\.key is None"):
        reader((8,)).at_layer("key", 1)


def test_a_list_of_other_things_than_numbers_is_refused() -> None:
    with pytest.raises(BadModelError, match="more than numbers"):
        reader((8, "a")).per_layer("key", 2)


@pytest.mark.parametrize(("value", "expected"), [(True, True), (1, True), (0, False), (None, False)])
def test_a_flag_is_false_where_the_header_has_none(value: MetadataValue | None, expected: bool) -> None:
    assert reader(value).flag("key") is expected
