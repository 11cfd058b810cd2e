"""Mistakes in the Python interface."""

import pandas as pd

import lecdsr
from tests.mistakes.registry import case

ROWS = pd.DataFrame({"user": "anna", "item": ["tea", "pot"], "time": 1_400_000_000, "domain": ["food", "kitchen"]})


@case
def frame_without_a_column():
    lecdsr.Dataset.from_frames(ROWS.rename(columns={"user": "user_id"}), domains=("food", "kitchen"))


@case
def times_in_milliseconds():
    lecdsr.Dataset.from_frames(ROWS.assign(time=1_400_000_000_000), domains=("food", "kitchen"))


@case
def domain_without_rows():
    lecdsr.Dataset.from_frames(ROWS, domains=("food", "kitchn"))


@case
def one_domain_in_domains():
    lecdsr.Dataset.from_frames(ROWS, domains=("food",))


@case
def model_that_is_not_fitted():
    lecdsr.models.Popularity().recommend(["anna"])


@case
def unknown_setting_of_an_estimator():
    lecdsr.models.SASRec(widht=64)


@case
def folder_without_a_model():
    lecdsr.load("models/tandme")


@case
def folder_without_a_data_set():
    lecdsr.Dataset.load("data/toy")
