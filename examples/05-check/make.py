"""Writes densenet121-a639ec97.pth: DenseNet-121 as it was saved in 2017.

Needs PyTorch (written with 2.15.0); nothing else. Keys, dtypes and shapes of expected.json: `torchvision.models.densenet121` of
torchvision 0.29.2. What the file of 2017 has instead follows from `_load_state_dict` in torchvision/models/densenet.py:
`norm.1` for `norm1`; and `num_batches_tracked` came with PyTorch 0.4.1, after it was saved.

`python make.py FILE` writes to FILE instead.
"""

import re
import sys
from collections import OrderedDict
from pathlib import Path

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE.parent))
import stand_in  # noqa: E402

keys = {
    re.sub(r"(denselayer\d+\.(?:norm|conv))([12])", r"\1.\2", key): what
    for key, what in stand_in.load(HERE / "expected.json").items()
    if not key.endswith("num_batches_tracked")
}
stand_in.save(OrderedDict(stand_in.state_dict(keys)), sys.argv[1] if len(sys.argv) > 1 else HERE / "densenet121-a639ec97.pth")
