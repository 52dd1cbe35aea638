"""Form of a detector of mmdet, chosen by the part that makes its boxes."""

from __future__ import annotations

from torch import nn

from visionzoo.graphs.form import ImageForm, NotExportable, require_exportable
from visionzoo.graphs.mask_queries import mask_query_form
from visionzoo.graphs.one_stage import one_stage_form
from visionzoo.graphs.two_stage import two_stage_form

FORMS = {"bbox_head": one_stage_form, "roi_head": two_stage_form, "panoptic_head": mask_query_form}


def detector_form(model: nn.Module) -> ImageForm:
    """Return the form of a detector.

    Raises:
        NotExportable: the detector has no form here.
    """
    require_exportable(model)
    for part, form in FORMS.items():
        if hasattr(model, part):
            return form(model)
    raise NotExportable(f"model ({type(model).__name__}): the exporter has no form of it")
