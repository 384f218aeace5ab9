"""Durations, sizes and times: one grammar everywhere, and one clear error for invalid values."""

from __future__ import annotations

import argparse

import pytest

from clusterrun import units
from clusterrun.cli import options
from clusterrun.errors import ClusterrunError
from clusterrun.job_spec import JobSpec, durations
from clusterrun.run_status.listing import parse_filter
from clusterrun.training.checkpointing.interval import parse_interval

HOUR = 3600.0
DURATIONS = {
    "90s": 90.0, "90 s": 90.0, "90sec": 90.0, "1 second": 1.0, "0.5s": 0.5, "30min": 1800.0, "30 mins": 1800.0, "1 minute": 60.0,
    "2h": 2 * HOUR, "1.5h": 1.5 * HOUR, "2 hrs": 2 * HOUR, "1 hour": HOUR, "1d": 24 * HOUR, "2 days": 48 * HOUR, "1w": 168 * HOUR,
    "1h30min": 1.5 * HOUR, "1 h 20 min": 4800.0, "1 day 12 hours": 36 * HOUR, "1:30:00": 1.5 * HOUR, "1-12": 36 * HOUR, "45:00": 2700.0,
}  # fmt: skip
# What a shell, a browser or an attacker may put in place of a duration.
NONE = ["", "soon", "inf", "nan", "infinite", "-5min", "--5", "1e9h", "1_000s", "\u0663min", "\uff15s", "9" * 5000, "9" * 5000 + "h",
        "1." + "0" * 5000 + "s", "10m", "10 MIN", "1 month", "5 5", "min", "1:2:3:4", "1-", "\x1b[31m1s", "1h 2", "9999999w", "$(id)s"]  # fmt: skip
READERS = {
    "checkpoint.every": lambda text: JobSpec(name="a", script="a.py", checkpoint={"every": text}),
    "hang": lambda text: JobSpec(name="a", script="a.py", hang=text),
    "requeue.shrink_after": lambda text: JobSpec(
        name="a", script="a.py", requeue={"shrink_after": text}
    ),
    "training": parse_interval,
    "list --since": lambda text: parse_filter(since=text or " "),
    "clean --older-than": options.duration_option,
    "wait --timeout": options.timeout_option,
}


@pytest.mark.parametrize(("text", "seconds"), DURATIONS.items())
def test_every_duration(text, seconds):
    """A number with a unit, several of them, or one of Slurm's with a colon or a dash."""
    assert units.seconds_of_duration(text) == seconds


@pytest.mark.parametrize("reader", READERS)
@pytest.mark.parametrize("text", DURATIONS)
def test_every_option_accepts_the_same_spellings(reader, text):
    """A spelling that one option or key accepts is accepted by all."""
    READERS[reader](text)


@pytest.mark.parametrize("reader", READERS)
@pytest.mark.parametrize("text", NONE, ids=range(len(NONE)))
def test_every_option_refuses_the_same_values(reader, text):
    """The error is short and deliberate: no traceback, no message of Python, no thousand digits."""
    if reader == "wait --timeout" and text.isascii() and text.isdigit() and len(text) < 10:
        return
    with pytest.raises((ValueError, argparse.ArgumentTypeError, ClusterrunError)) as refused:
        READERS[reader](text)
    message = str(refused.value)
    assert len(message) < 800
    assert "Exceeds the limit" not in message
    assert "could not convert" not in message
    assert "\x1b" not in message


@pytest.mark.parametrize(("text", "hint"), [
    ("10", "write 10min, 10h or 10s"), ("10m", "write 10min"), ("1,5h", "write 1.5h"), ("2 HOURS", "write 2 hours"),
    ("soon", f"write {units.DURATION_FORMS}"),
])  # fmt: skip
def test_the_nearest_duration_is_proposed(text, hint):
    """If the meaning is clear, the hint proposes the value."""
    with pytest.raises(ValueError, match=r"is not a duration|10 has no unit") as refused:
        units.seconds_of_duration(text)
    assert str(refused.value).partition("\n")[2] == hint


@pytest.mark.parametrize(("text", "time"), [("12h", "12:00:00"), ("1d", "1-00:00:00"), ("90 min", "01:30:00"), ("36 hours", "1-12:00:00"),
                                            ("1 h 30 min", "01:30:00"), ("45s", "00:00:45")])  # fmt: skip
