"""Where stages begin to train, how many versions of the pictures are stored, and what that costs."""

from collections.abc import Sequence
from typing import Any

import keras
import pytest

from cnntrain.config import Config, load_config
from cnntrain.config.stages import plan_stages
from cnntrain.models.network import Network, build_network
from cnntrain.training.bank.planning import FeaturePlan, StageCut, plan_cuts, plan_features, seconds_a_picture

MOVING = {"rotation": 10}


@pytest.fixture(scope="module", autouse=True)
def small_backbone() -> Any:
    """8 × 8 pixels; convolutions of 1 × 1: a (2 filters), b (4), c (5): 6, 8 and 20 weights without bias."""

    def build(include_top: bool, weights: str | None, input_tensor: Any) -> keras.Model:
        assert not include_top
        x = input_tensor
        for name, filters in (("a", 2), ("b", 4), ("c", 5)):
            x = keras.layers.Conv2D(filters, 1, use_bias=False, name=name)(x)
        return keras.Model(keras.utils.get_source_inputs(input_tensor), x)

    from cnntrain.models import backbones

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(backbones, "backbones", lambda: {"small": (build, lambda x: x)})
        yield


def _config(stages: Sequence[dict[str, Any]], *, augment: dict[str, Any] | None = None, **train: Any) -> Config:
    named = [{"name": f"stage{number}", **stage} for number, stage in enumerate(stages)]
    raw = {
        "data": {"source": "pets", "classes": ["cat", "dog"], "image_size": [8, 8]},
        "model": {"kind": "pretrained", "backbone": "small", "weights": "none", "head": {"pooling": "global_average"}},
        "augment": augment or {},
        "train": {"stages": named, **train},
    }
    return load_config(raw).config


@pytest.fixture(scope="module")
def network() -> Network:
    return build_network(_config([{"unfreeze": "none"}]), 2)


def _plan(network: Network, config: Config, *, pictures: tuple[int, int] = (100, 50), room: int = 10**9) -> FeaturePlan:
    return plan_features(config, network, pictures=pictures, room=room)


def _cuts(network: Network, *unfreeze: str) -> list[tuple[str | None, str | None]]:
    stages = plan_stages(_config([{"unfreeze": name} for name in unfreeze]))
    return [(cut.cut, cut.lowest) for cut in plan_cuts(network, stages)]


def test_stages_share_the_lowest_of_their_cuts(network: Network) -> None:
    assert _cuts(network, "none") == [("c", "c")]
    assert _cuts(network, "none", "c", "b") == [("c", "a"), ("b", "a"), ("a", "a")]
    assert _cuts(network, "b", "none") == [("a", "a"), ("c", "a")]


def test_a_stage_that_trains_all_ends_what_is_shared(network: Network) -> None:
    assert _cuts(network, "none", "all", "none", "c") == [("c", "c"), (None, None), ("c", "b"), ("b", "b")]


def test_another_image_size_shares_nothing(network: Network) -> None:
    config = _config([{"unfreeze": "none", "image_size": [4, 4]}, {"unfreeze": "c"}])
    assert plan_cuts(network, plan_stages(config)) == (
        StageCut("stage0", (4, 4), "c", (4, 4, 5), "c", 0),
        StageCut("stage1", (8, 8), "b", (8, 8, 4), "b", 1),
    )


def test_the_work_is_that_of_the_passes(network: Network) -> None:
    """Multiplications a picture: a 64 × 6 = 384, b 64 × 8 = 512, c 64 × 20 = 1280; logits 5 + 1 = 6."""
    config = _config(
        [{"unfreeze": "none", "epochs": 10}, {"unfreeze": "c", "epochs": 20}], augment=MOVING, features={"views": 3}
    )
    plan = _plan(network, config)
    training = 10 * (3 * 100 + 50) * 6 + 20 * (3 * 100 + 50) * (1280 + 6)
    assert plan.fresh.multiply_adds == training + 10 * 150 * (384 + 512 + 1280) + 20 * 150 * (384 + 512)
    assert plan.fresh.frozen_pictures == 30 * 150
    assert plan.banked is not None
    assert plan.banked.multiply_adds == training + 350 * (384 + 512 + 1280)
    assert plan.banked.frozen_pictures == 350
    assert plan.banked.disk == 350 * 2 * (8 * 8 * 5 + 8 * 8 * 4)
    assert plan.banked.seconds is None


def test_frozen_layers_that_were_trained_in_between_are_run_again(network: Network) -> None:
    stages = [{"unfreeze": name, "epochs": 10} for name in ("none", "all", "none")]
    plan = _plan(network, _config(stages))
    assert plan.banked is not None
    assert plan.banked.frozen_pictures == 2 * 150
    assert plan.banked.disk == 2 * 150 * 2 * 8 * 8 * 5


