"""Tests of tf_mvae (objectives)."""
