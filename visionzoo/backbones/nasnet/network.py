"""Sequence of cells: the common base of the backbone and of the tail of the authors' detector."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from typing import Any

from mmengine.model import BaseModule
from torch import Tensor
from torch.nn import functional as F
from torch.nn.modules.batchnorm import _BatchNorm
from torch.utils.checkpoint import checkpoint

from visionzoo.backbones.nasnet.cells import NormalCell, NormSettings, ReductionCell
from visionzoo.backbones.nasnet.design import Design, PlannedCell
from visionzoo.layers.drop_path import ScheduledDropPath

# Number of states that are kept. The first cell after a reduction cell may read the older input of that cell.
_STATES_READ = 3


class CellNetwork(BaseModule):
    """Network of cells that run in the order of a plan.

    Args:
        design: settings of the whole network.
        plan: cells of this part of the network.
        drop_path_steps, norm_eval, with_cp, init_cfg: as for :class:`NASNet`.
    """

    def __init__(
        self,
        design: Design,
        plan: Sequence[PlannedCell],
        *,
        drop_path_steps: int | None,
        norm_eval: bool,
        with_cp: bool,
        init_cfg: Any,
    ):
        super().__init__(init_cfg)
        self.design, self.plan = design, tuple(plan)
        self.drop_path_steps, self.norm_eval, self.with_cp = drop_path_steps, norm_eval, with_cp
        for planned in self.plan:
            self.add_module(planned.name, _built(planned, NormSettings(design.norm_eps, design.norm_momentum)))
        readers = [(i - planned.prev_back, planned) for i, planned in enumerate(self.plan)]
        self._read_raw = {self.plan[i].name for i, reader in readers if i >= 0 and reader.prev_is == "raw"}

    def set_training_progress(self, step: int, total_steps: int) -> None:
        """Set the training progress, which increases the drop probability up to ``drop_path_steps`` or the end."""
        done = step / max(1, self.drop_path_steps or total_steps)
        for module in self.modules():
            if isinstance(module, ScheduledDropPath):
                module.set_done(done)

    def train(self, mode: bool = True) -> CellNetwork:
        """Set the mode. With ``norm_eval``, all norms stay in evaluation mode."""
        super().train(mode)
        if mode and self.norm_eval:
            for module in self.modules():
                if isinstance(module, _BatchNorm):
                    module.eval()
        return self

    def run_cells(
        self, states: Sequence[Tensor], *, count: int | None = None, raw: Collection[str]
    ) -> Iterator[tuple[PlannedCell, Tensor]]:
        """Run the cells in order and yield each cell with its output.

        Args:
            states: inputs of the first cells, before their ReLU, the newest last.
            count: number of cells to run; None for all.
            raw: names of the cells whose output is yielded before its ReLU. Other outputs are yielded after it.
        """
        read: list[tuple[Tensor | None, Tensor]] = [(state, F.relu(state)) for state in states]  # before and after ReLU
        for planned in self.plan[:count]:
            raw_prev, prev = read[-planned.prev_back]
            output = self._run_cell(planned.name, read[-1][1], raw_prev if planned.prev_is == "raw" else prev)
            is_kept = planned.name in raw or planned.name in self._read_raw
            state = F.relu(output, inplace=not is_kept)
            read = [*read[1 - _STATES_READ :], (output if is_kept else None, state)]
            yield planned, output if planned.name in raw else state

    def _run_cell(self, name: str, cur: Tensor, prev: Tensor | None) -> Tensor:
        cell = getattr(self, name)
        if self.with_cp and self.training:
            return checkpoint(cell, cur, prev, use_reentrant=False)
        return cell(cur, prev)


def _built(planned: PlannedCell, norm: NormSettings) -> NormalCell | ReductionCell:
    cls = ReductionCell if planned.is_reduction else NormalCell
    return cls(
        planned.cur_channels,
        planned.prev_channels,
        planned.filters,
        prev_is=planned.prev_is,
        keep_prob=planned.keep_prob,
        norm=norm,
    )
