"""Powder diffractograms of crystals: reflections, structure factors, line profiles (paper, section 2.2)."""
