"""Direct affine registration: 12 parameters, optimised for each pair. It has no weights and no training.

Results here: model_cards/direct_affine.md. model.head.method=rigid finds a rotation and a shift only;
model.head.similarity=mutual_information is for images of different contrasts.

    tools/infer.py configs/direct_affine.py --fixed A --moving B
    tools/test.py configs/direct_affine.py --tiny      # seconds on a CPU, on drawn brains
    tools/test.py configs/direct_affine.py             # IXI in data/ixi
"""

_base_ = ["_base_/direct_model.py", "_base_/ixi_pairs.py", "_base_/runtime.py"]

task = "registration"

model = dict(head=dict(method="affine"))

tiny_val_dataloader = dict(dataset=dict(data_root="tiny://ixi?subjects=9&size=32&seed=0&turn=10"))
tiny = dict(val_dataloader=tiny_val_dataloader, test_dataloader=tiny_val_dataloader)
