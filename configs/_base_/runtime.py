"""Settings of logging, checkpoints and processes for every task."""

default_scope = "visionzoo"
log_level = "INFO"
load_from = None
resume = False
randomness = dict(seed=0, deterministic=False)

default_hooks = dict(
    timer=dict(type="IterTimerHook"),
    logger=dict(type="LoggerHook", interval=50),
    param_scheduler=dict(type="ParamSchedulerHook"),
    checkpoint=dict(type="CheckpointHook", interval=1, max_keep_ckpts=2),
    sampler_seed=dict(type="DistSamplerSeedHook"),
)
env_cfg = dict(cudnn_benchmark=False, mp_cfg=dict(mp_start_method="spawn", opencv_num_threads=0))