def test_the_slurm_time_of_a_duration_is_proposed(text, time):
    """Slurm's times keep Slurm's form; for other forms the hint has the equivalent value."""
    with pytest.raises(ValueError, match=f"is not a Slurm time\nwrite {time}$"):
        units.seconds_of_slurm_time(text)
    assert units.seconds_of_slurm_time(time) == units.seconds_of_duration(text)


@pytest.mark.parametrize(
    "text", ["\u0663\u0660", "9" * 5000, "-1", "", "1:2:3:4", "inf", "1-", "30.5"]
)
def test_an_invalid_slurm_time(text):
    """One clear error lists the forms."""
    with pytest.raises(ValueError, match="is not a Slurm time\nwrite minutes") as refused:
        units.seconds_of_slurm_time(text)
    assert len(str(refused.value)) < 300


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (5400, "90min"),
        (7200, "2h"),
        (90, "90s"),
        (0.2, "0.2s"),
        (86400, "24h"),
        (3e9 + 1, "3000000001s"),
    ],
)
def test_an_interval_is_written_as_protocol_1_reads_it(seconds, text):
    """The training library of 0.1.0 knows s, min and h."""
    assert units.format_interval(seconds) == text
    assert parse_interval(text).seconds == seconds


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("00:00:15", 15),
        ("15", 15),
        ("1-02:00:00", 93600),
        ("1:30", 90),
        ("", None),
        ("INFINITE", None),
    ],
)
def test_a_time_that_slurm_prints(text, seconds):
    """A bare number printed by Slurm is seconds; a column may be empty."""
    assert units.seconds_of_slurm_clock(text) == seconds


@pytest.mark.parametrize(
    ("text", "size"),
    [
        ("80GB", 80 * 10**9),
        ("80 GiB", 80 * 2**30),
        ("81559MiB", 81559 * 2**20),
        ("1.5T", 15 * 10**11),
    ],
)
def test_every_size(text, size):
    """A unit with i is a power of 1024, one without is a power of 1000."""
    assert units.bytes_of_size(text) == size


@pytest.mark.parametrize(("text", "hint"), [("80", "write 80GB or 80GiB"), ("80gb", "write 80GB"), ("80gib", "write 80GiB"), ("0GB", f"write {units.SIZE_FORMS}"),
                                            ("inf", ""), ("9" * 5000, ""), ("\u0668GB", ""), ("-1GB", "")])  # fmt: skip
def test_an_invalid_size(text, hint):
    """One clear error says what to write."""
    with pytest.raises(ValueError, match=r"(is not a size|80 has no unit)\nwrite") as refused:
        units.bytes_of_size(text)
    assert str(refused.value).endswith(hint)
    assert len(str(refused.value)) < 300


@pytest.mark.parametrize(
    ("text", "count"),
    [("7.5B", 7_500_000_000), ("350m", 350_000_000), ("124439808", 124439808), ("1e9", 10**9)],
)
def test_every_count(text, count):
    """Numbers of parameters are written as in model names."""
    assert units.count_of(text) == count


@pytest.mark.parametrize(
    "text", ["", "0", "inf", "nanB", "\u0667B", "9" * 5000, "-7B", "1e99", "7.5X"]
)
def test_an_invalid_count(text):
    """An implausibly large one is refused, too."""
    with pytest.raises(ValueError, match="is not a count\nwrite"):
        units.count_of(text)


@pytest.mark.parametrize("text", ["\u0663", "-1", "1.0", "9" * 5000, "", "0x10", "1e3"])
def test_an_invalid_whole_number(text):
    """Python accepts more than people mean."""
    with pytest.raises(ValueError, match="is not a whole number"):
        units.whole_number(text)


@pytest.mark.parametrize(
    "text", ["0001-01-01", "9999-12-31T23:59:59", "2026-11-21T06:00Z", "2026-11-21 06:00"]
)
def test_every_time_has_a_moment_or_an_error(text):
    """The first and last days of a calendar give no traceback in any time zone."""
    try:
        assert isinstance(units.moment_of(text, 0.0), float)
    except ValueError as error:
        assert "is not a time" in str(error)  # noqa: PT017 - which of both depends on the time zone


def test_a_duration_is_written_so_that_it_can_be_read_again():
    """clusterrun accepts the durations that it prints."""
    for seconds in (0, 1, 59, 60, 61, 599, 600, 3600, 5400, 86400, 90061, 1e6):
        assert abs(units.seconds_of_duration(units.format_duration(seconds)) - seconds) < max(
            60.0, seconds / 20
        )
    assert durations.hang_seconds("0.2s") == 1
