"""Train a small convolutional network on generated images: no transformers, text or download.

What it teaches:

1. nothing is specific to language models: `prepare` takes a model and a DataLoader of any kind;
2. the accuracy over all processes needs `gather_for_metrics`, which drops the padding of the last
   batch;
3. an evaluation in `run.evaluation` can be interrupted between batches, and does not change the
   state of the training;
4. noise that is derived from a sample's index is the same after a resume; noise from a generator
   would not be.

    accelerate launch examples/train_image_classifier.py
"""

import argparse
import json
import os
from pathlib import Path

import torch
from accelerate import Accelerator, DataLoaderConfiguration
from accelerate.utils import set_seed
from torch import nn
from torch.utils.data import DataLoader, Dataset

from clusterrun.training import TrainingRun

SIDE = 12  # pixels
SHAPES = ("row", "column", "diagonal", "two rows")


def parse_args():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    run_folder = os.environ.get("CLUSTERRUN_RUN_DIR", ".")
    parser.add_argument("--output_dir", type=Path, default=Path(run_folder, "output"))
    parser.add_argument("--per_device_train_batch_size", type=int, default=16)
    parser.add_argument("--num_train_epochs", type=int, default=2)
    parser.add_argument("--save_steps", type=int, default=24, help="overridden by the job spec")
    parser.add_argument("--seed", type=int, default=42)
    return parser.parse_args()


class Pictures(Dataset):
    """Images of one of four shapes, with noise; the index alone determines a sample."""

    def __init__(self, first, last):
        self.indices = range(first, last)

    def __len__(self):
        return len(self.indices)

    def __getitem__(self, position):
        index = self.indices[position]
        draw = torch.Generator().manual_seed(index)
        picture = torch.rand(1, SIDE, SIDE, generator=draw)
        place = int(torch.randint(2, SIDE - 2, (), generator=draw))
        paint(picture[0], SHAPES[index % len(SHAPES)], place)
        return picture, index % len(SHAPES)


def paint(picture, shape, place):
    if shape == "row":
        picture[place] += 1
    elif shape == "column":
        picture[:, place] += 1
    elif shape == "diagonal":
        picture += torch.eye(SIDE).roll(place, dims=0)
    else:
        picture[1, 1:-1] += 1
        picture[-2, 1:-1] += 1


def make_model():
    seeing = [
        nn.Conv2d(1, 16, 3),
        nn.ReLU(),
        nn.Conv2d(16, 16, 3),
        nn.ReLU(),
        nn.AdaptiveMaxPool2d(2),
    ]
    return nn.Sequential(*seeing, nn.Flatten(), nn.Dropout(0.1), nn.Linear(64, len(SHAPES)))


@torch.no_grad()
def evaluate(accelerator, run, model, loader):
    """Return the share of images that are classified correctly."""
    model.eval()
    right = []
    for pictures, labels in run.evaluation(loader):
        found = model(pictures).argmax(dim=1)
        right.append(accelerator.gather_for_metrics(found == labels))
    model.train()
    return torch.cat(right).float().mean().item()


def log(accelerator, **values):
    """Print one line of JSON from the main process; accelerator.print prints on every node."""
    if accelerator.is_main_process:
        print(json.dumps(values), flush=True)


def main():
    args = parse_args()
    set_seed(args.seed)
    order = DataLoaderConfiguration(use_seedable_sampler=True, data_seed=args.seed)
    accelerator = Accelerator(dataloader_config=order)
    model = make_model()
    optimizer = torch.optim.AdamW(model.parameters(), lr=3e-3)
    loader = DataLoader(Pictures(0, 512), batch_size=args.per_device_train_batch_size, shuffle=True)
    eval_loader = DataLoader(Pictures(512, 612), batch_size=32)
    model, optimizer, loader, eval_loader = accelerator.prepare(
        model, optimizer, loader, eval_loader
    )
    set_seed(args.seed, device_specific=True)  # dropout differs between processes
    run = TrainingRun(accelerator, folder=args.output_dir, every=f"{args.save_steps} steps")
    for epoch in run.epochs(args.num_train_epochs):
        for pictures, labels in run.batches(loader):
            loss = nn.functional.cross_entropy(model(pictures), labels)
            accelerator.backward(loss)
            optimizer.step()
            optimizer.zero_grad()
            mean = accelerator.reduce(loss.detach(), "mean").item()
            log(accelerator, step=run.step, loss=mean)
        log(accelerator, epoch=epoch, accuracy=evaluate(accelerator, run, model, eval_loader))
    if accelerator.is_main_process:
        torch.save(accelerator.unwrap_model(model).state_dict(), args.output_dir / "model.pt")
    run.finish()
    accelerator.end_training()


if __name__ == "__main__":
    main()
