"""Tests of tf_mvae (posteriors)."""
