"""Cropland Data Layer of the US Department of Agriculture: crops of a year at 30 m."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from earthfield.sources import Band
from earthfield_ingest.classmap import class_map

CLASSES = {
    1: "corn", 2: "cotton", 3: "rice", 4: "sorghum", 5: "soybeans", 6: "sunflower", 10: "peanuts",
    11: "tobacco", 12: "sweet corn", 13: "popcorn or ornamental corn", 14: "mint", 21: "barley",
    22: "durum wheat", 23: "spring wheat", 24: "winter wheat", 25: "other small grains",
    26: "winter wheat, soybeans", 27: "rye", 28: "oats", 29: "millet", 30: "speltz", 31: "canola",
    32: "flaxseed", 33: "safflower", 34: "rapeseed", 35: "mustard", 36: "alfalfa", 37: "other hay",
    38: "camelina", 39: "buckwheat", 41: "sugarbeets", 42: "dry beans", 43: "potatoes", 44: "other crops",
    45: "sugarcane", 46: "sweet potatoes", 47: "vegetables and fruits", 48: "watermelons", 49: "onions",
    50: "cucumbers", 51: "chick peas", 52: "lentils", 53: "peas", 54: "tomatoes", 55: "caneberries",
    56: "hops", 57: "herbs", 58: "clover or wildflowers", 59: "sod or grass seed", 60: "switchgrass",
    61: "fallow", 63: "forest", 64: "shrubland", 65: "barren", 66: "cherries", 67: "peaches", 68: "apples",
    69: "grapes", 70: "Christmas trees", 71: "other tree crops", 72: "citrus", 74: "pecans", 75: "almonds",
    76: "walnuts", 77: "pears", 82: "developed", 83: "water", 87: "wetlands", 88: "not agriculture",
    92: "aquaculture", 111: "open water", 112: "perennial ice or snow", 121: "developed, open space",
    122: "developed, low intensity", 123: "developed, medium intensity", 124: "developed, high intensity",
    131: "barren", 141: "deciduous forest", 142: "evergreen forest", 143: "mixed forest", 152: "shrubland",
    176: "grassland or pasture", 190: "woody wetlands", 195: "herbaceous wetlands", 204: "pistachios",
    205: "triticale", 206: "carrots", 207: "asparagus", 208: "garlic", 209: "cantaloupes", 210: "prunes",
    211: "olives", 212: "oranges", 213: "honeydew melons", 214: "broccoli", 215: "avocados", 216: "peppers",
    217: "pomegranates", 218: "nectarines", 219: "greens", 220: "plums", 221: "strawberries", 222: "squash",
    223: "apricots", 224: "vetch", 225: "winter wheat, corn", 226: "oats, corn", 227: "lettuce",
    228: "triticale, corn", 229: "pumpkins", 230: "lettuce, durum wheat", 231: "lettuce, cantaloupes",
    232: "lettuce, cotton", 233: "lettuce, barley", 234: "durum wheat, sorghum", 235: "barley, sorghum",
    236: "winter wheat, sorghum", 237: "barley, corn", 238: "winter wheat, cotton", 239: "soybeans, cotton",
    240: "soybeans, oats", 241: "corn, soybeans", 242: "blueberries", 243: "cabbage", 244: "cauliflower",
    245: "celery", 246: "radishes", 247: "turnips", 248: "eggplants", 249: "gourds", 250: "cranberries",
    254: "barley, soybeans",
}  # fmt: skip
"""Names of the codes; two crops are those of a double season. Left out: 81, clouds."""


def _refuses(item: Mapping[str, Any]) -> str | None:
    told = item.get("properties", {}).get("usda_cdl:type")
    return None if told in (None, "cropland") else f"its `usda_cdl:type` is {told}, and only cropland is read"


SOURCE = class_map(
    "usda-cdl",
    "USDA Cropland Data Layer",
    Band("class", 30.0, ("cropland",), transform="linear"),
    classes=CLASSES,
    regrid_m=30.0,
    collections=("usda-cdl",),
    refuses=_refuses,
)
