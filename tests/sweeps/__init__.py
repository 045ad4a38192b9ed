"""Tests of tf_mvae (sweeps)."""
