"""RefCOCO+ (UNC): 42,278 refs to train, 3,805 to validate, 1,975 for testA and 1,798 for testB.

No phrase names a place. The data are in data/refer, see datasets/refcoco/README.md.
"""

_base_ = ["refcoco.py"]

dataset = dict(name="refcoco+")
train_dataloader = dict(dataset=dataset)
val_dataloader = dict(dataset=dataset)
test_dataloader = dict(dataset=dataset)

tiny_data = dict(dataset=dict(data_root="tiny://refcoco_plus?train=160&val=24&test=24&seed=0"))
tiny = dict(train_dataloader=tiny_data, val_dataloader=tiny_data, test_dataloader=tiny_data)
