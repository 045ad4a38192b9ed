"""Tests of tf_mvae (models)."""
