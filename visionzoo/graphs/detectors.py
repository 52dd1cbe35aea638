"""Form of a detector of mmdet, chosen by the part that makes its boxes."""

from __future__ import annotations

from torch import nn

from visionzoo.graphs.form import ImageForm, NotExportable, require_exportable
from visionzoo.graphs.one_stage import one_stage_form
from visionzoo.graphs.two_stage import two_stage_form

FORMS = {"bbox_head": one_stage_form, "roi_head": two_stage_form}
REASONS = {
    "panoptic_head": "masks of a fixed number of queries: the exporter has no form of their fusion",
}


def detector_form(model: nn.Module) -> ImageForm:
    """Return the form of a detector.

    Raises:
        NotExportable: the detector has no form here.
    """
    require_exportable(model)
    for part, form in FORMS.items():
        if hasattr(model, part):
            return form(model)
    reasons = [f"{part} ({type(getattr(model, part)).__name__}): {text}" for part, text in REASONS.items()
               if hasattr(model, part)]  # fmt: skip
    raise NotExportable(reasons[0] if reasons else f"model ({type(model).__name__}): the exporter has no form of it")
