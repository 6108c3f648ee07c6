"""Augmentation: layers that change each image randomly in training, so that a network never sees it twice alike.

- `base.py`: what all of them share
- `warps.py`: images moved, rotated, zoomed and flipped, by compiled loops
- `light.py`: brightness and contrast
- `parts.py`: random crops, and erased rectangles
"""

from gwucnn.layers.augmentation.base import RandomLayer
from gwucnn.layers.augmentation.light import RandomBrightness, RandomContrast
from gwucnn.layers.augmentation.parts import RandomCrop, RandomErasing
from gwucnn.layers.augmentation.warps import RandomFlip, RandomRotation, RandomTranslation, RandomWarp, RandomZoom

__all__ = [
    "RandomBrightness",
    "RandomContrast",
    "RandomCrop",
    "RandomErasing",
    "RandomFlip",
    "RandomLayer",
    "RandomRotation",
    "RandomTranslation",
    "RandomWarp",
    "RandomZoom",
]
