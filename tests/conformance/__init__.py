"""Tests of tf_mvae (conformance)."""
