"""Labels of DollarStreet and GeoDE: from topics and objects to class indices of ImageNet-1k.

The mappings are those of Richards et al. (arXiv 2307.13136). Some are disputable (a DollarStreet car is a railroad car,
a GeoDE bag may be a punching bag); they stay as published, so that numbers can be compared.

There are two label modes. In ``1k`` labels are class indices of ImageNet-1k, 0 to 999. In ``original`` labels number
the objects of GeoDE (40) or the topics of DollarStreet that have a class in ImageNet (96), in alphabetical order.
"""

from __future__ import annotations

LABEL_MODES = ("1k", "original")

# Topics of DollarStreet by class index. Files have the index of each image; the topics are the original labels.
TOPICS_OF_INDEX: dict[int, tuple[str, ...]] = {
    409: ("alarm clock",),
    412: ("trash/waste", "waste dumps"),
    418: ("pen/pencils",),
    428: ("wheel barrow",),
    453: ("books",),
    477: ("tools",),
    487: ("phone", "answering the phone"),
    527: ("computer",),
    529: ("diapers (or baby-pants)",),
    531: ("arm watch",),
    532: ("place where eating dinner", "table with food"),
    533: ("dish washing brush/cloth", "cleaning equipment"),
    534: ("doing dishes", "dishwasher"),
    545: ("source of cool",),
    567: ("cooking pots",),
    623: ("knifes",),
    626: ("starting stove",),
    632: ("music equipment",),
    648: ("medication",),
    660: ("home",),
    665: ("moped/motorcycle",),
    669: ("mosquito protection",),
    671: ("bike",),
    679: ("jewelry", "necklaces"),
    695: ("lock on front door",),
    700: ("paper",),
    704: ("parking lot",),
    705: ("car",),
    729: ("dish racks",),
    737: ("social drink",),
    754: ("radio", "listening to the radio"),
    760: ("refrigerator", "freezer", "opening and closing the freezer", "opening and closing the refrigerator"),
    762: ("place where serving guests", "eating", "family eating", "dinner guests"),
    765: ("armchair",),
    770: ("everyday shoes", "shoes"),
    773: ("salt", "taking a teaspoon of salt"),
    794: ("shower",),
    804: ("soap for hands and body", "dish washing soap"),
    811: ("source of heat",),
    813: ("cooking utensils",),
    827: ("stove/hob", "oven"),
    831: ("bed", "couch", "sofa", "bed kids", "guest bed"),
    837: ("glasses or lenses",),
    844: ("switch on/off", "turning lights on and off"),
    846: (
        "light sources",
        "light source in livingroom",
        "light source in kitchen",
        "source of light",
        "reading light",
        "lightsources by bed",
    ),
    851: ("tv", "sitting and watching tv"),
    858: ("ceiling", "roof"),
    861: ("toilet", "bathroom/toilet", "using toilet"),
    865: ("toys",),
    892: ("wall clock",),
    894: ("wardrobe",),
    896: ("kitchen sink",),
    897: ("washing clothes/cleaning",),
    898: ("drinking water", "pouring drinking water"),
    899: ("get water", "pouring water"),
    910: ("cutlery",),
    919: ("street view", "street detail"),
    923: ("plate of food", "plates"),
    968: ("cups/mugs/glasses",),
    999: ("toilet paper", "cleaning after toilet"),
}

