"""Durations, sizes and times: the only place that parses and formats them.

There are two notations of a duration. People write `90s`, `1.5 h` or `2 days`, where a number
always has a unit. Slurm writes `30` for minutes and `1:30` for a minute and a half (sbatch(1),
`--time`). Invalid text raises ValueError; the first line of its message is the fault, the second,
if there is one, a hint.
"""

from __future__ import annotations

import re

_LENGTHS = {"s": 1, "min": 60, "h": 3600, "d": 86400, "w": 7 * 86400}
_UNIT = r"s(?:ec(?:ond)?s?)?|min(?:ute)?s?|h(?:(?:ou)?rs?)?|d(?:ays?)?|w(?:eeks?)?"
_NUMBER = r"[0-9]{1,12}(?:\.[0-9]{1,9})?"
_PART = re.compile(rf"(?P<number>{_NUMBER}) *(?P<unit>{_UNIT})(?![a-z])")
DURATION = re.compile(rf"(?:{_NUMBER} *(?:{_UNIT})(?![a-z]) *)*{_NUMBER} *(?:{_UNIT})")
STEPS = re.compile(r"(?P<steps>[0-9]{1,9}) *steps?")
SLURM_TIME = re.compile(
    r"(?P<minutes>[0-9]{1,9})(:(?P<seconds>[0-9]{1,9}))?|(?P<h>[0-9]{1,9}):(?P<m>[0-9]{1,9}):(?P<s>[0-9]{1,9})"
    r"|(?P<days>[0-9]{1,9})-(?P<hours>[0-9]{1,9})(:(?P<dm>[0-9]{1,9})(:(?P<ds>[0-9]{1,9}))?)?"
)
SLURM_UNLIMITED = ("infinite", "unlimited")
SLURM_MEMORY = re.compile(r"[0-9]{1,15}[KMGTkmgt]?[Bb]?")
_SIZE = re.compile(rf"(?P<number>{_NUMBER}) *(?P<unit>[KMGT]i?B?)")
_COUNT = re.compile(r"(?P<number>[0-9]{1,18}(?:\.[0-9]{1,9})?(?:E[0-9]{1,2})?) *(?P<unit>[KMBT]?)")
_WHOLE = re.compile(r"[0-9]{1,18}")
_LONGEST = (
    36500 * 86400
)  # a hundred years: anything longer is a typo, and must not overflow bash's integers
_POWERS = {"K": 1, "M": 2, "G": 3, "T": 4}
_THOUSANDS = {"": 0, "K": 1, "M": 2, "B": 3, "T": 4}

DURATION_FORMS = "90s, 30min, 2h, 1.5 days or 1:30:00"
SLURM_TIME_FORMS = (
    "minutes, minutes:seconds, hours:minutes:seconds, days-hours, days-hours:minutes[:seconds]"
)
SLURM_MEMORY_FORMS = "a whole number with K, M, G or T, such as 64G"
SIZE_FORMS = "80GB (1000^3 bytes each), 80GiB (1024^3), or 81559MiB as nvidia-smi prints it"


def _shown(text: str) -> str:
    return repr(text[:80])


def seconds_of_duration(text: str, *, bare: str = "", forms: str = DURATION_FORMS) -> float:
    """Return the seconds of `90s`, `1.5 h`, `1 h 20 min`, `2 days`, or a Slurm time (`:` or `-`).

    `bare` is the unit of a number without one, if that is allowed. `forms` is what the hint
    proposes if nothing closer to the text is known. Raises ValueError for anything else.
    """
    if bare and re.fullmatch(_NUMBER, text):
        text += bare
    if DURATION.fullmatch(text):
        parts = [(float(part["number"]), part["unit"]) for part in _PART.finditer(text)]
        seconds = sum(number * _length(unit) for number, unit in parts)
    elif (":" in text or "-" in text) and SLURM_TIME.fullmatch(text):
        seconds = float(_seconds_of_slurm(text))
    else:
        if re.fullmatch(_NUMBER, text):
            raise ValueError(f"{text} has no unit\nwrite {text}min, {text}h or {text}s")
        raise ValueError(f"{_shown(text)} is not a duration\n{_duration_hint(text, forms)}")
    if seconds > _LONGEST:
        raise ValueError(f"{_shown(text)} is too long\nwrite at most {_LONGEST // 86400}d")
    return seconds


