"""Train a tiny GPT-2 with transformers.Trainer; accepts TrainingArguments' flags, and requests
stops at given steps.

`--stop_at 5,9` touches CLUSTERRUN_STOP_FILE at the end of these optimizer steps,
`--stop_in_evaluation_at 8` at the first batch of the evaluation at step 8, both on rank
`--stop_rank` only. `{rank}` in CLUSTERRUN_STOP_FILE becomes the rank, as if each rank were on
another node. `--fence_at 3` lets a next attempt take over at the end of step 3, and
`--crash_after_training` and `--exit_after_training 1` fail where a script would save its model.
"""
# ruff: noqa: ARG002 - every event is called with the same arguments

import os
from dataclasses import dataclass
from pathlib import Path

import torch
from torch.utils.data import IterableDataset, TensorDataset
from transformers import (
    EarlyStoppingCallback,
    GPT2Config,
    GPT2LMHeadModel,
    HfArgumentParser,
    Trainer,
    TrainerCallback,
    TrainingArguments,
    set_seed,
)

from clusterrun.run_folder.paths import RunPaths
from clusterrun.run_folder.records import write_record
from clusterrun.training.trainer import resumable


@dataclass
class Arguments(TrainingArguments):
    report_to: str = "none"
    disable_tqdm: bool = True
    stop_at: str = ""
    stop_in_evaluation_at: int = -1
    stop_rank: int = 0
    samples: int = 68
    patience: int = 0
    resume: str = ""
    fence_at: int = -1
    stream: bool = False
    crash_after_training: bool = False
    exit_after_training: int = 0


class StopRequests(TrainerCallback):
    """Requests a stop, like the node shell."""

    def __init__(self, args):
        self.steps = {int(step) for step in args.stop_at.split(",") if step}
        self.mine = args.process_index == args.stop_rank

    def on_step_end(self, args, state, control, **kwargs):
        if state.global_step in self.steps:
            self.ask()
        if state.global_step == args.fence_at:
            write_record(
                RunPaths(Path(os.environ["CLUSTERRUN_RUN_DIR"])).current, {"attempt": "9999"}
            )

    def on_prediction_step(self, args, state, control, **kwargs):
        if state.global_step == args.stop_in_evaluation_at:
            self.ask()

    def ask(self):
        if self.mine:
            Path(os.environ["CLUSTERRUN_STOP_FILE"]).touch()


def samples(number, seed):
    words = torch.randint(0, 32, (number, 8), generator=torch.Generator().manual_seed(seed))
    return TensorDataset(words)


class Stream(IterableDataset):
    def __init__(self, dataset):
        self.dataset = dataset

    def __iter__(self):
        return iter(self.dataset)


def collate(batch):
    words = torch.stack([sample[0] for sample in batch])
    return {"input_ids": words, "labels": words}


def main():
    (args,) = HfArgumentParser(Arguments).parse_args_into_dataclasses()
    if "CLUSTERRUN_STOP_FILE" in os.environ:
        os.environ["CLUSTERRUN_STOP_FILE"] = os.environ["CLUSTERRUN_STOP_FILE"].format(
            rank=args.process_index
        )
    set_seed(args.seed)
    config = GPT2Config(
        vocab_size=32, n_positions=8, n_layer=1, n_head=2, n_embd=16, bos_token_id=0, eos_token_id=1
    )
    data = samples(args.samples, seed=0)
    trainer = Trainer(
        model=GPT2LMHeadModel(config),
        args=args,
        train_dataset=Stream(data) if args.stream else data,
        eval_dataset=samples(12, seed=1),
        data_collator=collate,
        callbacks=[
            StopRequests(args),
            *([EarlyStoppingCallback(args.patience)] if args.patience else []),
        ],
    )
    resumable(trainer)
    trainer.train(resume_from_checkpoint=args.resume or None)
    if args.crash_after_training:
        raise RuntimeError("the disk is full, let us say")
    if args.exit_after_training:
        raise SystemExit(args.exit_after_training)
    trainer.save_model(Path(args.output_dir, "final"))
    trainer.save_state()
    return trainer


if __name__ == "__main__":
    main()
