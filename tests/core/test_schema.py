"""JSON values are checked against declared kinds before they are used."""

import pytest

from compare_gan.core import schema
from compare_gan.core.schema import Mismatch, parse_json

NAN, INF = float("nan"), float("inf")
POINT = schema.record({"x": schema.number()}, {"name": schema.text(5)})


@pytest.mark.parametrize(
    ("kind", "good", "bad"),
    [
        (schema.integer(0, 9), [0, 9], [-1, 10, 1.0, True, "1", None, [1]]),
        (schema.number(0, 1), [0, 0.5, 1], [-0.1, 2, NAN, INF, True, "0", None, 10**400]),
        (schema.number(), [-5, 1e300], [NAN, INF, -INF]),
        (schema.number(-INF, INF), [INF, -INF], [NAN]),
        (schema.text(3), ["", "abc"], ["abcd", 3, None, ["a"]]),
        (schema.flag, [True, False], [0, 1, None, "True"]),
        (schema.null, [None], [0, False, ""]),
        (schema.one_of("a", 1), ["a", 1], ["b", True, 1.0, [1]]),
        (schema.either(schema.text(), schema.integer()), ["a", 1], [None, 1.5]),
        (schema.optional(schema.integer()), [None, 1], ["1"]),
        (schema.list_of(schema.integer(), 1, 2), [[1], [1, 2]], [[], [1, 2, 3], [1, "2"], {}, "12", None]),
        (schema.mapping_of(schema.integer(), 1), [{}, {"a": 1}], [{"a": 1, "b": 2}, {"a": "1"}, [], None]),
        (POINT, [{"x": 1}, {"x": 1, "name": "a", "new": []}], [{}, [], {"x": "1"}, {"x": 1, "name": 3}]),
    ],
)
def test_a_kind_accepts_its_values_only(kind, good, bad):
    for value in good:
        kind("key", value)
    for value in bad:
        with pytest.raises(Mismatch, match="expected"):
            kind("key", value)


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ({"points": [{"x": 1}, {"x": "2"}]}, 'its points[1].x is "2"; expected a finite number'),
        ({"points": [{}]}, "its points[0].x is missing; expected a value"),
        ({"points": {"x": 1}}, "its points is an object of 1; expected a list of 0 to 2 values"),
        ({"points": [{"x": 1, "name": "y" * 90}]}, 'name is "' + "y" * 39 + "...; expected text of at most"),
    ],
)
def test_a_message_names_the_key(value, message):
    with pytest.raises(Mismatch) as caught:
        schema.record({"points": schema.list_of(POINT, most=2)})("", value)
    assert message in str(caught.value)


def test_nested_values_are_limited_without_recursion():
    deepest = "[" * schema.MAX_DEPTH + "]" * schema.MAX_DEPTH
    assert schema.depth(parse_json(deepest)) == schema.MAX_DEPTH
    for text in (f"[{deepest}]", "[" * 900 + "]" * 900, '{"a":' * 10**5 + "1" + "}" * 10**5):
        with pytest.raises(ValueError, match="nested too deeply"):
            parse_json(text)