def _length(unit: str) -> int:
    return _LENGTHS["min" if unit.startswith("m") else unit[0]]


def _duration_hint(text: str, forms: str) -> str:
    nearest = re.sub(r"(?<=[0-9])( *)m\b", r"\1min", text.lower().replace(",", "."))
    return f"write {nearest if DURATION.fullmatch(nearest) else forms}"


def format_interval(seconds: float) -> str:
    """Format a duration as one number with s, min or h, as training protocol 1 reads it."""
    for unit in ("h", "min"):
        if seconds and seconds % _LENGTHS[unit] == 0:
            return f"{seconds / _LENGTHS[unit]:.0f}{unit}"
    return f"{seconds:.9f}".rstrip("0").rstrip(".") + "s"


def steps_of(text: str) -> int | None:
    """Return the number of `500 steps`; None for anything but a whole number of steps."""
    match = STEPS.fullmatch(text)
    return int(match["steps"]) if match else None


def seconds_of_slurm_time(text: str) -> int | None:
    """Return the seconds of a time in any form that sbatch accepts; None for no limit.

    Raises ValueError for anything else, with the Slurm time of a duration such as `12h` as a hint.
    """
    if text.lower() in SLURM_UNLIMITED:
        return None
    if SLURM_TIME.fullmatch(text):
        return _seconds_of_slurm(text)
    try:
        hint = format_slurm_time(seconds_of_duration(text))
    except ValueError:
        hint = SLURM_TIME_FORMS
    raise ValueError(f"{_shown(text)} is not a Slurm time\nwrite {hint}")


def _seconds_of_slurm(text: str) -> int:
    match = SLURM_TIME.fullmatch(text)
    part = {name: int(value or 0) for name, value in match.groupdict().items()} if match else {}
    days, hours = part["days"], part["hours"] + part["h"]
    minutes = part["minutes"] + part["m"] + part["dm"]
    return ((days * 24 + hours) * 60 + minutes) * 60 + part["seconds"] + part["s"] + part["ds"]


def seconds_of_slurm_clock(text: str) -> int | None:
    """Return the seconds of a time as Slurm prints it (`00:00:15`, `1-02:00:00`); `15` is 15 s.

    None for anything else, such as an empty column.
    """
    if not SLURM_TIME.fullmatch(text):
        return None
    return int(text) if text.isdecimal() else _seconds_of_slurm(text)


