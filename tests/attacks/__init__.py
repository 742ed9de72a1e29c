"""Attacks, a file a kind: each is refused with an error of the library's own, or does no harm.

What several of them need stands in ``making.py`` (files that are not as they should be) and
``fuzzing.py`` (many seeded cases, with bounds on time and memory).
"""
