"""Mistakes in settings and on the command line."""

from pathlib import Path

from tests.mistakes.registry import PAIR, PARAMS, case, check, lecdsr_command


@case
def unknown_key_of_a_stage():
    check(PARAMS + "sequences: {min_itme: 3}\n")


@case
def unknown_key_of_a_model():
    check(pair=PAIR + "train: {sasrec: {widht: 8}}\n")


@case
def unknown_block():
    check(PARAMS + "trian: {}\n")


@case
def value_of_a_wrong_type():
    check(PARAMS + "sequences: {max_length: many}\n")


@case
def value_out_of_range():
    check(PARAMS + "train: {shared: {epochs: 0}}\n")


@case
def values_that_do_not_fit_together():
    check(pair=PAIR + "train: {sasrec: {width: 64, heads: 7}}\n")


@case
def missing_key_of_a_pair():
    check(pair=PAIR.replace("release: 2018\n", ""))


@case
def one_domain_only():
    check(pair=PAIR.replace("[Food, Kitchen]", "[Food]"))


@case
def the_same_domain_twice():
    check(pair=PAIR.replace("[Food, Kitchen]", "[Food, Food]"))


@case
def block_that_is_no_mapping():
    check(PARAMS + "sequences: 5\n")


@case
def no_active_pair():
    check("active: []\nmodels: [sasrec]\n")


@case
def unknown_model():
    check("active: [toy]\nmodels: [sasrek]\n")


@case
def unknown_pair():
    lecdsr_command("metrics", "--pair", "toyy")


@case
def outside_a_repository():
    Path("dvc.yaml").unlink()
    lecdsr_command("pairs")
