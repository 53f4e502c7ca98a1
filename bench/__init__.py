"""Side-by-side benchmarks against pinned peers: `python -m bench NAME`; docs/performance.md says how they measure."""
