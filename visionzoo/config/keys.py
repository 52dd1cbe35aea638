"""Keys of a config that are not arguments of a class: its top level, and dicts without a ``type``."""

TOP_LEVEL = (
    "model",
    "train_dataloader",
    "val_dataloader",
    "test_dataloader",
    "train_cfg",
    "val_cfg",
    "test_cfg",
    "optim_wrapper",
    "param_scheduler",
    "val_evaluator",
    "test_evaluator",
    "default_hooks",
    "custom_hooks",
    "env_cfg",
    "visualizer",
    "vis_backends",
    "log_processor",
    "log_level",
    "load_from",
    "resume",
    "randomness",
    "default_scope",
    "work_dir",
    "launcher",
    "auto_scale_lr",
    "tta_model",
    "tta_pipeline",
    "tiny",
    "task",
    "custom_imports",
    "experiment_name",
    "early_stopping",
    "ema",
    "freeze",
    "linear_probe",
    "num_classes",
    "image_size",
    "tta",
)

# Top-level names that mmengine's Config reserves.
RESERVED = ("filename", "text", "pretty_text", "env_variables")

DATALOADER = (
    "dataset",
    "batch_size",
    "num_workers",
    "sampler",
    "batch_sampler",
    "collate_fn",
    "worker_init_fn",
    "persistent_workers",
    "pin_memory",
    "drop_last",
    "prefetch_factor",
    "timeout",
    "multiprocessing_context",
    "num_batch_per_epoch",
)

# Dicts without a ``type``: from their path to the keys that are read from them.
UNTYPED: dict[str, tuple[str, ...]] = {
    "train_dataloader": DATALOADER,
    "val_dataloader": DATALOADER,
    "test_dataloader": DATALOADER,
    "optim_wrapper.clip_grad": ("type", "max_norm", "norm_type", "error_if_nonfinite", "foreach", "clip_value"),
    "env_cfg": ("cudnn_benchmark", "mp_cfg", "dist_cfg", "resource_limit"),
    "env_cfg.mp_cfg": ("mp_start_method", "opencv_num_threads"),
    "randomness": ("seed", "deterministic", "diff_rank_seed"),
    "image_size": ("size", "paths", "multiple"),
    "auto_scale_lr": ("enable", "base_batch_size"),
    "custom_imports": ("imports", "allow_failed_imports"),
}

# Dicts whose keys depend on another setting and are not checked here: keys that an option may add to them.
ADDABLE: dict[str, tuple[str, ...]] = {
    "optim_wrapper.paramwise_cfg": (
        "layer_decay",
        "head_lr_mult",
        "not_decayed",
        "decay_all",
        "custom_keys",
        "bias_lr_mult",
        "bias_decay_mult",
        "norm_decay_mult",
        "flat_decay_mult",
        "dwconv_decay_mult",
        "dcn_offset_lr_mult",
        "bypass_duplicate",
    )
}
