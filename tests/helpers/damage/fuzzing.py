"""A mutation fuzzer: damaged copies of sound files, and what a reader may do with them."""

import random
import resource
import signal
import struct
from contextlib import contextmanager

from poc.shared.errors import UsageError

SECONDS_A_CASE = 10
BYTES_AT_MOST = 1_500_000_000
INTERESTING = [
    b"\xff" * 4,
    b"\x00" * 4,
    b"\x7f\xff\xff\xff",
    b"\x80\x00\x00\x00",
    b"\xff" * 8,
    struct.pack("<Q", 1 << 40),
    struct.pack(">I", 100_000),
    b"..",
    b"/etc/passwd",
    b"{" * 50,
    b"[" * 5000,
    b"9" * 40,
    b"-1",
    b"null",
    b"1e999",
    b"NaN",
]


def mutate(content, draw):
    """A copy with one to four damages."""
    data = bytearray(content)
    for _ in range(draw.randint(1, 4)):
        place = draw.randrange(len(data) + 1)
        kind = draw.randrange(6)
        if kind == 0 and data:
            data[place % len(data)] ^= 1 << draw.randrange(8)
        elif kind == 1:
            del data[place:]
        elif kind == 2:
            piece = draw.choice(INTERESTING)
            data[place : place + len(piece)] = piece
        elif kind == 3:
            data[place:place] = draw.choice(INTERESTING)
        elif kind == 4:
            end = place + draw.randrange(64)
            data[place:place] = data[place:end] * draw.randint(1, 3)
        else:
            data[place : place + draw.randrange(16)] = b""
    return bytes(data)


@contextmanager
def bounded(seconds=0):
    """All cases together may take little memory, and `seconds` if they are given.

    `attempt` bounds the time of each case by itself.
    """

    def too_long(number, frame):
        raise AssertionError(f"it takes more than {seconds or SECONDS_A_CASE} s")

    former = signal.signal(signal.SIGALRM, too_long)
    signal.alarm(seconds)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    try:
        yield
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, former)
    grown = 1024 * (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)
    assert grown < BYTES_AT_MOST, f"memory grew by {grown:,} bytes"


def attempt(reader, *arguments):
    """Whether the reader took it; a refusal is one sentence, and anything else an error."""
    message = None
    signal.alarm(SECONDS_A_CASE)
    try:
        reader(*arguments)
    except UsageError as error:
        message = str(error)
    finally:
        signal.alarm(0)
    assert message is None or message.startswith("Got "), message
    return message is None


def fuzz(name, reader, corpus, path, num_cases, seed=0):
    """Read damaged files; prints how many there were and how many were taken all the same."""
    draw, taken = random.Random(f"{name} {seed}"), 0
    with bounded():
        for content in corpus:
            path.write_bytes(content)
            assert attempt(reader, path), "a sound file is refused"
        for _ in range(num_cases):
            path.write_bytes(mutate(draw.choice(corpus), draw))
            taken += attempt(reader, path)
    print(f"{name}: {num_cases} damaged files, {taken} of them still read, no crash")
