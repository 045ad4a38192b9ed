"""The tables of docs/results.md and its neighbours, made of what docs/results/ holds."""
