"""Writes retinanet_efficientvit_m4.pth: a RetinaNet checkpoint as mmcv's runner saves it.

Needs PyTorch (written with 2.15.0); nothing else. The keys, dtypes and shapes are those of
microsoft/Cream at 4a13c40:

- expected.json: `EfficientViT_M4(frozen_stages=-1).state_dict()` of EfficientViT/downstream/efficientvit.py;
- neck_and_head.json: the EfficientViTFPN and RetinaHead that the config
  retinanet_efficientvit_m4_fpn_1x_coco.py builds with mmdet 2.28 (5 levels, one of them a transposed
  convolution, 80 classes, 9 anchors).

The training state beside them (`meta`, `optimizer`) has the layout of mmcv 1.7, with made-up values.
`python make.py FILE` writes to FILE instead.
"""

import sys
from pathlib import Path

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE.parent))
import stand_in  # noqa: E402

state_dict = stand_in.state_dict(stand_in.load(HERE / "expected.json"), prefix="backbone.")
state_dict.update(stand_in.state_dict(stand_in.load(HERE / "neck_and_head.json")))

checkpoint = {
    "meta": {
        "exp_name": "retinanet_efficientvit_m4_fpn_1x_coco.py",
        "mmdet_version": "2.28.1",
        "epoch": 12,
        "iter": 87960,
    },
    "state_dict": stand_in.with_versions(state_dict),
    # The runner saves AdamW too. Its moments are left out here: they would triple the file.
    "optimizer": {
        "state": {},
        "param_groups": [
            {
                "lr": 1e-06,
                "betas": (0.9, 0.999),
                "eps": 1e-08,
                "weight_decay": 0.05,
                "amsgrad": False,
                "initial_lr": 0.0001,
                "params": list(range(388)),
            }
        ],
    },
}
stand_in.save(checkpoint, sys.argv[1] if len(sys.argv) > 1 else HERE / "retinanet_efficientvit_m4.pth")
