"""Writes swin_small.pth: Swin-S with the names that mmdet's loader gives it.

Needs PyTorch (written with 2.15.0); nothing else. checkpoint.json: the keys of Swin-S of
microsoft/Swin-Transformer at f82860b after `swin_converter` of mmdet 2.28.2, `backbone.` taken off as the
loader does. expected.json: `SwinTransformer(depths=(2, 2, 6, 2))`, Swin-T, of the same mmdet.

`python make.py FILE` writes to FILE instead.
"""

import sys
from pathlib import Path

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE.parent))
import stand_in  # noqa: E402

checkpoint = {"state_dict": stand_in.state_dict(stand_in.load(HERE / "checkpoint.json"))}
stand_in.save(checkpoint, sys.argv[1] if len(sys.argv) > 1 else HERE / "swin_small.pth")
