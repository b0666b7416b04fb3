"""TensorBoard event files, against published check values."""

import numpy as np
import pytest

from compare_gan.core.crc32c import crc32c
from compare_gan.core.events import EventFile, event_files, picture, scalar
from compare_gan.core.pictures import encoded
from tests.helpers.events import events, values


@pytest.mark.parametrize(
    ("data", "crc"),
    [  # RFC 3720, B.4; the last is the check value of the catalogue of CRC algorithms
        (bytes(32), 0x8A9136AA),
        (b"\xff" * 32, 0x62A8AB43),
        (bytes(range(32)), 0x46DD794E),
        (bytes(range(31, -1, -1)), 0x113FDB5C),
        (b"123456789", 0xE3069283),
        (b"", 0),
    ],
)
def test_crc32c(data, crc):
    assert crc32c(data) == crc


def test_crc32c_of_any_length_agrees_with_tensorboardx():
    from tensorboardX.crc32c import _crc32c

    data = np.random.default_rng(0).integers(0, 256, 5000, np.uint8).tobytes()
    for size in (*range(1, 20), 100, 1023, 1024, 1025, 4999, 5000):
        assert crc32c(data[:size]) == _crc32c(data[:size])


def test_an_event_file_is_read_back(tmp_path):
    png = encoded(np.arange(30, dtype=np.uint8).reshape(2, 5, 3), ".png")
    file = EventFile(tmp_path / "new")
    file.write(3, 12.5, [scalar("loss/d", 0.1), picture("samples/real", png)])
    start, event = events(file.path)
    assert start.file_version == "brain.Event:2"
    assert (event.step, event.wall_time) == (3, 12.5)
    loss, image = event.summary.value
    assert (loss.tag, loss.simple_value) == ("loss/d", np.float32(0.1))
    assert (image.tag, image.image.height, image.image.width) == ("samples/real", 2, 5)
    assert image.image.encoded_image_string == png


def test_a_new_event_file_replaces_the_earlier_ones_and_no_others(tmp_path):
    other = tmp_path / "events.out.tfevents.1.host"
    other.write_bytes(b"")
    EventFile(tmp_path).write(1, 0.0, [scalar("x", 1)])
    EventFile(tmp_path).write(2, 0.0, [scalar("x", 2)])
    assert values(tmp_path) == {("x", 2): 2.0}
    assert len(event_files(tmp_path)) == 1 and other.exists()
