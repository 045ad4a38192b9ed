"""Tests of tf_mvae (distributions)."""
