"""The tables of results/results.md and its neighbours, made of what results/runs/ holds."""
