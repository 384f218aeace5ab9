"""With this folder in PYTHONPATH a launch takes a third of the CPU time: for tests that are not
about the launch itself.

Python reads a file of this name at each start. The launcher is still accelerate's and torchrun's,
and its ranks are its children; but they are forks of it (forked_ranks.py), and have its imports.
Modules that a launch or a training hardly uses are executed only when somebody uses more of them
than is filled in here.
"""

import contextlib
import gc
import importlib
import subprocess
import sys
import types
from importlib.machinery import PathFinder

gc.set_threshold(100_000, 50, 50)  # importing torch collects garbage for a fifth of its time

TORCHRUN = "torch.distributed.elastic.multiprocessing.subprocess_handler.subprocess_handler"
LAZY = {
    # every optimizer step reads it, and DDP for its default; no test compiles a model
    "torch._dynamo": {
        "disable": lambda function, *_, **__: function,
        "graph_break": lambda *_, **__: None,
        "utils": types.SimpleNamespace(get_optimize_ddp_mode=lambda: "ddp_optimizer"),
    },
    # only compilers, and tensors without data, need these: a third of what importing torch takes
    "torch._meta_registrations": {},
    "torch.export": {},
    # accelerate checks whether each dataset is one of these
    "datasets": {"IterableDataset": type("IterableDataset", (), {})},
    # imports transformers, for a command that no job runs
    "accelerate.commands.estimate": {"estimate_command_parser": lambda *_, **__: None},
}


def fork_of_torchrun(module):
    from forked_ranks import Fork

    module.Popen = Fork


def fork_of_accelerate(module):
    from forked_ranks import Fork

    module.subprocess = types.SimpleNamespace(**vars(subprocess) | {"Popen": Fork})


def dtensor_if_imported(module):
    """A model can hold a DTensor only if its module was imported, which takes a second."""
    ask = module.model_has_dtensor
    module.model_has_dtensor = lambda model: (
        "torch.distributed.tensor" in sys.modules and ask(model)
    )


def generators_as_after_a_whole_import(module):
    """Do what torch requires before a generator is made; its meta registrations would import it."""
    with contextlib.suppress(ImportError, AttributeError):  # torch before 2.13
        torch = sys.modules["torch"]
        opaque = importlib.import_module("torch._opaque_base")
        torch._C._set_generator_metaclass(opaque.OpaqueBaseMeta)


def meta_registrations(module):
    """Execute the deferred module for code that shards or compiles a model."""
    getattr(sys.modules["torch._meta_registrations"], "register_meta", None)


AFTERWARDS = {
    "torch.distributed._meta_registrations": generators_as_after_a_whole_import,
    "torch.distributed.tensor": meta_registrations,
    "deepspeed": meta_registrations,
    TORCHRUN: fork_of_torchrun,
    "accelerate.commands.launch": fork_of_accelerate,
    "accelerate.accelerator": dtensor_if_imported,
}


class Finder:
    """Finds these modules like Python, and changes how they are executed."""

    @staticmethod
    def find_spec(name, path=None, _=None):
        if name not in LAZY and name not in AFTERWARDS:
            return None
        spec = PathFinder.find_spec(name, path)
        execute = spec.loader.exec_module

        def execute_later(module):
            module.__class__ = lazy(execute, LAZY[name])
            vars(module).update(LAZY[name])

        def execute_and_change(module):
            execute(module)
            AFTERWARDS[name](module)

        spec.loader.exec_module = execute_later if name in LAZY else execute_and_change
        return spec


def lazy(execute, filled_in):
    """The class of a module that is executed as soon as an attribute is missing."""

    class Lazy(types.ModuleType):
        def __getattr__(self, name):
            if name.startswith("__"):
                raise AttributeError(name)
            self.__class__ = types.ModuleType
            for known in filled_in:
                delattr(self, known)
            if self.__name__ == "torch._dynamo":
                meta_registrations(self)
            execute(self)
            return getattr(self, name)

    return Lazy


sys.meta_path.insert(0, Finder)
