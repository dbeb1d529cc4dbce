"""JSON text as the standard library writes it."""

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from twodasl.io.indented import indented

_SCALARS = (
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text()
)
_VALUES = st.recursive(
    _SCALARS,
    lambda inner: st.lists(inner, max_size=5) | st.dictionaries(st.text(), inner, max_size=5),
    max_leaves=20,
)


@settings(max_examples=50, deadline=None)
@given(_VALUES)
def test_the_same_text_as_the_standard_librarys(value):
    assert indented(value) == json.dumps(value, indent=1)


@pytest.mark.parametrize("value", [float("nan"), [1.0, float("inf")], {"a": [{"b": float("-inf")}]}])
def test_what_json_has_no_number_for(value):
    with pytest.raises(ValueError, match="JSON"):
        indented(value)


def test_keys_are_words():
    with pytest.raises(TypeError, match="keys"):
        indented({1: 2})
