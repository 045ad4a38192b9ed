"""Tests of tf_mvae."""
