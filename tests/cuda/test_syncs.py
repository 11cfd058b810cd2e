"""How often the host waits for the GPU in a training step: never, where tables are dense."""

import pytest

from tests.cuda.pretended import CUDA, syncs
from tests.cuda.runs import BY_ROWS, steps_on, trained, trains
from tests.models import zoo

#: In a catalogue of a few items the default loss of tandem is the full one.
SAMPLED = [(model, "sampled softmax") for model in ("abxi", "lecdsr", "tandem")]
#: Checked always; the rest is slow.
DENSE = [case for case in zoo.ONE_EACH if trains(case[0])] + SAMPLED


def syncs_of(model, variant, **shared):
    """Waits of each step of the second epoch."""
    steps = steps_on(model, variant, CUDA, **shared)
    for batch in steps.batches(1):
        steps.step(batch, 0)
    batches = steps.batches(2)
    first = next(batches)  # the order of an epoch is sent once
    syncs.clear()
    steps.step(first, 0)
    count = 1
    for batch in batches:
        steps.step(batch, 0)
        count += 1
    return sum(syncs.values()) / count


@pytest.mark.parametrize(
    ("model", "variant"),
    [pytest.param(*case, marks=() if case in DENSE else pytest.mark.slow) for case in zoo.TRAINED],
)
def test_a_step_never_waits(cuda, model, variant):
    assert syncs_of(model, variant) == 0, dict(syncs)


@pytest.mark.parametrize(("model", "variant"), BY_ROWS[:2])
def test_a_step_by_rows_waits_for_the_rows_that_it_read(cuda, model, variant):
    # PyTorch's own code: twice for every look-up, to drop the gradient of padding, and once to merge those of a row.
    assert 0 < syncs_of(model, variant, tables="rows") <= 8, dict(syncs)


def test_a_training_waits_at_most_once_a_step(cuda):
    """With the checks of the loss and of the checkpoint's age; ranking for validation waits for every batch."""
    per_epoch = steps_on("lecdsr", "masked", CUDA).per_epoch
    counts = []
    for epochs in (1, 4):
        syncs.clear()
        trained("lecdsr", "masked", CUDA, epochs=epochs)
        waits = [(place, number) for (place, _), number in syncs.items()]
        counts.append(sum(number for place, number in waits if not place.startswith(("evaluate/", "train/validator"))))
    assert (counts[1] - counts[0]) / (3 * per_epoch) <= 1, dict(syncs)
