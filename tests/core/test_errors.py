"""Messages for users."""

import pickle

from compare_gan.core.errors import UserError, did_you_mean, printable


def test_a_message_is_one_line_whatever_a_file_is_called():
    error = UserError("a\nb/\udcff\x1b[31m é 猫.png: wrong")
    assert str(error) == r"a\nb/\udcff\x1b[31m é 猫.png: wrong"
    str(error).encode()  # what a terminal does
    assert str(pickle.loads(pickle.dumps(error))) == str(error)


def test_plain_text_stays_as_it_is():
    assert printable("x.png: 3 'things', wanted [N, H]") == "x.png: 3 'things', wanted [N, H]"


def test_did_you_mean():
    assert did_you_mean("Hing", ["hinge", "wasserstein"]) == "; did you mean 'hinge'?"
    assert did_you_mean("zzz", ["b", "a"]) == "; known: a, b"
