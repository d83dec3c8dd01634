"""Entities of HTML become signs."""

import pytest

from adapt.datasets import without_entities


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", ""),
        ("it&#39;s &quot;fine&quot;", 'it\'s "fine"'),
        ("Oracle #39;s", "Oracle's"),
        ("#36;5 or  #36;6", "$5 or $6"),
        ("caf&eacute; &amp;lt; &#x41; #151;", "café &lt; A—"),
        ("one &copy two; the #1 team; item #39 and x#39;", "one &copy two; the #1 team; item #39 and x#39;"),
        ("a < b & c > d <b>", "a < b & c > d <b>"),
    ],
)
def test_entities_become_signs(text, expected):
    assert without_entities(text) == expected


@pytest.mark.parametrize("text", [None, 3, b"a", ["a"]])
def test_one_text_at_a_time(text):
    with pytest.raises(TypeError, match="`text` must be a str, got a"):
        without_entities(text)
