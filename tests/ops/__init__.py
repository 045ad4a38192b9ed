"""Tests of tf_mvae (ops)."""
