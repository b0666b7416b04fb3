"""CRC-32C, the checksum of TensorFlow's files: https://www.rfc-editor.org/rfc/rfc3720#appendix-B.4."""

import functools

import numpy as np

POLYNOMIAL = np.uint32(0x82F63B78)  # with its bits reversed
LANES = (2**13, 2**9, 2**5, 1)  # words per row, in successive passes


def masked_crc32c(data: bytes | np.ndarray) -> int:
    """The checksum as TensorFlow stores it: masked, so that data may contain their own checksums."""
    crc = crc32c(data)
    return ((crc >> 15 | crc << 17) + 0xA282EAD8) & 0xFFFFFFFF


def crc32c(data: bytes | np.ndarray) -> int:
    """The checksum of bytes, or of the bytes of an array.

    A CRC is linear over GF(2), and appending zeros is a linear map of its 32 bits. So the data is split into
    rows of 32-bit words, which are folded: the sum so far, advanced by the length of a row, is XORed with the
    next row. The one row that remains has the same checksum as the data.
    """
    values = np.frombuffer(data, np.uint8) if isinstance(data, bytes) else data.reshape(-1).view(np.uint8)
    crc = 0xFFFFFFFF
    head = len(values) % 4
    for value in values[:head].tolist():
        crc = int(_byte_table()[(crc ^ value) & 0xFF]) ^ crc >> 8
    if head == len(values):
        return crc ^ 0xFFFFFFFF
    words = values[head:].view("<u4")
    carried, rest = np.uint32(crc), words  # `carried` is XORed into the first word
    for lanes in (lanes for lanes in LANES if lanes <= len(words)):
        row = np.zeros(lanes, np.uint32)
        first = len(rest) % lanes or lanes
        row[lanes - first :] = rest[:first]
        row[lanes - first] ^= carried
        low, high = _shift_tables(4 * lanes)
        for start in range(first, len(rest), lanes):
            halves = row.view("<u2")
            row = low.take(halves[::2]) ^ high.take(halves[1::2]) ^ rest[start : start + lanes]
        carried, rest = np.uint32(0), row
    low, high = _shift_tables(4)
    return int(low[row[0] & 0xFFFF] ^ high[row[0] >> 16]) ^ 0xFFFFFFFF


@functools.cache
def _byte_table() -> np.ndarray:
    """The checksum of each byte."""
    crc = np.arange(256, dtype=np.uint32)
    for _ in range(8):
        crc = np.where(crc & 1, crc >> 1 ^ POLYNOMIAL, crc >> 1)
    return crc


@functools.cache
def _shift_tables(count: int) -> tuple[np.ndarray, np.ndarray]:
    """Where appending `count` zero bytes maps the lower and upper 16 bits of a checksum: [65536] each."""
    images = np.uint32(1) << np.arange(32, dtype=np.uint32)  # of the 32 bits
    for digit in bin(count)[2:]:  # the map for twice as many zeros is the map applied twice
        images = _apply(images, images)
        if digit == "1":
            images = _byte_table()[images & 0xFF] ^ images >> 8
    halves = []
    for half in (images[:16], images[16:]):
        table = np.zeros(1, np.uint32)
        for image in half:
            table = np.concatenate([table, table ^ image])
        halves.append(table)
    return halves[0], halves[1]


def _apply(images: np.ndarray, values: np.ndarray) -> np.ndarray:
    """A linear map, given by the images of the 32 bits, of each value."""
    chosen = values[:, None] >> np.arange(32, dtype=np.uint32) & 1
    return np.bitwise_xor.reduce(chosen * images, axis=1)
