"""A user's templates replace or extend parts of the script, and reach nothing else."""

from __future__ import annotations

import difflib

import pytest
from jinja2.exceptions import SecurityError, UndefinedError

from clusterrun.errors import SpecError
from clusterrun.planning.plan import make_plan
from clusterrun.planning.preparation import Request, prepare
from clusterrun.planning.script import render
from tests.support.library_words import masked
from tests.support.planned import START, script_of

SPEC = "script: train.py\nenvironment: {setup: ulimit -n 4096}\n"
EXTENDED = """\
{% extends "clusterrun/base.sbatch.j2" %}
{% block environment %}
  export SITE=here
{{ super() | plain }}{% endblock %}
{% block directives %}
{{ super() | plain -}}
#SBATCH --comment={{ "it's " ~ spec.name }}
{% endblock %}
"""


def test_a_users_template_extends_ours_block_by_block(folder):
    """A user's base.sbatch.j2 adds to a block and leaves the rest unchanged."""
    (folder / "mine").mkdir()
    (folder / "mine" / "base.sbatch.j2").write_text(EXTENDED)
    ours, theirs = script_of(SPEC), script_of(SPEC, templates=[folder / "mine"])
    # a template's contents also list the sections that it may call
    changes = [
        line
        for line in difflib.ndiff(
            *(script.partition(START)[0].splitlines() for script in (ours, theirs))
        )
        if line[0] in "+-" and line[2:4] != "# "
    ]
    assert changes == ["+ #SBATCH --comment='it'\"'\"'s job'", "+   export SITE=here"]


def test_templates_next_to_the_spec_and_of_an_option(folder):
    """The folder `templates` next to a spec is used; a --templates folder is searched first."""
    (folder / "train.py").touch()
    (folder / "job.yaml").write_text(SPEC)
    for name, word in (("templates", "next-to-spec"), ("option", "option")):
        (folder / name).mkdir()
        (folder / name / "_launch.j2").write_text(f"  echo {word}\n")
    for options, word in (((), "next-to-spec"), (("option",), "option")):
        request = Request("job.yaml", templates=options, environment={"HOME": str(folder)})
        script = render(make_plan(prepare(request)))
        assert f"\nlaunch() {{\n  echo {word}\n}}\n" in script


def test_a_partial_of_the_user_is_used_by_our_base(folder):
    """One partial can be replaced alone, and ours of the same name stays available."""
    (folder / "_configs.j2").write_text('  echo configs\n{% include "clusterrun/_configs.j2" %}')
    script = script_of("command: hostname\n", templates=[folder])
    assert "\nwrite_configs() {\n  echo configs\n  :\n}\n" in script


FAULTS = [
    ("{{ spec.nmae }}", "job.yaml: template: <LIBRARY>"),
    ("{{ nothing }}", "job.yaml: template: <LIBRARY>"),
    ('{{ "a\nb" }}', "job.yaml: template: newline (U+000A) in 'a\\nb'"),
    ('{% include "gone.j2" %}', "job.yaml: template not found: gone.j2"),
    ('{% include "../job.yaml" %}', "job.yaml: template not found: ../job.yaml"),
    ("\n{% if %}", "{folder}/base.sbatch.j2:2: template: <LIBRARY>"),
]


@pytest.mark.parametrize(("template", "expected"), FAULTS)
def test_a_fault_in_a_users_template(folder, template, expected):
    """An unknown name, or any other error in a template, is reported as the user's error."""
    (folder / "base.sbatch.j2").write_text(template)
    with pytest.raises(SpecError) as raised:
        script_of(SPEC, templates=[folder])
    expected = expected.format(folder=folder)
    assert masked(str(raised.value), expected) == expected


TRICKS = [
    "{{ plan.__class__.__mro__[-1].__subclasses__() }}",
    "{{ ''.__class__ }}",
    "{{ spec.model_dump.__globals__ }}",
    "{{ plan.launch.__init__.__globals__['__builtins__'] }}",
    "{{ self.__init__.__globals__ }}",
    "{{ cycler.__init__.__globals__.os.popen('touch canary').read() }}",
    "{{ ('%s' | attr('format'))(plan).__class__ }}",
    "{{ '{0.__class__}'.format(plan) }}",
]


@pytest.mark.parametrize("template", TRICKS)
def test_a_template_reaches_nothing_but_the_plan(folder, template):
    """A template from elsewhere cannot reach Python's own objects through a value."""
    (folder / "base.sbatch.j2").write_text(template)
    with pytest.raises(SpecError, match=r"^job\.yaml: template: [^\n]+$") as raised:
        script_of(SPEC, templates=[folder])
    assert isinstance(raised.value.__cause__, (SecurityError, UndefinedError))
    assert not (folder / "canary").exists()
