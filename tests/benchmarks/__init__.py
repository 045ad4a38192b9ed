"""Tests of benchmarks: what they count."""
