"""Train a small GPT-2 on the bytes of a text with transformers.Trainer; it can stop and resume.

What it teaches:

1. clusterrun needs one line, `resumable(trainer)`; the checkpoints are still Trainer's own, in
   `output_dir`;
2. the code after `trainer.train()` runs once, when training is complete, and never after a stop;
3. every flag of TrainingArguments works on the command line, as
   `--save_steps 50 --gradient_accumulation_steps 4`.

The script also runs without clusterrun, with `python` or `accelerate launch`, and needs no network:

    accelerate launch examples/train_with_trainer.py --max_steps 200
"""

import os
from dataclasses import dataclass, field
from pathlib import Path

import torch
from torch.utils.data import TensorDataset
from transformers import (
    GPT2Config,
    GPT2LMHeadModel,
    HfArgumentParser,
    Trainer,
    TrainingArguments,
    set_seed,
)

from clusterrun.training.trainer import resumable

TEXT = Path(__file__).parent / "data" / "pride-and-prejudice.txt"
RUN_FOLDER = os.environ.get("CLUSTERRUN_RUN_DIR", ".")


@dataclass
class Arguments(TrainingArguments):
    """Trainer's own flags with defaults for this example, and flags for the text and the model."""

    output_dir: str = str(Path(RUN_FOLDER, "output"))
    learning_rate: float = 2e-3
    logging_steps: float = 10
    report_to: str = "none"
    train_file: str = field(default=str(TEXT), metadata={"help": "text file to train on"})
    block_size: int = field(default=128, metadata={"help": "bytes per sample"})
    n_layer: int = field(default=4, metadata={"help": "number of layers"})
    n_embd: int = field(default=128, metadata={"help": "hidden size"})


def load_blocks(args):
    """Return blocks of `block_size` bytes: nine tenths for training, one tenth for evaluation."""
    text = torch.frombuffer(bytearray(Path(args.train_file).read_bytes()), dtype=torch.uint8).long()
    blocks = text[: len(text) // args.block_size * args.block_size].view(-1, args.block_size)
    part = len(blocks) * 9 // 10
    return TensorDataset(blocks[:part]), TensorDataset(blocks[part:])


def collate(samples):
    """Return a batch; the model shifts the labels by itself."""
    blocks = torch.stack([block for (block,) in samples])
    return {"input_ids": blocks, "labels": blocks}


def main():
    (args,) = HfArgumentParser(Arguments).parse_args_into_dataclasses()
    train_data, eval_data = load_blocks(args)
    set_seed(args.seed)  # all ranks start with the same weights
    sizes = {
        "n_positions": args.block_size,
        "n_layer": args.n_layer,
        "n_embd": args.n_embd,
        "n_head": 4,
    }
    model = GPT2LMHeadModel(GPT2Config(vocab_size=256, bos_token_id=0, eos_token_id=0, **sizes))
    trainer = Trainer(model, args, collate, train_data, eval_data)
    resumable(trainer)
    trainer.train()
    trainer.log_metrics("eval", trainer.evaluate())
    trainer.save_model()


if __name__ == "__main__":
    main()
