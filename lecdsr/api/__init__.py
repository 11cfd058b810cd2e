"""The Python interface: from data frames to a data set, a model of it, its metrics and its recommendations.

Thin over the code that the stages of the pipeline run: the same tables, training, ranking and tests. ``lecdsr`` itself
has all public names.
"""
