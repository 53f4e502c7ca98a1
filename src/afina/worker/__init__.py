"""Claims work and sees it through: a job's life from validation to publication. Never computes on a model itself."""
