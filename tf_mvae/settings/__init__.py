"""Settings, each declared once, and the registries of what declares them; no TensorFlow.

A model, an experiment and an analysis declare their settings at their definition, which also
registers them; parts that every run has list theirs in a module's `SETTINGS`:

```python
@preset("jmvae", Setting("alpha", 0.1, "Weight of the divergences.", checks.non_negative))
class JMVAE(...): ...
```

The flag, the flagfile entry, the help and the record of a run follow from that declaration.
Commands read it from the source (`tf_mvae.settings.source`), so that `--help` and the refusal of
a wrong flag import nothing that is slow.
"""

from tf_mvae.settings.registry import (
    ANALYSES,
    EXPERIMENTS,
    MODELS,
    Registered,
    Registry,
    shared_settings,
)
from tf_mvae.settings.setting import Names, Setting, Weights, parse_weights

__all__ = [
    "ANALYSES",
    "EXPERIMENTS",
    "MODELS",
    "Names",
    "Registered",
    "Registry",
    "Setting",
    "Weights",
    "parse_weights",
    "shared_settings",
]
