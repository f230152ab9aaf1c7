"""Arithmetic of a network, by name."""

from __future__ import annotations

from enum import StrEnum


class Precision(StrEnum):
    """Arithmetic of the network; weights and optimiser are always float32."""

    AUTO = "auto"
    BF16 = "bf16"
    FP32 = "fp32"
