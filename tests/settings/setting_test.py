"""One setting: its values, as text and as flags."""

import pytest

from tf_mvae import checks
from tf_mvae.errors import UserError
from tf_mvae.settings import Setting

SETTINGS = {
    "flag": (Setting("flag", False, ""), True, "true"),
    "number": (Setting("number", 3, ""), -4, "-4"),
    "fraction": (Setting("fraction", None, "", kind=float), 0.1, "0.1"),
    "text": (Setting("text", None, "", kind=str), "a=b", "a=b"),
    "names": (Setting("names", ("en", "vi"), ""), ("de",), "de"),
    "none": (Setting("names", ("en", "vi"), ""), (), ""),
    "weights": (Setting("weights", {}, ""), {"a": 0.5, "b": 2.0}, "a=0.5,b=2.0"),
    "choice": (Setting("choice", True, "", choices=(True, False, "auto")), "auto", "auto"),
    "choice_of_a_bool": (Setting("choice", "auto", "", choices=(True, "auto")), True, "true"),
}


@pytest.mark.parametrize(("setting", "value", "text"), SETTINGS.values(), ids=SETTINGS)
def test_a_value_is_written_and_read(setting, value, text):
    assert setting.text(value) == text
    assert setting.checked(setting.parse(text)) == value
    assert setting.checked(setting.default) == setting.default


@pytest.mark.parametrize(
    ("setting", "value", "message"),
    [
        (Setting("n", 3, "", checks.positive_integer), 0, "--n must be an integer of 1 or more"),
        (Setting("w", {}, "", checks.fraction), {"a": 1.5}, "--w of 'a' must be a number in"),
        (Setting("c", "one", "", choices=("one", "two")), "to", "--c=to is not known.*one, two"),
        (Setting("n", 3, ""), None, "--n needs a value"),
    ],
)
def test_a_wrong_value_is_refused(setting, value, message):
    with pytest.raises(UserError, match=message):
        setting.checked(value)


@pytest.mark.parametrize(("name", "text"), [("flag", "yes"), ("number", "x"), ("fraction", "x")])
def test_a_text_that_means_no_value_is_a_value_error(name, text):
    with pytest.raises(ValueError, match="yes|x"):
        SETTINGS[name][0].parse(text)
