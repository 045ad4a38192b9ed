"""Tests of tf_mvae (compatibility): what earlier releases left still gives the same numbers."""
