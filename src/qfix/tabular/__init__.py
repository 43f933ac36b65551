"""Learners on tables, compiled; one file an algorithm."""
