"""Tests of tf_mvae (data)."""
