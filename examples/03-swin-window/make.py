"""Writes swin_base_patch4_window7_224.pth: a classifier trained at 224 pixels with a window of 7.

Needs PyTorch (written with 2.15.0); nothing else. Keys, dtypes and shapes: `SwinTransformer` of
models/swin_transformer.py in microsoft/Swin-Transformer at f82860b, built as
configs/swin/swin_base_patch4_window7_224.yaml says. expected.json is the same model as
swin_base_patch4_window12_384_finetune.yaml says; window7.json has the 59 tensors that differ.

`python make.py FILE` writes to FILE instead.
"""

import sys
from pathlib import Path

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE.parent))
import stand_in  # noqa: E402

keys = stand_in.load(HERE / "expected.json")
keys.update(stand_in.load(HERE / "window7.json"))
checkpoint = {"model": stand_in.with_versions(stand_in.state_dict(keys))}
stand_in.save(checkpoint, sys.argv[1] if len(sys.argv) > 1 else HERE / "swin_base_patch4_window7_224.pth")
