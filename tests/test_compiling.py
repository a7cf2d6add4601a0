"""Optimizers, schedules, losses: what the configuration says is what Keras gets."""

import math
from dataclasses import replace
from typing import Any

import keras
import numpy as np
import pytest

from cnntrain.config.sections import Optimizer, Schedule, Train
from cnntrain.config.stages import StagePlan
from cnntrain.models.network import resize
from cnntrain.training.compiling import _OPTIMIZERS, build_optimizer, compile_stage


def _stage(**changes: Any) -> StagePlan:
    plan = {
        "name": "train",
        "unfreeze": "all",
        "image_size": (24, 24),
        "epochs": 10,
        "schedule_epochs": 10,
        "optimizer": Optimizer(name="adam"),
        "learning_rate": 0.1,
        "base_learning_rate": None,
        "early_stopping": None,
        "reduce_lr": None,
        "schedule": None,
    }
    return StagePlan(**{**plan, **changes})


@pytest.mark.parametrize(
    ("section", "expected"),
    [
        (
            Optimizer(name="sgd", momentum=0.9, nesterov=True),
            (keras.optimizers.SGD, {"momentum": 0.9, "nesterov": True}),
        ),
        (Optimizer(name="rmsprop", rho=0.8), (keras.optimizers.RMSprop, {"rho": 0.8, "momentum": 0.0})),
        (Optimizer(name="adam", beta_1=0.7), (keras.optimizers.Adam, {"beta_1": 0.7, "beta_2": 0.999})),
        (Optimizer(name="nadam"), (keras.optimizers.Nadam, {"beta_1": 0.9})),
        (Optimizer(name="adagrad", epsilon=1e-5), (keras.optimizers.Adagrad, {"epsilon": 1e-5})),
        (Optimizer(name="lion"), (keras.optimizers.Lion, {"beta_1": 0.9})),
    ],
)
def test_an_optimizer_has_its_options(section: Optimizer, expected: tuple[type, dict[str, float]]) -> None:
    optimizer = build_optimizer(Train(), _stage(optimizer=section), steps_per_epoch=5)
    kind, options = expected
    assert type(optimizer) is kind
    assert {name: optimizer.get_config()[name] for name in options} == options
    assert float(optimizer.learning_rate) == pytest.approx(0.1)
    assert optimizer.weight_decay is None


def test_mixed_precision_scales_the_loss() -> None:
    optimizer = build_optimizer(Train(mixed_precision=True), _stage(), steps_per_epoch=1)
    assert isinstance(optimizer, keras.optimizers.LossScaleOptimizer)
    optimizer.learning_rate = 0.05
    assert float(optimizer.learning_rate) == pytest.approx(0.05)


def test_weight_decay_spares_biases_and_clipping_is_by_the_global_norm() -> None:
    train = Train(weight_decay=0.5, gradient_clipping=2.0)
    stage = _stage(optimizer=Optimizer(name="sgd"), learning_rate=0.1)
    optimizer = build_optimizer(train, stage, steps_per_epoch=1)
    dense = keras.layers.Dense(1, kernel_initializer="ones", bias_initializer="ones")
    dense.build((None, 2))
    optimizer.build(dense.trainable_variables)
    optimizer.apply([keras.ops.zeros((2, 1)), keras.ops.zeros((1,))])
    np.testing.assert_allclose(dense.kernel, [[0.95], [0.95]])  # 1 - rate * decay
    np.testing.assert_allclose(dense.bias, [1.0])
    # A gradient of norm 10 is scaled to 2: the kernel moves by 0.1 * 2 * (6, 8) / 10, after the decay to 0.9025.
    optimizer.apply([keras.ops.array([[6.0], [8.0]]), keras.ops.zeros((1,))])
    np.testing.assert_allclose(dense.kernel, [[0.9025 - 0.12], [0.9025 - 0.16]], rtol=1e-6)


def test_cosine_with_warmup() -> None:
    schedule = Schedule(name="cosine", warmup_epochs=2, final_fraction=0.1)
    optimizer = build_optimizer(Train(), _stage(schedule=schedule, learning_rate=1.0), steps_per_epoch=5)
    rate = optimizer._learning_rate
    assert [float(rate(step)) for step in (0, 5, 10)] == pytest.approx([0.0, 0.5, 1.0])  # 2 epochs of 5 steps upwards
    half = 0.1 + 0.9 * 0.5 * (1 + math.cos(math.pi * 0.5))
    assert float(rate(30)) == pytest.approx(half)  # the middle of the other 40 steps
    assert float(rate(50)) == pytest.approx(0.1)


def test_cosine_without_warmup_starts_at_the_rate() -> None:
    optimizer = build_optimizer(Train(), _stage(schedule=Schedule(name="cosine")), steps_per_epoch=5)
    assert float(optimizer._learning_rate(0)) == pytest.approx(0.1)
    assert float(optimizer._learning_rate(50)) == pytest.approx(0.0, abs=1e-9)


