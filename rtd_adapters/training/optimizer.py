"""AdamW, and what it costs for a token table of which a batch touches a few hundred rows."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import torch
from torch import Tensor

from rtd_adapters.clip.text import TextTower
from rtd_adapters.training.parameters import trained_tensors
from rtd_adapters.training.settings import TrainingSettings


def make_optimizer(tower: TextTower, settings: TrainingSettings) -> torch.optim.AdamW:
    """AdamW over a tower's trained tensors; with the fast engine its token table is kept by rows on
    a CPU.

    The table takes sparse gradients then, which clipping cannot handle. A GPU would have to be
    waited for to know their rows, and the whole table is little there.
    """
    device = tower.device.type
    fused = device in ("cpu", "cuda")
    tower.token_embedding.sparse = (
        settings.engine == "fast" and settings.max_grad_norm is None and device == "cpu"
    )
    return RowAdamW(
        trained_tensors(tower).values(),
        lr=settings.learning_rate,
        weight_decay=settings.weight_decay,
        fused=fused,
    )


class RowAdamW(torch.optim.AdamW):
    """AdamW that also takes sparse gradients of matrices, and does what it does for dense ones.

    A row that never had a gradient has zero moments, so AdamW only decays it. Moments are kept for
    the other rows alone: memory follows the words that were seen, not the vocabulary. Moments that
    a run on another device has kept otherwise are taken over.
    """

    def __init__(self, parameters: Iterable[Tensor], **settings: Any) -> None:
        super().__init__(parameters, **settings)
        # Fused AdamW would unscale fp16 gradients itself; rows want it done before.
        self._step_supports_amp_scaling = False

    @torch.no_grad()
    def step(self, closure: Any = None) -> Any:
        """Update every parameter that has a gradient."""
        sparse = []
        for group in self.param_groups:
            for parameter in group["params"]:
                if parameter.grad is not None and parameter.grad.is_sparse:
                    sparse.append((parameter, parameter.grad))
                    self._update_rows(parameter, parameter.grad.coalesce(), group)
                    parameter.grad = None
                elif "rows" in self.state.get(parameter, {}):
                    _spread(self.state[parameter], parameter, group["fused"])
        loss = super().step(closure)
        for parameter, grad in sparse:
            parameter.grad = grad
        return loss

    def _update_rows(self, parameter: Tensor, grad: Tensor, group: dict[str, Any]) -> None:
        state = self.state[parameter]
        if not state:
            state["step"] = torch.zeros(())
            state["rows"] = torch.empty(0, dtype=torch.long, device=parameter.device)
            state["exp_avg"] = parameter.new_empty(0, parameter.shape[1])
            state["exp_avg_sq"] = parameter.new_empty(0, parameter.shape[1])
        if "rows" not in state:
            state["rows"] = torch.arange(len(parameter), device=parameter.device)
            state["step"] = state["step"].cpu()
        touched = grad.indices()[0]
        _make_room(state, touched)
        state["step"] += 1
        step, (beta1, beta2) = state["step"].item(), group["betas"]
        first, second = state["exp_avg"], state["exp_avg_sq"]
        places = torch.searchsorted(state["rows"], touched)
        first.mul_(beta1).index_add_(0, places, grad.values(), alpha=1 - beta1)
        second.mul_(beta2).index_add_(0, places, grad.values().square(), alpha=1 - beta2)
        parameter.mul_(1 - group["lr"] * group["weight_decay"])
        scale = (1 - beta2**step) ** 0.5
        change = first / (second.sqrt().div_(scale).add_(group["eps"]))
        parameter.index_add_(0, state["rows"], change, alpha=-group["lr"] / (1 - beta1**step))


def _spread(state: dict[str, Tensor], parameter: Tensor, fused: bool) -> None:
    """Moments of some rows as those of the whole matrix."""
    rows = state.pop("rows")
    for name in ("exp_avg", "exp_avg_sq"):
        state[name] = torch.zeros_like(parameter).index_copy_(0, rows, state[name])
    if fused:
        state["step"] = state["step"].to(parameter.device)


def _make_room(state: dict[str, Tensor], touched: Tensor) -> None:
    """Zero moments for rows that are touched for the first time; rows stay sorted."""
    known = state["rows"]
    fresh = touched[~torch.isin(touched, known)]
    if not len(fresh):
        return
    rows, order = torch.cat([known, fresh]).sort()
    state["rows"] = rows
    for name in ("exp_avg", "exp_avg_sq"):
        zeros = state[name].new_zeros(len(fresh), state[name].shape[1])
        state[name] = torch.cat([state[name], zeros])[order]
