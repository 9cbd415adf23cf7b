"""Makes aum_reference.json: margins and AUM as the package aum of its authors has them.

  pip install torch pandas && pip install aum==1.0.2
  python tests/examples/aum_reference.py

The suite compares common/examples with that file, and needs neither package.
"""

import json
import tempfile
from pathlib import Path

EPOCHS, EXAMPLES, CLASSES = 6, 12, 5


def main():
    import torch
    from aum import AUMCalculator

    torch.manual_seed(0)
    logits = torch.round(3 * torch.randn(EPOCHS, EXAMPLES, CLASSES), decimals=2)
    logits[0, 0] = 1.0  # all equal
    targets = torch.randint(CLASSES, (EXAMPLES,))
    with tempfile.TemporaryDirectory() as folder:
        calculator = AUMCalculator(folder, compressed=True)
        steps = [calculator.update(x, targets, list(range(EXAMPLES))) for x in logits]
    found = {
        "logits": [[[round(v, 2) for v in row] for row in x] for x in logits.tolist()],
        "given": targets.tolist(),
        "margin": [[step[i].margin for i in range(EXAMPLES)] for step in steps],
        "aum": [[step[i].aum for i in range(EXAMPLES)] for step in steps],
    }
    path = Path(__file__).with_suffix(".json")
    path.write_text(json.dumps(found) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
