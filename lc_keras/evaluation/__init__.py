"""The evaluation protocol: scores, transformations, pictures and the report."""
