"""Scores what a model has said. Knows no job, no eval and no server: models are asked through what it is given."""
