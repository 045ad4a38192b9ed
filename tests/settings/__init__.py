"""Tests of settings and of the registries of what declares them."""
