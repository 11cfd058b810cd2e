"""Python interface: build a dataset from data frames, train a model on it, evaluate it, and recommend.

It is a thin layer over the code that the stages of the pipeline run: the same tables, training, ranking and tests. All
public names are in ``lecdsr`` itself.
"""
