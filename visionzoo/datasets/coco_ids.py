"""Category ids of COCO, which have gaps."""

_UNUSED = (12, 26, 29, 30, 45, 66, 68, 69, 71, 83)

# Id of each of the 80 classes, by label.
COCO_IDS = tuple(number for number in range(1, 91) if number not in _UNUSED)
