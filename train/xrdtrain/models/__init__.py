"""Networks of the paper, small ones for a CPU, and the presets that train them."""

from xrdtrain.models.presets import PRESETS, Preset, Recipe, build, default_preset, get_preset
from xrdtrain.models.spec import NetworkSpec, n_parameters

__all__ = ["PRESETS", "NetworkSpec", "Preset", "Recipe", "build", "default_preset", "get_preset", "n_parameters"]
