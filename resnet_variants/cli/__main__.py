"""``python -m resnet_variants.cli``, what processes of ``accelerate launch`` start with."""

import sys

from . import main

sys.exit(main())
