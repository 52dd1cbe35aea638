"""Slopes of an explained value at a layer, by finite differences, and by the gradient."""

from contextlib import contextmanager
from dataclasses import replace

import torch

from visionzoo.analysis.grad_cam import gradient_of, watched


def fed_in_double(explainer, source_values):
    """Return one input, or one group, of a model in double precision."""
    sources = list(explainer.inferencer.prepare.inputs.sources_of(*source_values[0], **source_values[1]))
    values = [explainer.inferencer.prepare.read(source) for source in sources]
    explainer.model.double()

    def make():
        fed = explainer._fed(explainer._packed(sources, values))
        return replace(fed, inputs=fed.inputs.detach().double().requires_grad_().clone())

    return make


@contextmanager
def nudged(layer, step, shape):
    """Add a step to the output of a layer, in its first call with this shape."""
    name, _, index = layer.partition(":")
    done = []

    def add(module, inputs, output):
        listed = isinstance(output, tuple | list)
        value = output[int(index)] if listed else output
        if done or value.shape != shape:
            return output
        done.append(True)
        if not listed:
            return value + step
        items = list(output)
        items[int(index)] = value + step
        return type(output)(items)

    yield name, add
    assert done, "the layer did not run with this shape"


def slopes(explainer, make, target=None, step=1e-6):
    """Return the slope of the value along its gradient at the layer: by the gradient, and by finite differences."""
    names = explainer.inferencer.class_names
    with torch.enable_grad(), watched(explainer.layer) as outputs:
        goal = explainer.task.goal(make(), target, names)
    (layer, output), gradient = gradient_of(goal.value, outputs, explainer.layer)
    length = gradient.norm()
    assert length > 0
    values = []
    for sign in (1, -1):
        with nudged(layer, sign * step * gradient / length, output.shape) as (name, hook):
            handle = explainer.model.get_submodule(name).register_forward_hook(hook)
            with torch.no_grad():
                values.append(float(explainer.task.goal(make(), target, names).value))
            handle.remove()
    return float(length), (values[0] - values[1]) / (2 * step)
