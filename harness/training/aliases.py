"""Names that other trainers use for our settings. An error suggests our name; the alias is not accepted."""

from collections.abc import Mapping
from types import MappingProxyType

ALIASES: Mapping[str, str] = MappingProxyType(
    {
        **dict.fromkeys(("lr", "base_lr", "max_lr"), "learning_rate"),
        **dict.fromkeys(("vlm_lr", "backbone_lr", "vision_lr"), "backbone_learning_rate"),
        **dict.fromkeys(("min_lr", "min_lr_scale", "min_lr_ratio", "lr_min"), "min_learning_rate_scale"),
        **dict.fromkeys(("lr_scheduler", "lr_schedule", "scheduler"), "schedule"),
        **dict.fromkeys(("wd", "decay"), "weight_decay"),
        **dict.fromkeys(("bs", "batch", "micro_batch", "train_batch_size"), "batch_size"),
        **dict.fromkeys(("grad_accum", "accumulation", "accumulate_grad_batches"), "gradient_accumulation_steps"),
        **dict.fromkeys(("global_batch_size", "total_batch_size"), "effective_batch_size"),
        **dict.fromkeys(("epochs", "num_epochs", "num_train_epochs"), "max_epochs"),
        **dict.fromkeys(("steps", "num_steps", "iterations", "iters", "max_iters", "train_steps"), "max_steps"),
        **dict.fromkeys(("warmup", "num_warmup_steps", "warm_up"), "warmup_steps"),
        **dict.fromkeys(("clip", "grad_clip", "clip_grad", "gradient_clip_val", "max_grad_norm"), "max_gradient_norm"),
        **dict.fromkeys(("amp", "fp16", "bf16", "dtype", "mixed_precision"), "precision"),
        **dict.fromkeys(("workers", "dataloader_workers"), "num_workers"),
        **dict.fromkeys(("window", "history", "seq_len", "sequence_length"), "window_size"),
        **dict.fromkeys(("stride", "skip_frames"), "window_stride"),
        **dict.fromkeys(("model", "backbone"), "policy"),
        **dict.fromkeys(("dataset", "data_dir", "dataset_path", "root_data_dir"), "data"),
        **dict.fromkeys(("output", "output_dir", "out_dir", "save_dir"), "out"),
        **dict.fromkeys(("save_steps", "save_interval", "checkpoint_every"), "save_every"),
        **dict.fromkeys(("eval_every", "eval_steps", "val_every"), "validate_every"),
        **dict.fromkeys(("log_steps", "log_interval", "logging_steps"), "log_every"),
        **dict.fromkeys(("lora", "use_lora"), "lora_enable"),
        **dict.fromkeys(("lora_rank", "rank"), "lora_r"),
        **dict.fromkeys(("freeze", "freeze_vlm"), "freeze_backbone"),
        **dict.fromkeys(("random_seed",), "seed"),
    }
)
