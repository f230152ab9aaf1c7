"""The slow readable engine: pyxtal, spglib and pymatgen, without any kernel; the oracle of the fast one in tests."""
