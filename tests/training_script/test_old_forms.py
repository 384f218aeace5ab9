"""The old forms that warnings name, checked against the installed libraries."""

from __future__ import annotations

import dataclasses
import inspect

import pytest

from clusterrun.training_script.old_forms import ARGUMENTS, KEYWORDS
from tests.support.versions import release_of


def test_the_old_arguments_are_gone_and_the_new_ones_there():
    """TrainingArguments lacks or deprecates every old argument, and has the suggested one."""
    transformers = pytest.importorskip("transformers")
    fields = {field.name for field in dataclasses.fields(transformers.TrainingArguments)}
    left = set(ARGUMENTS) & fields
    assert left <= {"warmup_ratio", "logging_dir"}
    assert not left or release_of("transformers") < (5, 24)
    today = {words.split(",")[0].split(":")[0] for words in ARGUMENTS.values() if words}
    assert {word for word in today if " " not in word} <= fields


def test_the_old_keywords_are_gone():
    """The installed accelerate and transformers refuse every call that a warning names."""
    import accelerate
    import transformers

    for (name, keyword), today in KEYWORDS.items():
        if keyword == "sharding_strategy":  # still accepted by version 1
            continue
        known = (
            getattr(accelerate, name, None)
            or getattr(transformers, name, None)
            or getattr(accelerate.utils, name)
        )
        assert keyword not in inspect.signature(known).parameters, (name, keyword)
        assert today