# Class indices of GeoDE's objects in the order of the released table; empty for objects without a class in ImageNet.
GEODE_INDICES: dict[str, tuple[int, ...]] = {
    "backyard": (706,),
    "bag": (414, 748, 747, 797, 728, 636, 790, 709),
    "bicycle": (870, 671, 444, 880),
    "boat": (814, 472, 554, 625, 914, 833, 628, 871, 484),
    "bus": (654, 779, 874),
    "candle": (470,),
    "car": (569, 757, 867, 864, 817, 705, 656, 436, 654, 609, 627, 468, 511, 717, 675, 734, 751),
    "chair": (423, 559, 765, 831, 857),
    "cleaning_equipment": (882, 897, 840, 462, 463, 804),
    "cooking_pot": (567, 926, 521, 469, 544, 909),
    "dog": (
        239,
        190,
        265,
        158,
        275,
        248,
        153,
        162,
        208,
        192,
        273,
        227,
        235,
        207,
        225,
        174,
        151,
        244,
        179,
        180,
        263,
        266,
        253,
        159,
        240,
        173,
    ),
    "dustbin": (463, 412, 728, 427),
    "fence": (489, 716, 912),
    "flag": (557,),
    "front_door": (799,),
    "hairbrush_comb": (),
    "hand_soap": (804, 631),
    "hat": (515, 433, 560, 452, 808, 439, 793),
    "house": (500, 660, 425, 598, 449),
    "jug": (899, 901, 898, 725),
    "light_fixture": (846, 818, 619, 470),
    "light_switch": (844,),
    "lighter": (626,),
    "medicine": (720, 648),
    "monument": (873, 682, 832, 708, 458, 649),
    "plate_of_food": (923, 868),
    "religious_building": (668, 497, 663, 442, 406),
    "road_sign": (919,),
    "spices": (),
    "stall": (),
    "storefront": (582, 860, 454, 865, 424, 509, 788),
    "stove": (544, 827),
    "streetlight_lantern": (862, 733),
    "toothbrush": (),
    "toothpaste_toothpowder": (),
    "toy": (850, 865),
    "tree": (),
    "truck": (569, 867, 864, 717),
    "waste_container": (728, 412, 427, 463),
    "wheelbarrow": (428,),
}

TOPICS = tuple(sorted(topic for topics in TOPICS_OF_INDEX.values() for topic in topics))
GEODE_OBJECTS = tuple(sorted(GEODE_INDICES))

REGIONS_OF_DOLLARSTREET = ("africa", "americas", "asia", "europe")
REGIONS_OF_GEODE = ("Africa", "Americas", "EastAsia", "Europe", "SouthEastAsia", "WestAsia")
INCOME_GROUPS = ("Q1", "Q2", "Q3", "Q4")  # from the richest to the poorest
_REGION_OF_ID = {"af": "africa", "am": "americas", "as": "asia", "eu": "europe"}
_INCOME_LIMITS = ((195.0, "Q4"), (685.0, "Q3"), (1963.0, "Q2"))  # monthly income in US dollars


def income_group(income: float) -> str:
    """Return the quarter of a monthly income in US dollars: Q1 is the richest, Q4 the poorest.

    Example:
        >>> income_group(195), income_group(196), income_group(1963.5)
        ('Q4', 'Q3', 'Q1')
    """
    return next((name for limit, name in _INCOME_LIMITS if income <= limit), "Q1")


def region_of_id(region_id: str) -> str | None:
    """Return the region of a ``region.id`` of DollarStreet, or None for an unknown one.

    Example:
        >>> region_of_id("am"), region_of_id("xx")
        ('americas', None)
    """
    return _REGION_OF_ID.get(region_id.strip().lower())


def object_name(text: str) -> str:
    """Return the name of a GeoDE object as its class is written: lower case, with underscores.

    Example:
        >>> object_name("Hand soap"), object_name("streetlight/lantern")
        ('hand_soap', 'streetlight_lantern')
    """
    return "_".join(text.lower().replace("/", " ").replace("_", " ").split())


def classes_of(data_set: str, label_mode: str) -> int:
    """Return the number of classes that a model must have for the labels of a data set.

    Args:
        data_set: ``dollarstreet`` or ``geode``; any other one has the classes of ImageNet.
        label_mode: ``1k`` or ``original``.

    Example:
        >>> classes_of("geode", "original"), classes_of("geode", "1k")
        (40, 1000)
    """
    if label_mode == "original":
        return {"dollarstreet": len(TOPICS), "geode": len(GEODE_OBJECTS)}.get(data_set, 1000)
    return 1000
