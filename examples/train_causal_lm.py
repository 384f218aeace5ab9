"""Train a small GPT-2 from scratch with Accelerate; the training can be stopped and resumed.

What it teaches, from top to bottom:

1. a byte-level BPE tokenizer, trained by the script and saved next to the model;
2. a text split into training and validation parts, and then into blocks;
3. gradient accumulation, a schedule, clipping and metrics that mean the same on any number of
   processes;
4. exact resume: a run that was stopped and resumed prints the same losses as an uninterrupted one.

clusterrun's part is `run`: created in `main`, it provides the epochs and batches of the loops. The
script also runs without clusterrun, with `python` or `accelerate launch`, and needs no network:

    accelerate launch examples/train_causal_lm.py --max_steps 200
"""

import argparse
import json
import math
import os
from dataclasses import dataclass
from functools import partial
from itertools import chain
from pathlib import Path

import torch
from accelerate import Accelerator, DataLoaderConfiguration
from accelerate.utils import set_seed
from datasets import load_dataset
from tokenizers import ByteLevelBPETokenizer
from torch.utils.data import DataLoader
from transformers import (
    GPT2Config,
    GPT2LMHeadModel,
    PreTrainedTokenizerFast,
    default_data_collator,
    get_scheduler,
)

from clusterrun.training import TrainingRun

END_OF_TEXT = "<|endoftext|>"


def parse_args():
    """Parse flags; those of TrainingArguments and run_clm.py in transformers keep their names."""
    run_folder = os.environ.get("CLUSTERRUN_RUN_DIR", ".")
    parser = argparse.ArgumentParser(description="Train a small GPT-2 from scratch.")
    add = parser.add_argument
    add("--train_file", default=Path(__file__).parent / "data" / "pride-and-prejudice.txt")
    add("--validation_split_percentage", type=int, default=5)
    add("--output_dir", type=Path, default=Path(run_folder, "output"))
    add("--vocab_size", type=int, default=2048)
    add("--block_size", type=int, default=128, help="tokens per sample")
    add("--n_layer", type=int, default=4)
    add("--n_head", type=int, default=4)
    add("--n_embd", type=int, default=128)
    add("--per_device_train_batch_size", type=int, default=8)
    add("--gradient_accumulation_steps", type=int, default=1, help="overridden by the launch")
    add("--num_train_epochs", "--epochs", type=int, default=3)
    add("--max_steps", type=int, default=-1, help="optimizer steps; overrides the epochs")
    add("--learning_rate", type=float, default=2e-3)
    add("--lr_scheduler_type", default="cosine", choices=["constant", "linear", "cosine"])
    add("--warmup_steps", type=int, default=50)
    add("--weight_decay", type=float, default=0.1)
    add("--max_grad_norm", type=float, default=1.0)
    add("--bf16", action="store_true", help="default: the precision of the launch")
    add("--seed", type=int, default=42)
    add("--logging_steps", type=int, default=10)
    add(
        "--eval_steps", type=int, default=None, help="evaluate every N steps, not only after epochs"
    )
    add("--save_steps", type=int, default=None, help="overridden by the job spec")
    return parser.parse_args()


def load_tokenizer(args):
    """Train the tokenizer, or load the saved one: every attempt must use the same."""
    path = args.output_dir / "tokenizer.json"
    if not path.exists():
        trainer = ByteLevelBPETokenizer()
        trainer.train(
            str(args.train_file), vocab_size=args.vocab_size, special_tokens=[END_OF_TEXT]
        )
        path.parent.mkdir(parents=True, exist_ok=True)
        draft = path.with_suffix(".draft")
        trainer.save(str(draft))
        draft.replace(path)  # complete or absent if the process is killed here
    return PreTrainedTokenizerFast(
        tokenizer_file=str(path), bos_token=END_OF_TEXT, eos_token=END_OF_TEXT
    )


