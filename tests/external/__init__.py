"""Tests with a package that is not installed and not this one."""
