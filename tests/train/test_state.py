"""The training state: all fields survive a checkpoint, and an interrupted training repeats exactly."""

from dataclasses import dataclass, field, fields

import pytest
import torch
from torch import Tensor

from lecdsr.core.schemas import VALID
from lecdsr.models.saved import build
from lecdsr.train.checkpoint import Checkpoints
from lecdsr.train.distributed import DistributedContext
from lecdsr.train.state import Generators, TrainerState, TrainingResult, copy_weights, log_to_csv
from lecdsr.train.step import Steps
from lecdsr.train.trainer import Trainer
from lecdsr.train.validator import SCORE, Validator
from tests.models.settings import lecdsr_settings, sasrec_settings, shared_settings
from tests.tiny import circle, info, sequences

CPU = torch.device("cpu")
N = 12
WALKS = circle(N)
SETTINGS = {
    "lecdsr": lecdsr_settings(
        **{"width": 16, "hidden": 16, "history_length": 6, "batch_size": 8, "negatives": 5, "learning_rate": 0.01},
        **{"projection": "moe", "experts": 2},  # draws noise and dropout in every step
    ),
    "sasrec": sasrec_settings(width=16, layers=1, history_length=6, batch_size=2, learning_rate=0.05),
}
SHARED = shared_settings(seed=3, device="cpu", epochs=8, patience=1, lr_decays=2, warmup_steps=7)


#: Of epochs 0, 1, 2 ...: the learning rate decays after epochs 2 and 4, and training stops after 5.
SCORES = [0.1, 0.5, 0.4, 0.6, 0.5, 0.55]


class Interrupted(Exception):
    pass


class ScriptedValidator(Validator):
    """Validator with a score for each epoch, which stops training at one of them like a kill."""

    def __init__(self, *arguments, at):
        super().__init__(*arguments)
        self.at = at

    def evaluate(self):
        epoch = len(self.state.log)
        if epoch == self.at:
            raise Interrupted
        return {SCORE: SCORES[epoch]}


def trainer_of(model, checkpoints=None, at=None, **changed):
    data, built = info(N, N, len(WALKS), 8), sequences(WALKS, N)
    settings = SETTINGS[model].model_copy(update=changed)
    steps = Steps(build(model, settings, data, 3), built, data, settings, SHARED, CPU)
    validator = ScriptedValidator(steps.model, built.of_split(VALID), data, settings.history_length, CPU, at=at)
    trainer = Trainer(steps, validator, SHARED, checkpoints)
    validator.state = trainer.state
    return trainer


@pytest.fixture
def checkpoints(tmp_path, monkeypatch):
    monkeypatch.setenv("LECDSR_CHECKPOINTS", str(tmp_path))
    monkeypatch.setenv("LECDSR_CHECKPOINT_S", "0")
    return Checkpoints("toy", "model", {})


def assert_equal(one, other):
    if isinstance(one, Tensor):
        assert torch.equal(one, other)
    elif isinstance(one, dict):
        assert one.keys() == other.keys()
        for name, value in one.items():
            assert_equal(value, other[name])
    else:
        assert one == other


@pytest.mark.parametrize("model", SETTINGS)
def test_every_field_survives_a_checkpoint(model, checkpoints):
    first = trainer_of(model, checkpoints, at=3)  # after one decay
    with pytest.raises(Interrupted):
        first.run()
    before = checkpoints.read()
    assert set(before) == {one.name for one in fields(TrainerState)}
    defaults = trainer_of(model).state.state_dict()
    # A field with the value it has at the beginning would prove nothing.
    same = {
        name
        for name in ("best_epoch", "best_score", "log", "seconds", "epoch", "step", "decays", "loss_names")
        if before[name] == defaults[name]
    }
    assert same == set()
    assert before["loss_sums"] is not None
    other = trainer_of(model)
    other.state.load_state_dict(checkpoints.read())
    assert_equal(other.state.state_dict(), before)


