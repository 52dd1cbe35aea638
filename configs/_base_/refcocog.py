"""RefCOCOg by UMD: 42,226 refs to train, 2,573 to validate and 5,023 to test, with whole sentences.

The data are in data/refer, see datasets/refcoco/README.md. The split by Google, `split_by="google"`, has images in both
train and val, and no test.
"""

_base_ = ["refcoco.py"]

dataset = dict(name="refcocog", split_by="umd")
train_dataloader = dict(dataset=dataset)
val_dataloader = dict(dataset=dataset)
test_dataloader = dict(dataset=dict(**dataset, split="test"))

tiny_data = dict(dataset=dict(data_root="tiny://refcocog?train=160&val=24&test=24&seed=0"))
tiny = dict(train_dataloader=tiny_data, val_dataloader=tiny_data, test_dataloader=tiny_data)