def format_slurm_time(seconds: float) -> str:
    """Format a duration as Slurm reads it: `12:00:00`, `1-00:00:00`."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    days, hours = divmod(hours, 24)
    return (f"{days}-" if days else "") + f"{hours:02d}:{minutes:02d}:{rest:02d}"


def format_duration(seconds: float) -> str:
    """Format a duration by its two largest units: `1 h 20 min`, `45 s`; in seconds below 10 min."""
    left = max(round(seconds), 0)
    if left < 60:
        return f"{left} s"
    units = [(unit, length) for unit, length in reversed(_LENGTHS.items()) if unit != "w"]
    units = units if left < 600 else units[:-1]
    place = next(number for number, (_, length) in enumerate(units) if left >= length)
    parts = []
    for unit, length in units[place : place + 2]:
        count, left = divmod(left, length)
        parts.append(f"{count} {unit}")
    return " ".join(part for part in parts if not part.startswith("0 "))


def format_age(seconds: float) -> str:
    """Format a duration by its largest unit, at most days."""
    for unit in ("d", "h", "min"):
        if seconds >= _LENGTHS[unit]:
            return f"{seconds / _LENGTHS[unit]:.0f} {unit}"
    return f"{max(seconds, 0):.0f} s"


def format_clock(seconds: float | None) -> str:
    """Format a duration as hours, minutes and seconds; empty if it is None."""
    if seconds is None:
        return ""
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes // 60}:{minutes % 60:02d}:{rest:02d}"


def moment_of(text: str, now: float) -> float:
    """Return the Unix seconds of a duration before `now` (`2d`), or of an ISO 8601 time.

    A time without a zone is local. Raises ValueError for anything else.
    """
    try:
        return now - seconds_of_duration(text)
    except ValueError:
        from datetime import datetime  # noqa: PLC0415 - rarely needed

    try:
        iso = f"{text[:-1]}+00:00" if text.endswith("Z") else text  # Python 3.10 does not accept Z
        return datetime.fromisoformat(iso).timestamp()
    except (ValueError, OverflowError, OSError):
        what = f"{_shown(text)} is not a time\nwrite a duration such as 90min, 12h, 2d or 1w, "
        raise ValueError(f"{what}or a time such as 2026-11-21 or 2026-11-21T06:00") from None


def bytes_of_size(text: str) -> int:
    """Return the bytes of `80GB`, `80GiB` or `81559MiB`. Raises ValueError for anything else."""
    match = _SIZE.fullmatch(text)
    size = 0
    if match:
        unit = match["unit"]
        size = int(float(match["number"]) * (1024 if "i" in unit else 1000) ** _POWERS[unit[0]])
    if not size:
        if re.fullmatch(_NUMBER, text):
            raise ValueError(f"{text} has no unit\nwrite {text}GB or {text}GiB")
        raise ValueError(f"{_shown(text)} is not a size\n{_size_hint(text)}")
    return size


def _size_hint(text: str) -> str:
    nearest = text.upper().replace(",", ".").replace("IB", "iB")
    return f"write {nearest if nearest != text and _SIZE.fullmatch(nearest) else SIZE_FORMS}"


def check_slurm_memory(text: str) -> str:
    """Return an amount of memory as sbatch accepts it. Raises ValueError, with a hint."""
    if SLURM_MEMORY.fullmatch(text):
        return text
    match = _SIZE.fullmatch(text.upper().replace("I", "i").replace(",", "."))
    hint = SLURM_MEMORY_FORMS
    if match:  # sbatch's units are powers of 1024
        number, unit = float(match["number"]), match["unit"][0]
        whole, smaller = int(number), {"T": "G", "G": "M", "M": "K", "K": "K"}[unit]
        hint = f"{whole}{unit}" if whole == number else f"{round(number * 1024)}{smaller}"
    raise ValueError(f"{_shown(text)} is not an amount of memory\nwrite {hint}")


def format_size(size: float) -> str:
    """Format a number of bytes with the largest unit that fits, a power of 1000."""
    for unit in ("B", "kB", "MB", "GB"):
        if size < 1000:
            return f"{size:.0f} {unit}" if unit == "B" or size >= 100 else f"{size:.1f} {unit}"
        size /= 1000
    return f"{size:.1f} TB"


def count_of(text: str, most: int = 10**15) -> int:
    """Return a count such as `7.5B`, `350M` or `124439808`, up to `most`.

    Raises ValueError for anything else, and for zero.
    """
    match = _COUNT.fullmatch(text.upper())
    count = int(float(match["number"]) * 1000 ** _THOUSANDS[match["unit"]]) if match else 0
    if not 1 <= count <= most:
        raise ValueError(f"{_shown(text)} is not a count\nwrite 7.5B, 350M or 124439808")
    return count


def whole_number(text: str, least: int = 0, most: int = 10**15) -> int:
    """Return a whole number in ASCII digits. Raises ValueError for anything else."""
    if not _WHOLE.fullmatch(text) or not least <= int(text) <= most:
        raise ValueError(
            f"{_shown(text)} is not a whole number" + f" from {least} up" * bool(least)
        )
    return int(text)