def test_one_cycle_rises_and_falls_on_half_cosines() -> None:
    schedule = Schedule(name="one_cycle", warmup_fraction=0.25, start_fraction=0.1, final_fraction=0.01)
    optimizer = build_optimizer(
        Train(), _stage(schedule=schedule, learning_rate=2.0, schedule_epochs=9), steps_per_epoch=9
    )
    rate = optimizer._learning_rate
    assert [float(rate(step)) for step in (0, 10, 20)] == pytest.approx([0.2, 2.0 * 0.55, 2.0])  # of 81 steps, 0 to 80
    assert [float(rate(step)) for step in (50, 80, 99)] == pytest.approx([2.0 * 0.505, 0.02, 0.02])


def test_one_cycle_of_one_step_is_finite() -> None:
    stage = _stage(schedule=Schedule(name="one_cycle"), schedule_epochs=1)
    assert float(build_optimizer(Train(), stage, steps_per_epoch=1)._learning_rate(0)) == pytest.approx(0.004)


def test_label_smoothing_spreads_a_part_of_the_target() -> None:
    logits = np.random.default_rng(0).normal(size=(6, 4))
    truth = np.eye(4)[[0, 1, 2, 3, 0, 1]]
    log_probabilities = logits - np.log(np.exp(logits).sum(axis=1, keepdims=True))
    expected = -(log_probabilities * (0.8 * truth + 0.2 / 4)).sum(axis=1).mean()
    model = keras.Sequential([keras.Input((4,)), keras.layers.Identity()])
    train = Train(label_smoothing=0.2)
    compile_stage(model, train, build_optimizer(train, _stage(), steps_per_epoch=1), class_count=4)
    assert model.evaluate(logits, truth, verbose=0, return_dict=True)["loss"] == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize(
    ("classes", "targets"),
    [(2, [[0.0], [1.0], [1.0]]), (2, [[0.1], [0.7], [0.6]]), (3, np.eye(3)), (3, 0.8 * np.eye(3) + 0.1)],
)
def test_accuracy_is_of_logits_and_of_the_larger_part_of_mixed_targets(classes: int, targets: Any) -> None:
    model = keras.Sequential([keras.Input((1 if classes == 2 else classes,)), keras.layers.Identity()])
    compile_stage(model, Train(), build_optimizer(Train(), _stage(), steps_per_epoch=1), class_count=classes)
    logits = np.array([[-0.2], [0.3], [-4.0]]) if classes == 2 else np.eye(3)[[0, 1, 1]]
    found = model.evaluate(logits, np.asarray(targets), verbose=0, return_dict=True)
    assert found["accuracy"] == pytest.approx(2 / 3)


# rates of their own for the backbone


def _dense(name: str) -> Any:
    """A layer of two inputs and one output whose weights are all one."""
    layer = keras.layers.Dense(1, kernel_initializer="ones", bias_initializer="ones", name=name)
    layer.build((None, 2))
    return layer


def _apply(optimizer: Any, *layers: Any, gradients: list[Any]) -> None:
    """One step with the gradient of each variable of the layers, kernels before biases."""
    variables = [variable for layer in layers for variable in layer.trainable_variables]
    optimizer.apply([keras.ops.convert_to_tensor(np.float32(gradient)) for gradient in gradients], variables)


def test_one_step_at_two_rates_by_hand() -> None:
    base, head = _dense("base"), _dense("head")
    stage = _stage(optimizer=Optimizer(name="sgd"), learning_rate=0.1, base_learning_rate=0.01)
    optimizer = build_optimizer(Train(), stage, steps_per_epoch=1, base=base.weights)
    gradients = [[[1.0], [2.0]], [3.0]]
    _apply(optimizer, base, head, gradients=gradients * 2)
    np.testing.assert_allclose(base.kernel, [[0.99], [0.98]], rtol=1e-6)
    np.testing.assert_allclose(base.bias, [0.97], rtol=1e-6)
    np.testing.assert_allclose(head.kernel, [[0.9], [0.8]], rtol=1e-6)
    np.testing.assert_allclose(head.bias, [0.7], rtol=1e-6)
    optimizer.learning_rate = 0.05  # as a rate reduction does it
    _apply(optimizer, base, head, gradients=gradients * 2)
    np.testing.assert_allclose(base.kernel, [[0.985], [0.97]], rtol=1e-6)
    np.testing.assert_allclose(head.kernel, [[0.85], [0.7]], rtol=1e-6)


def test_weight_decay_goes_by_the_rate_of_each_and_spares_biases() -> None:
    base, head = _dense("base"), _dense("head")
    stage = _stage(optimizer=Optimizer(name="adamw"), learning_rate=0.1, base_learning_rate=0.01)
    optimizer = build_optimizer(Train(weight_decay=0.5), stage, steps_per_epoch=1, base=base.weights)
    _apply(optimizer, base, head, gradients=[np.zeros((2, 1)), np.zeros(1)] * 2)
    np.testing.assert_allclose(base.kernel, [[0.995], [0.995]], rtol=1e-6)  # 1 - rate * decay
    np.testing.assert_allclose(head.kernel, [[0.95], [0.95]], rtol=1e-6)
    np.testing.assert_array_equal([base.bias[0], head.bias[0]], [1.0, 1.0])