def load_blocks(args, tokenizer):
    """Return training and validation datasets of blocks of `block_size` tokens."""
    block_size, percentage = args.block_size, 100 - args.validation_split_percentage
    texts = load_dataset(
        "text",
        data_files=str(args.train_file),
        keep_linebreaks=True,
        split=[f"train[:{percentage}%]", f"train[{percentage}%:]"],
    )

    def to_blocks(lines):
        tokens = list(chain.from_iterable(tokenizer(lines["text"])["input_ids"]))
        whole = len(tokens) - len(tokens) % block_size
        blocks = [tokens[i : i + block_size] for i in range(0, whole, block_size)]
        return {"input_ids": blocks, "labels": blocks}

    options = {"batched": True, "batch_size": None, "remove_columns": ["text"]}
    return [text.map(to_blocks, **options) for text in texts]


def make_loaders(args, train_data, eval_data):
    common = {"batch_size": args.per_device_train_batch_size, "collate_fn": default_data_collator}
    # With its own generator, a loader draws nothing from the global generator that dropout uses.
    generator = torch.Generator().manual_seed(args.seed)
    return (
        DataLoader(train_data, shuffle=True, drop_last=True, generator=generator, **common),
        DataLoader(eval_data, generator=torch.Generator(), **common),
    )


def make_model(args, tokenizer):
    sizes = {"n_layer": args.n_layer, "n_head": args.n_head, "n_embd": args.n_embd}
    ends = {"bos_token_id": tokenizer.bos_token_id, "eos_token_id": tokenizer.eos_token_id}
    config = GPT2Config(vocab_size=len(tokenizer), n_positions=args.block_size, **sizes, **ends)
    return GPT2LMHeadModel(config)


def make_optimizer(args, model):
    """Return AdamW with weight decay on matrices only, not on biases and norms."""
    matrices = [p for p in model.parameters() if p.ndim >= 2]
    vectors = {"params": [p for p in model.parameters() if p.ndim < 2], "weight_decay": 0.0}
    groups = [{"params": matrices}, vectors]
    return torch.optim.AdamW(groups, lr=args.learning_rate, weight_decay=args.weight_decay)


@dataclass
class Prepared:
    """The results of `accelerator.prepare`, and the length of the training."""

    model: torch.nn.Module
    optimizer: torch.optim.Optimizer
    train_loader: DataLoader
    eval_loader: DataLoader
    scheduler: object
    epochs: int
    max_steps: int


def prepare(args, accelerator, tokenizer, train_data, eval_data):
    model = make_model(args, tokenizer)
    model, optimizer, train_loader, eval_loader = accelerator.prepare(
        model, make_optimizer(args, model), *make_loaders(args, train_data, eval_data)
    )
    # Counted after prepare, which splits the batches and reads DeepSpeed's accumulation steps.
    steps_per_epoch = math.ceil(len(train_loader) / accelerator.gradient_accumulation_steps)
    max_steps = args.max_steps if args.max_steps > 0 else args.num_train_epochs * steps_per_epoch
    # A prepared scheduler advances once per process at each optimizer step.
    steps = (args.warmup_steps * accelerator.num_processes, max_steps * accelerator.num_processes)
    scheduler = get_scheduler(args.lr_scheduler_type, optimizer, *steps)
    scheduler = accelerator.prepare_scheduler(scheduler)
    epochs = math.ceil(max_steps / steps_per_epoch)
    return Prepared(model, optimizer, train_loader, eval_loader, scheduler, epochs, max_steps)


def train_batch(args, accelerator, prepared, batch):
    """Train on one batch; every `gradient_accumulation_steps`-th completes an optimizer step."""
    model, optimizer = prepared.model, prepared.optimizer
    with accelerator.accumulate(model):
        loss = model(**batch, use_cache=False).loss
        accelerator.backward(loss)
        if accelerator.sync_gradients:
            accelerator.clip_grad_norm_(model.parameters(), args.max_grad_norm)
        optimizer.step()
        prepared.scheduler.step()
        optimizer.zero_grad()
    return loss.detach()


