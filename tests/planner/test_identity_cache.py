"""What is computed of one object is kept for that object, and for no other."""

from planner.identity_cache import cached_by_identity


def test_an_object_is_computed_once_while_it_is_among_the_latest() -> None:
    computed: list[list[int]] = []

    @cached_by_identity(2)
    def total(numbers: list[int]) -> int:
        computed.append(numbers)
        return sum(numbers)

    first, equal, third = [1, 2], [1, 2], [3]
    assert [total(first), total(first), total(equal), total(equal)] == [3, 3, 3, 3]
    assert len(computed) == 2, "an equal object is another one"
    assert total(third) == 3
    total(first)
    assert len(computed) == 4, "it was forgotten for the third"
