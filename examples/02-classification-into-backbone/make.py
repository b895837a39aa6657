"""Writes efficientvit_m4.pth: the ImageNet classifier that the detector of 01-backbone-prefix starts from.

Needs PyTorch (written with 2.15.0); nothing else. Keys, dtypes and shapes: `EfficientViT_M4()` of
EfficientViT/classification/model in microsoft/Cream at 4a13c40. They are those of the detector's
backbone but for classification.json: six tensors of another shape, and the head.

`python make.py FILE` writes to FILE instead.
"""

import sys
from pathlib import Path

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE.parent))
import stand_in  # noqa: E402

keys = stand_in.load(HERE.parent / "01-backbone-prefix" / "expected.json")
keys.update(stand_in.load(HERE / "classification.json"))
checkpoint = {"model": stand_in.with_versions(stand_in.state_dict(keys))}
stand_in.save(checkpoint, sys.argv[1] if len(sys.argv) > 1 else HERE / "efficientvit_m4.pth")
