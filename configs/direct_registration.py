"""Direct registration: an affine map and a deformation, optimised for each pair. It has no weights and no training.

Results here: model_cards/direct_registration.md. model.head.similarity=mutual_information is for images of different
contrasts; slices need model.backbone.dims=2 model.head.dims=2.

    tools/infer.py configs/direct_registration.py --fixed A --moving B
    tools/test.py configs/direct_registration.py --tiny      # seconds on a CPU, on drawn brains
    tools/test.py configs/direct_registration.py             # IXI in data/ixi
"""

_base_ = ["_base_/direct_model.py", "_base_/ixi_pairs.py", "_base_/runtime.py"]

task = "registration"

tiny_val_dataloader = dict(dataset=dict(data_root="tiny://ixi?subjects=9&size=32&seed=0&turn=10"))
tiny = dict(val_dataloader=tiny_val_dataloader, test_dataloader=tiny_val_dataloader)
