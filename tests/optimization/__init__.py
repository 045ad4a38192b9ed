"""Tests of tf_mvae (optimization)."""
