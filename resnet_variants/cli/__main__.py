"""``python -m resnet_variants.cli``, what processes of ``accelerate launch`` start with."""

import sys

from . import main

if __name__ == "__main__":
    sys.exit(main())
