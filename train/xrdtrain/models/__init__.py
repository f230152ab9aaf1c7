"""Networks of the paper, small ones for a CPU, and the presets that train them."""

from xrdtrain.models.presets import PRESETS, Preset, build, default_preset, get_preset, n_parameters

__all__ = ["PRESETS", "Preset", "build", "default_preset", "get_preset", "n_parameters"]
