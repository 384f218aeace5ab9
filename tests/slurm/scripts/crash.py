"""The last rank raises, during a collective operation of the others."""

from accelerate import Accelerator

accelerator = Accelerator()
if accelerator.process_index == accelerator.num_processes - 1:
    raise RuntimeError(f"rank {accelerator.process_index} has had enough")
accelerator.wait_for_everyone()
