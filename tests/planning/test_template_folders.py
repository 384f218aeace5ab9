"""Templates next to a spec are named, and refused if somebody else can change them."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from clusterrun.errors import SpecError
from clusterrun.planning.preparation import Request, prepare
from clusterrun.planning.template_folders import find_template_folders
from clusterrun.planning.validation import plan_and_render

SOMEBODY = 61002


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with a spec, a script, and a folder `templates`."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "train.py").touch()
    (tmp_path / "job.yaml").write_text("script: train.py\n")
    (tmp_path / "templates").mkdir()
    return tmp_path


def test_a_folder_of_other_templates_does_not_count(place: Path) -> None:
    """A training project may have chat templates: none of our templates is replaced."""
    (place / "templates" / "chat.jinja").touch()
    assert find_template_folders("job.yaml", ()).folders == ()


def test_a_template_of_the_user_is_used_and_named(place: Path) -> None:
    """`validate` and `submit` print which templates are used."""
    (place / "templates" / "_launch.j2").write_text("  echo mine\n")
    template_folders = find_template_folders("job.yaml", ())
    assert template_folders.folders == (place / "templates",)
    assert template_folders.notes == (f"templates of {place / 'templates'} are used: _launch.j2",)
    assert template_folders.problems == ()
    prepared = prepare(Request("job.yaml", environment={"HOME": str(place)}))
    assert template_folders.notes[0] in prepared.notes


@pytest.mark.skipif(os.getuid() != 0, reason="only root can give a file to another user")
@pytest.mark.parametrize("which", ["templates", "templates/_launch.j2", "templates/more/a.j2"])
def test_a_template_of_another_user_is_refused(place: Path, which: str) -> None:
    """In a shared folder anybody could add templates next to a spec, which would run as its user."""
    (place / "templates" / "more").mkdir()
    (place / "templates" / "more" / "a.j2").touch()
    (place / "templates" / "_launch.j2").write_text("  touch pwned\n")
    os.chown(place / which, SOMEBODY, SOMEBODY)
    with pytest.raises(SpecError) as raised:
        plan_and_render(prepare(Request("job.yaml", environment={"HOME": str(place)})))
    assert str(raised.value) == (
        f"{place / which}: template that user 61002 can change\n"
        f"  hint: if you trust them, pass --templates {place / 'templates'}; otherwise move the spec"
    )


def test_a_template_that_everybody_can_change_is_refused(place: Path) -> None:
    """A writable mode is refused whoever owns the template."""
    template = place / "templates" / "base.sbatch.j2"
    template.touch()
    template.chmod(0o666)
    (problem,) = find_template_folders("job.yaml", ()).problems
    assert (problem.where, problem.message) == (
        str(template),
        "template that everybody can change",
    )


def test_a_template_folder_named_by_an_option_is_trusted(place: Path) -> None:
    """`--templates` is the user's decision: no refusal, and no note."""
    template = place / "templates" / "base.sbatch.j2"
    template.touch()
    template.chmod(0o666)
    template_folders = find_template_folders("job.yaml", (str(place / "templates"),))
    assert (template_folders.folders, template_folders.notes, template_folders.problems) == (
        (place / "templates",),
        (),
        (),
    )
