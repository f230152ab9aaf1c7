"""Reading CIF files as people have them: every structure right, or refused with the reason."""
