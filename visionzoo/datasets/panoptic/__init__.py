"""Panoptic data sets: COCO, COCONut and others of their format; their conversions, merging and checking."""