@torch.no_grad()
def evaluate(accelerator, run, prepared):
    """Return the mean validation loss over the samples of all ranks, and the perplexity."""
    prepared.model.eval()
    losses = []
    for batch in run.evaluation(prepared.eval_loader):
        loss = prepared.model(**batch, use_cache=False).loss
        # One value per sample, so that gather_for_metrics can drop the padding of the last batch.
        losses.append(accelerator.gather_for_metrics(loss.repeat(len(batch["input_ids"]))))
    prepared.model.train()
    mean = torch.cat(losses).mean().item()
    return {"eval_loss": mean, "perplexity": math.exp(min(mean, 100))}


def log(args, accelerator, run, epoch, **values):
    """Append a line to metrics.jsonl and print it; a resumed run appends to the same file."""
    if accelerator.is_main_process:
        line = json.dumps({"attempt": run.attempt, "step": run.step, "epoch": epoch, **values})
        with (args.output_dir / "metrics.jsonl").open("a", encoding="utf-8") as file:
            file.write(line + "\n")
        print(line, flush=True)


def train(args, accelerator, run, prepared):
    """Train from the run's current step to the end; on a stop request, save and exit here."""
    metrics = partial(log, args, accelerator, run)
    last = prepared.max_steps
    for epoch in run.epochs(prepared.epochs, total=last):
        window = []  # of the batches of one optimizer step
        for batch in run.batches(prepared.train_loader):
            window.append(train_batch(args, accelerator, prepared, batch))
            if not accelerator.sync_gradients:
                continue
            loss = torch.stack(window).mean()
            window.clear()
            run.log(loss=loss)
            if run.step % args.logging_steps == 0 or run.step >= last:
                mean = accelerator.reduce(loss, "mean").item()
                metrics(epoch, loss=mean, learning_rate=prepared.scheduler.get_last_lr()[0])
            if run.step >= last:
                break  # the evaluation after the epoch covers this step
            if args.eval_steps and run.step % args.eval_steps == 0:
                metrics(epoch, **evaluate(accelerator, run, prepared))
        metrics(epoch, **evaluate(accelerator, run, prepared))


def save_model(args, accelerator, prepared, tokenizer):
    """Save the model and the tokenizer for `from_pretrained`."""
    state = accelerator.get_state_dict(prepared.model)  # on all ranks: each may hold a shard
    if accelerator.is_main_process:
        model = accelerator.unwrap_model(prepared.model)
        model.save_pretrained(args.output_dir / "model", state_dict=state)
        tokenizer.save_pretrained(args.output_dir / "model")


def main():
    args = parse_args()
    accelerator = Accelerator(
        mixed_precision="bf16" if args.bf16 else None,
        # ACCELERATE_GRADIENT_ACCUMULATION_STEPS and DeepSpeed's config override this value.
        gradient_accumulation_steps=args.gradient_accumulation_steps,
        # Seedable: the seed and the epoch number determine the sample order, so it can be repeated.
        dataloader_config=DataLoaderConfiguration(use_seedable_sampler=True, data_seed=args.seed),
    )
    every = f"{args.save_steps} steps" if args.save_steps else None
    run = TrainingRun(accelerator, folder=args.output_dir, every=every)
    with accelerator.main_process_first():  # the other ranks read the files that it wrote
        tokenizer = load_tokenizer(args)
        train_data, eval_data = load_blocks(args, tokenizer)
    set_seed(args.seed)  # all ranks start with the same weights
    prepared = prepare(args, accelerator, tokenizer, train_data, eval_data)
    set_seed(args.seed, device_specific=True)  # dropout differs between ranks
    train(args, accelerator, run, prepared)
    save_model(args, accelerator, prepared, tokenizer)
    run.finish()
    accelerator.end_training()


if __name__ == "__main__":
    main()
