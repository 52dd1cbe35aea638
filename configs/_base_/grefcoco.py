"""gRefCOCO (UNC): phrases that mean one object, several, or none.

The data are in data/refer, see datasets/grefcoco/README.md. The numbers are defined as in the authors' code. Masks of
fewer than 50 pixels count as "nothing". `test_evaluator.eval_size=input` compares masks of 480 x 480 pixels, as the
authors do.
"""

_base_ = ["refcoco.py"]

dataset = dict(name="grefcoco")
train_dataloader = dict(dataset=dataset)
val_dataloader = dict(dataset=dataset)
test_dataloader = dict(dataset=dataset)

val_evaluator = dict(protocol="grefcoco", least_pixels=50)
test_evaluator = val_evaluator

tiny_data = dict(dataset=dict(data_root="tiny://grefcoco?train=160&val=24&test=24&seed=0"))
tiny_evaluator = dict(least_pixels=4)  # objects of the drawn images are small
tiny = dict(
    train_dataloader=tiny_data,
    val_dataloader=tiny_data,
    test_dataloader=tiny_data,
    val_evaluator=tiny_evaluator,
    test_evaluator=tiny_evaluator,
)
