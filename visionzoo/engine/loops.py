"""Training loops that can stop and resume at any iteration.

They extend mmengine's loops in three ways. The position in the data is counted, saved, and restored without loading an
image. A request to stop takes effect between two iterations and writes a checkpoint. Validation does not change the
random states of training.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from mmengine.hooks import EarlyStoppingHook, EMAHook
from mmengine.runner import EpochBasedTrainLoop, IterBasedTrainLoop, TestLoop, ValLoop
from torch import nn

from visionzoo.engine.model_errors import model_explained
from visionzoo.engine.seeding import random_apart
from visionzoo.registry import LOOPS
from visionzoo.system.distributed import any_of, share_buffers


class Interrupted(KeyboardInterrupt):
    """The user or the system requested a stop. ``checkpoint`` is the file to resume from, or None."""

    def __init__(self, checkpoint: Any = None):
        super().__init__("interrupted")
        self.checkpoint = checkpoint


class _Resumable:
    """Shared parts of both training loops: position, resuming, stopping, validation."""

    runner: Any
    dataloader: Any
    _epoch: int
    _iter: int
    stop_training: bool
    data_pass = 0  # completed passes over the data
    batch = 0  # batches taken from this pass
    validated = False  # True if the current weights are validated
    _resumed = False

    def position(self) -> dict[str, Any]:
        """Return the position between two iterations, for the checkpoint."""
        return {
            "data_pass": self.data_pass,
            "batch": self.batch,
            "validated": self.validated,
            "stopped": self.stop_training,
        }

    def go_to(self, position: dict[str, Any], epoch: int, iteration: int) -> None:
        """Restore the position that :meth:`position` returned."""
        self.data_pass, self.batch = int(position["data_pass"]), int(position["batch"])
        self._epoch, self._iter = epoch, iteration
        stops_early = any(isinstance(hook, EarlyStoppingHook) for hook in self.runner.hooks)
        self.validated, self.stop_training = bool(position["validated"]), bool(position["stopped"]) and stops_early
        self._resumed = True

    def _start_data(self) -> None:
        """Start the next iteration of the loader at the current position."""
        self.dataloader.batch_sampler.start_at(self.data_pass, self.batch)

    def _stop_if_asked(self) -> None:
        if any_of(self.runner.stop_asked, self.runner.device):
            raise Interrupted(self.runner.save_now())

    def _save_if_ended_early(self, name: str) -> None:
        """Save a run that ends before its last step, whose checkpoint may not be due; ``name`` is that of its file."""
        if self.stop_training and self.runner.message_hub.get_info("last_ckpt", None) != name:
            self.runner.message_hub.update_info("last_ckpt", name)
            self.runner.save_now()

    def _validate(self) -> None:
        """Validate and record it in the newest checkpoint, so that a resumed run does not repeat it."""
        share_buffers(self.runner.model)
        with random_apart(device=self.runner.device):
            try:
                self.runner.metrics = self.runner.val_loop.run()
            except Interrupted:
                self._put_trained_weights_back()
                raise Interrupted(self.runner.save_now()) from None
        self.validated = True
        self.runner.call_hook("after_validation")

    def _put_trained_weights_back(self) -> None:
        """Restore the trained weights after a stopped validation, which used the averaged weights if there are any."""
        for hook in self.runner.hooks:
            if isinstance(hook, EMAHook):
                hook._swap_ema_parameters()


@LOOPS.register_module()
class EpochLoop(_Resumable, EpochBasedTrainLoop):
    """Training loop over epochs. Arguments are those of :class:`mmengine.runner.EpochBasedTrainLoop`."""

    def run(self) -> nn.Module:
        self.runner.call_hook("before_train")
        if self._resumed and self.batch == 0 and self._epoch > 0:
            self._after_epoch()
        while self._epoch < self._max_epochs and not self.stop_training:
            self.run_epoch()
            self._stop_if_asked()
            self._after_epoch()
            self._stop_if_asked()
        self._save_if_ended_early(f"epoch_{self._epoch}.pth")
        self.runner.call_hook("after_train")
        return self.runner.model

    def _after_epoch(self) -> None:
        self._decide_current_val_interval()
        due = self._epoch % self.val_interval == 0 or self._epoch == self._max_epochs
        if self.runner.val_loop is not None and self._epoch >= self.val_begin and due and not self.validated:
            self._validate()

    def run_epoch(self) -> None:
        self.data_pass = self._epoch
        self.runner.call_hook("before_train_epoch")
        self._start_data()
        self.runner.model.train()
        self.validated = False
        batches = iter(self.dataloader)
        self.runner.restore_random_states()
        for index, data_batch in enumerate(batches, start=self.batch):
            self.run_iter(index, data_batch)
        self.batch = 0
        self.data_pass = self._epoch + 1
        self.runner.call_hook("after_train_epoch")
        self._epoch += 1

    def run_iter(self, idx: int, data_batch: Any) -> None:
        self.batch = idx + 1
        with model_explained(data_batch):
            super().run_iter(idx, data_batch)
        if self.batch < len(self.dataloader):  # after the last batch, the stop waits for the checkpoint of the epoch
            self._stop_if_asked()


@LOOPS.register_module()
class IterLoop(_Resumable, IterBasedTrainLoop):
    """Training loop over iterations. Arguments are those of :class:`mmengine.runner.IterBasedTrainLoop`."""

    def run(self) -> nn.Module:
        self.runner.call_hook("before_train")
        self.runner.call_hook("before_train_epoch")
        batches = self._batches()
        if self._resumed and self._iter > 0:
            self._validate_if_due()
        while self._iter < self._max_iters and not self.stop_training:
            self.runner.model.train()
            self.run_iter(next(batches))
            self._validate_if_due()
            self._stop_if_asked()
        self._save_if_ended_early(f"iter_{self._iter}.pth")
        self.runner.call_hook("after_train_epoch")
        self.runner.call_hook("after_train")
        return self.runner.model

    def run_iter(self, data_batch: Any) -> None:
        self.batch += 1
        self.validated = False
        with model_explained(data_batch):
            super().run_iter(data_batch)

    def _batches(self) -> Iterator[Any]:
        """Yield batches without a limit. After the last batch of a pass over the data, the next pass begins."""
        while True:
            self._start_data()
            batches = iter(self.dataloader)
            self.runner.restore_random_states()
            yield from batches
            self.data_pass, self.batch = self.data_pass + 1, 0

    def _validate_if_due(self) -> None:
        self._decide_current_val_interval()
        due = self._iter % self.val_interval == 0 or self._iter == self._max_iters
        if self.runner.val_loop is not None and self._iter >= self.val_begin and due and not self.validated:
            self._validate()


class _Stoppable:
    """Stop a validation or test between two batches on request. The caller of the loop saves the checkpoint."""

    runner: Any

    def run_iter(self, idx: int, data_batch: Any) -> None:
        with model_explained(data_batch):
            super().run_iter(idx, data_batch)  # type: ignore[misc]
        if any_of(self.runner.stop_asked, self.runner.device):
            raise Interrupted


@LOOPS.register_module()
class ValidationLoop(_Stoppable, ValLoop):
    """:class:`mmengine.runner.ValLoop` that can be stopped."""


@LOOPS.register_module()
class MeasureLoop(_Stoppable, TestLoop):
    """:class:`mmengine.runner.TestLoop` that can be stopped."""