@pytest.mark.parametrize("at", [1, 3, 5])
@pytest.mark.parametrize("model", SETTINGS)
def test_an_interrupted_training_has_the_result_of_an_uninterrupted_one(model, at, checkpoints):
    whole = trainer_of(model)
    expected = whole.run()
    assert (whole.state.decays, len(expected.log)) == (2, len(SCORES))
    with pytest.raises(Interrupted):
        trainer_of(model, checkpoints, at).run()
    assert checkpoints.read()["step"] == 10  # the middle of an epoch
    found = trainer_of(model, checkpoints).run()
    assert_equal(found.weights, expected.weights)
    assert (found.log, found.best_epoch, found.best_score) == (expected.log, expected.best_epoch, expected.best_score)


@pytest.mark.parametrize("at", [1, 3, 4])
def test_an_interrupted_linear_schedule_goes_on_at_its_rate(at, checkpoints):
    linear = {"lr_schedule": "linear", "linear_epochs": 5, "linear_steps": 0}
    whole = trainer_of("sasrec", **linear)
    expected = whole.run()
    assert len(expected.schedule) == expected.best_epoch == 3
    assert expected.schedule[-1] == pytest.approx([0.6, 0.4])
    with pytest.raises(Interrupted):
        trainer_of("sasrec", checkpoints, at, **linear).run()
    again = trainer_of("sasrec", checkpoints, **linear)
    found = again.run()
    assert_equal(found.weights, expected.weights)
    assert (found.log, found.schedule) == (expected.log, expected.schedule)
    assert again.state.rates == pytest.approx([0.2, 0.0])


def test_a_new_field_is_saved_and_restored_without_another_line(checkpoints):
    @dataclass(kw_only=True)
    class Extended(TrainerState):
        note: int = 0
        average: dict[str, Tensor] = field(default_factory=dict)
        mean: Tensor | None = None

    def state(**values):
        steps = trainer_of("sasrec")._steps
        parts = {"model": steps.model, "optimisers": steps.optimisers}
        generators = Generators(steps.draws.generator, CPU, steps.context)
        return Extended(weights=copy_weights(steps.model), generators=generators, **parts, **values)

    checkpoints.write(state(note=3, average={"a.b": torch.ones(2)}, mean=torch.zeros(1)).state_dict())
    restored = state()
    restored.load_state_dict(checkpoints.read())
    assert restored.note == 3
    assert torch.equal(restored.average["a.b"], torch.ones(2))
    assert torch.equal(restored.mean, torch.zeros(1))


@pytest.mark.parametrize("rank", [0, 1, 2])
def test_every_process_restores_its_own_generator(rank):
    states = []
    for seed in range(3):
        torch.manual_seed(seed)
        states.append(torch.get_rng_state())
    negatives = torch.Generator().manual_seed(7)
    generators = Generators(negatives, CPU, DistributedContext(rank, 3))
    generators.load_state_dict({"negatives": negatives.get_state(), "dropout": torch.stack(states)})
    assert torch.equal(torch.get_rng_state(), states[rank])


def test_names_that_are_no_fields_are_refused():
    state = trainer_of("sasrec").state
    values = state.state_dict()
    del values["epoch"]
    with pytest.raises(ValueError, match="epoch, era"):
        state.load_state_dict({**values, "era": 1})


def test_the_result_is_what_the_state_holds():
    state = trainer_of("sasrec").state
    state.best_epoch, state.log = 4, [{"epoch": 0}]
    result = state.result()
    assert type(result) is TrainingResult
    assert (result.best_epoch, result.log, result.weights) == (4, [{"epoch": 0}], state.weights)


def test_a_value_that_a_row_of_the_log_lacks_is_empty():
    assert log_to_csv([{"epoch": 0, "v": 0.25}, {"epoch": 1, "loss": 1 / 3, "v": 2.0}]) == (
        "epoch,loss,v\n0,,0.25\n1,0.333333,2\n"
    )