def test_a_stage_that_trains_all_costs_the_same_both_ways(network: Network) -> None:
    config = _config([{"unfreeze": "all", "epochs": 2}])
    plan = _plan(network, config)
    assert plan.views == "fresh"
    assert plan.reason == "no stage has frozen layers"
    assert plan.fresh.multiply_adds == 2 * 350 * (384 + 512 + 1280 + 6)
    assert plan.to_lines() == ()


@pytest.mark.parametrize(("epochs", "views"), [(3, "fresh"), (7, "fresh"), (8, 2), (15, 2), (16, 4), (31, 4), (32, 8)])
def test_more_epochs_get_more_versions(network: Network, epochs: int, views: int | str) -> None:
    assert _plan(network, _config([{"unfreeze": "none", "epochs": epochs}], augment=MOVING)).views == views


def test_fewer_versions_where_there_is_less_room(network: Network) -> None:
    config = _config([{"unfreeze": "none", "epochs": 40}], augment=MOVING)
    a_picture = 2 * 8 * 8 * 5
    rooms = [850 * a_picture, 850 * a_picture - 1, 250 * a_picture, 249 * a_picture, 149 * a_picture]
    plans = [_plan(network, config, room=room) for room in rooms]
    assert [plan.views for plan in plans] == [8, 4, 2, "fresh", "fresh"]
    assert plans[-1].reason == "there is no room for stored features"


def test_nothing_is_stored_where_that_saves_little(network: Network) -> None:
    config = _config([{"unfreeze": "b", "epochs": 40}], augment=MOVING)
    plan = _plan(network, config)
    assert plan.views == "fresh"
    assert plan.reason == "the frozen layers are a small part of the work"
    assert _plan(network, _config([{"unfreeze": "b", "epochs": 40}])).views == "fresh"
    short = _plan(network, _config([{"unfreeze": "none", "epochs": 7}], augment=MOVING))
    assert short.reason == "stored features would save too little in 7 epochs"


def test_without_augmentation_there_is_one_version(network: Network) -> None:
    config = _config([{"unfreeze": "none", "epochs": 1}])
    assert _plan(network, config).views == 1
    assert _plan(network, config, room=100).views == "fresh"
    assert _plan(network, _config([{"unfreeze": "none", "epochs": 1}], features={"views": 5})).views == 1


def test_what_the_configuration_says_is_done(network: Network) -> None:
    stages = [{"unfreeze": "none", "epochs": 40}]
    assert _plan(network, _config(stages, augment=MOVING, features={"views": "fresh"})).views == "fresh"
    assert _plan(network, _config(stages, features={"views": "fresh"})).views == "fresh"
    assert _plan(network, _config(stages, augment=MOVING, features={"views": 3})).views == 3
    mixed = _plan(network, _config(stages, augment={**MOVING, "mixup": 0.2}))
    assert (mixed.views, mixed.reason) == ("fresh", "mixed pictures cannot be stored")
    bright = _config([{"unfreeze": "none", "epochs": 2}], augment=MOVING, features={"brightness": 0.1})
    assert _plan(network, bright).views == 1


def test_the_plan_is_told_with_what_it_costs_and_saves(network: Network) -> None:
    config = _config([{"unfreeze": "none", "epochs": 40}], augment=MOVING)
    plan = plan_features(config, network, pictures=(1000, 500), room=10**9, seconds_of=lambda *_: 0.1)
    assert plan.banked is not None
    assert plan.fresh.seconds == pytest.approx(6000.0, rel=0.1)
    assert plan.to_lines() == (
        "frozen layers run once, their outputs are stored at c (8 × 8 × 5)",
        "8 versions of each training picture: each version is used 5 times in 40 epochs; 5.4 MB for 1,000 training "
        "and 500 validation pictures",
        "the frozen layers run over 8,500 pictures instead of 60,000; all epochs take about 15 min instead of "
        "1.7 h (0.15)",
    )
    assert plan.to_json()["banked"]["frozen_pictures"] == 8500
    stated = _config([{"unfreeze": "none", "epochs": 40}], augment=MOVING, features={"views": "fresh"})
    assert plan_features(stated, network, pictures=(9, 9), room=0, seconds_of=lambda *_: 0.1).fresh.seconds is None
    unknown = plan_features(config, network, pictures=(0, 0), room=10**9).to_lines()
    assert unknown == (
        "frozen layers end at c (8 × 8 × 5); what storing their outputs costs is known once the data is there",
    )


def test_a_picture_is_timed_at_the_stages_size(network: Network) -> None:
    assert 0.0 < seconds_a_picture(network, "b") < 1.0
    assert 0.0 < seconds_a_picture(network.resized((4, 4)), "b") < 1.0
