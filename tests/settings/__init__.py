"""Tests of settings and registries."""
