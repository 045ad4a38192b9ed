"""Tests of tf_mvae.samplers."""
