"""How much of a record is read."""

from __future__ import annotations

import pytest

from clusterrun.run_folder.records import read_record

MIB = 1 << 20  # bytes


def test_a_record_of_more_than_a_mebibyte_is_refused(tmp_path):
    """A run folder may be somebody else's: a file that no run writes is not read into memory."""
    record = tmp_path / "record"
    record.write_text("a=" + "b" * (MIB - 3) + "\n")
    assert len(read_record(record)["a"]) == MIB - 3
    record.write_text("a=" + "b" * (MIB - 2) + "\n")
    with pytest.raises(OSError, match=r"too large|larger|bytes"):
        read_record(record)
