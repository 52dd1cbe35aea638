"""Slopes of an explained value at a layer, by its gradient and by finite differences."""

from contextlib import contextmanager
from dataclasses import replace

import torch

from visionzoo.analysis.grad_cam import gradient_of, layer_of

_STEP = 1e-6


def fed_in_double(explainer, inputs, **reading):
    """Return a function that feeds one input, or one group, to the model in double precision."""
    sources = list(explainer.inferencer.prepare.inputs.sources_of(inputs, **reading))
    values = [explainer.inferencer.prepare.read(source) for source in sources]
    explainer.model.double()

    def make():
        fed = explainer._fed(explainer._packed(sources, values))
        return replace(fed, inputs=fed.inputs.detach().double().requires_grad_().clone())

    return make


@contextmanager
def moved(model, layer, steps):
    """Add to each output of a layer the step of its shape."""
    name, _, index = layer.partition(":")

    def add(module, inputs, output):
        if not isinstance(output, tuple | list):
            return output + steps(output)
        items = list(output)
        items[int(index)] = items[int(index)] + steps(items[int(index)])
        return type(output)(items)

    handle = model.get_submodule(name).register_forward_hook(add)
    try:
        yield
    finally:
        handle.remove()


def slopes(explainer, make):
    """Return the slope of the value along its gradient at the layer: by the gradient, and by finite differences.

    The slopes are those near the input: small noise on the layer's output removes ties, such as equal values of padding
    under a max pooling, where a value has two slopes. The second one is computed without gradients.
    """
    task, model, names = explainer.task, explainer.model, explainer.inferencer.class_names
    goal, outputs = explainer._valued(make(), None, explainer.layer)
    name = gradient_of(goal.value, outputs, explainer.layer)[0].layer
    layer = layer_of(model, name)
    with moved(model, name, noise_of):
        goal, outputs = explainer._valued(make(), None, layer)
    gradient = gradient_of(goal.value, outputs, layer)[1]
    along, values = _STEP * gradient / gradient.norm(), []
    for sign in (1, -1):

        def change(value, sign=sign):
            return noise_of(value) + (sign * along if value.shape == along.shape else 0)

        with torch.no_grad(), moved(model, name, change):
            values.append(float(task.goal(make(), None, names).value))
    return float(gradient.norm()), (values[0] - values[1]) / (2 * _STEP)


def noise_of(value):
    """Return noise of a hundredth of the spread of a tensor, the same for each tensor of a shape."""
    drawn = torch.randn(value.shape, generator=torch.Generator().manual_seed(0), dtype=value.dtype)
    return 0.01 * float(value.detach().std()) * drawn
