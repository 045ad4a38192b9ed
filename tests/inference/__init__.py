"""Tests of tf_mvae (inference)."""
