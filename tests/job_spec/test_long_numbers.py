"""Numbers of thousands of digits, which Python cannot print or turn into a float."""

from __future__ import annotations

from pathlib import Path

import pytest

from clusterrun.errors import SpecError
from clusterrun.job_spec.load import load_spec
from tests.support.validation import reported

NUMBERS = {
    "decimal": "9" * 5000,
    "hexadecimal": "0x" + "f" * 5000,
    "octal": "0o" + "7" * 5000,
    "just-too-large": "0x" + "f" * 300,
    "fraction": "9" * 5000 + ".5",
    "exponent": "1e99999",
}
REFUSED = {
    "slurm.nodes": "slurm: {{nodes: {}}}",
    "accelerate.num_processes": "accelerate: {{num_processes: {}}}",
    "checkpoint.keep": "checkpoint: {{keep: {}}}",
    "requeue.crashes": "requeue: {{crashes: {}}}",
}


def spec_with(folder: Path, line: str, number: str) -> Path:
    """Return the file of a spec with a number in one line."""
    (folder / "train.py").write_text("print(1)\n")
    spec = folder / "job.yaml"
    spec.write_text(f"script: train.py\n{line.format(number)}\n")
    return spec


@pytest.mark.parametrize("number", NUMBERS.values(), ids=NUMBERS)
@pytest.mark.parametrize("key", REFUSED)
def test_where_a_number_is_expected_it_is_refused(key: str, number: str, tmp_path: Path) -> None:
    """The report names the line and the key, and shortens the value."""
    with pytest.raises(SpecError) as caught:
        load_spec(spec_with(tmp_path, REFUSED[key], number))
    (problem,) = caught.value.problems
    assert f"job.yaml:2: {key}: " in str(problem)
    assert len(problem.message) < 200


@pytest.mark.parametrize("number", NUMBERS.values(), ids=NUMBERS)
def test_an_argument_is_passed_on_as_written(number: str, tmp_path: Path) -> None:
    """The script gets the digits, also as a value of a sweep."""
    spec = load_spec(spec_with(tmp_path, "args: {{x: {}}}", number)).spec
    assert spec.args == {"x": number}


@pytest.mark.parametrize("number", NUMBERS.values(), ids=NUMBERS)
@pytest.mark.parametrize("key", ["uniform: [0, {}]", "log_uniform: [{}, 1]"])
def test_a_range_of_a_sweep_is_refused(
    key: str, number: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A random value is drawn between two finite numbers."""
    monkeypatch.chdir(tmp_path)
    values = key.format(number)
    spec = f"script: train.py\nsweep: {{random: {{count: 2, args.x: {{{values}}}}}}}\n"
    with pytest.raises(SpecError) as caught:
        reported(spec, train_py="print(1)\n")
    where = f"job.yaml:2: sweep.random.args.x.{key.partition(':')[0]}"
    assert f"{where}: must be two numbers" in str(caught.value)