def test_clipping_is_by_one_norm_of_both() -> None:
    base, head = _dense("base"), _dense("head")
    stage = _stage(optimizer=Optimizer(name="sgd"), learning_rate=0.1, base_learning_rate=0.01)
    optimizer = build_optimizer(Train(gradient_clipping=2.0), stage, steps_per_epoch=1, base=base.weights)
    _apply(optimizer, base, head, gradients=[[[6.0], [0.0]], [0.0], [[0.0], [8.0]], [0.0]])  # of norm 10 together
    np.testing.assert_allclose(base.kernel, [[1 - 0.01 * 1.2], [1.0]], rtol=1e-6)
    np.testing.assert_allclose(head.kernel, [[1.0], [1 - 0.1 * 1.6]], rtol=1e-6)


@pytest.mark.parametrize(
    ("name", "schedule", "mixed_precision"),
    [
        *((name, None, False) for name in _OPTIMIZERS),
        ("rmsprop", Schedule(name="cosine", warmup_epochs=1), False),
        ("adam", Schedule(name="one_cycle"), False),
        ("adam", Schedule(name="cosine"), True),
    ],
)
def test_two_rates_are_two_optimizers(name: Any, schedule: Schedule | None, mixed_precision: bool) -> None:
    train = Train(weight_decay=0.1, mixed_precision=mixed_precision)
    stage = _stage(optimizer=Optimizer(name=name), schedule=schedule, learning_rate=0.2, base_learning_rate=0.05)
    base, head, alone = _dense("base"), _dense("head"), {0.05: _dense("base"), 0.2: _dense("head")}
    both = build_optimizer(train, stage, steps_per_epoch=2, base=base.weights)
    each = {
        rate: build_optimizer(train, replace(stage, learning_rate=rate, base_learning_rate=None), steps_per_epoch=2)
        for rate in alone
    }
    random = np.random.default_rng(3)
    scale = 2.0**15 if mixed_precision else 1.0  # that a LossScaleOptimizer begins with
    for _ in range(3):
        gradients = [scale * random.normal(size=shape) for shape in ((2, 1), (1,))]
        _apply(both, base, head, gradients=gradients * 2)
        for rate, layer in alone.items():
            _apply(each[rate], layer, gradients=gradients)
    for layer, expected in ((base, alone[0.05]), (head, alone[0.2])):
        assert not np.allclose(layer.kernel, 1.0, atol=1e-4)
        np.testing.assert_allclose(layer.kernel, expected.kernel, rtol=1e-5)
        np.testing.assert_allclose(layer.bias, expected.bias, rtol=1e-5)


def _small_network() -> Any:
    """Pictures of 6×6 through two convolutions to one logit, with the same weights every time."""
    keras.utils.set_random_seed(5)
    pictures = keras.Input((6, 6, 1))
    x = keras.layers.Conv2D(2, 3, name="first")(pictures)
    x = keras.layers.Conv2D(3, 3, name="second")(x)
    x = keras.layers.GlobalAveragePooling2D()(x)
    return keras.Model(pictures, keras.layers.Dense(1, name="logits")(x))


def _fit(model: Any, train: Train, optimizer: Any, *, size: int = 6) -> list[Any]:
    """The weights after one step on each of six pictures."""
    random = np.random.default_rng(0)
    compile_stage(model, train, optimizer, class_count=2)
    pictures, targets = random.normal(size=(6, size, size, 1)), random.integers(0, 2, (6, 1)).astype("float32")
    model.fit(pictures, targets, batch_size=1, shuffle=False, verbose=0)
    return list(model.get_weights())


def test_the_same_rate_twice_is_one_rate_bit_for_bit() -> None:
    train = Train(weight_decay=0.3, gradient_clipping=0.5)
    weights = []
    for base_rate in (None, 0.1):
        stage = _stage(schedule=Schedule(name="cosine"), base_learning_rate=base_rate)
        model = _small_network()
        base = model.get_layer("first").weights + model.get_layer("second").weights
        weights.append(_fit(model, train, build_optimizer(train, stage, steps_per_epoch=1, base=base)))
    for one, two in zip(*weights, strict=True):
        np.testing.assert_array_equal(one, two)


def test_frozen_layers_and_other_graphs_share_one_optimizer() -> None:
    model = _small_network()
    model.get_layer("first").trainable = False
    base = model.get_layer("first").weights + model.get_layer("second").weights
    stage = _stage(optimizer=Optimizer(name="sgd"), base_learning_rate=1e-3)
    optimizer = build_optimizer(Train(), stage, steps_per_epoch=1, base=base)
    changes = []
    for twin, size in ((model, 6), (resize(model, (9, 9))[0], 9)):
        before = model.get_weights()
        after = _fit(twin, Train(), optimizer, size=size)
        changes.append([float(np.abs(new - old).max()) for old, new in zip(before, after, strict=True)])
    for first, _, second, _, head, _ in changes:  # kernels and biases
        assert first == 0.0
        assert 0.0 < second < 0.1 * head
