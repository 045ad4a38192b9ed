"""Tests of tf_mvae (layers)."""
