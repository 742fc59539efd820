from orchestrator.showing.page import _as_json


def test_json_cannot_end_the_script_that_it_stands_in_and_has_no_nan():
    text = _as_json({"a": "</script><b>", "n": [float("nan"), float("inf"), 1.5]})
    assert "<" not in text
    assert text == '{"a":"\\u003c/script>\\u003cb>","n":[null,null,1.5]}'
