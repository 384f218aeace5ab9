"""Removed arguments and keywords that tutorials still show, and their replacements.

Source: transformers.TrainingArguments of 4.57 and 5.23, the plugins of accelerate 1.15; a test
looks each up in them.
"""

from __future__ import annotations

# Removed arguments of TrainingArguments; empty: no replacement.
ARGUMENTS = {
    "evaluation_strategy": "eval_strategy",
    "warmup_ratio": "warmup_steps (below 1 it is a fraction of all steps)",
    "no_cuda": "use_cpu",
    "use_mps_device": "",
    "overwrite_output_dir": "",
    "save_safetensors": "",
    "logging_dir": "the variable TENSORBOARD_LOGGING_DIR",
    "per_gpu_train_batch_size": "per_device_train_batch_size",
    "per_gpu_eval_batch_size": "per_device_eval_batch_size",
    "fp16_backend": "",
    "half_precision_backend": "",
    "fp16_opt_level": "",
    "push_to_hub_token": "hub_token",
    "push_to_hub_model_id": "hub_model_id",
    "push_to_hub_organization": "hub_model_id with the organization in it",
    "include_inputs_for_metrics": "include_for_metrics: [inputs]",
    "fsdp_min_num_params": "fsdp_config, or this spec's accelerate.fsdp_config",
    "fsdp_transformer_layer_cls_to_wrap": "fsdp_config, or this spec's accelerate.fsdp_config",
    "sharded_ddp": "fsdp, or this spec's accelerate.fsdp_config",
    "tpu_metrics_debug": "debug",
    "torchdynamo": "torch_compile_backend",
    "jit_mode_eval": "",
    "use_ipex": "",
    "xpu_backend": "ddp_backend",
    "split_batches": "accelerator_config",
    "dispatch_batches": "accelerator_config",
    "group_by_length": "train_sampling_strategy: group_by_length",
    "include_tokens_per_second": "include_num_input_tokens_seen",
}

# Removed keywords of calls: the callable, the keyword, and the replacement.
KEYWORDS = {
    ("DeepSpeedPlugin", "config"): "DeepSpeedPlugin(hf_ds_config=...)",
    (
        "FullyShardedDataParallelPlugin",
        "optim_state_dict_type",
    ): "state_dict_type alone",
    (
        "FullyShardedDataParallelPlugin",
        "sharding_strategy",
    ): "fsdp_version=2 and reshard_after_forward=True",
    ("Trainer", "tokenizer"): "Trainer(processing_class=...)",
    ("Accelerator", "fp16"): 'Accelerator(mixed_precision="fp16")',
    ("Accelerator", "logging_dir"): "Accelerator(project_dir=...)",
    (
        "Accelerator",
        "dispatch_batches",
    ): "Accelerator(dataloader_config=DataLoaderConfiguration(...))",
    ("Accelerator", "even_batches"): "Accelerator(dataloader_config=DataLoaderConfiguration(...))",
    (
        "Accelerator",
        "use_seedable_sampler",
    ): "Accelerator(dataloader_config=DataLoaderConfiguration(...))",
}
WRAP_POLICIES = {
    "TRANSFORMER_AUTO_WRAP": "TRANSFORMER_BASED_WRAP",
    "SIZE_AUTO_WRAP": "SIZE_BASED_WRAP",
}
