"""Room on the disk and in the memory, known before training; and what is said when the memory is used up during it."""

import os
import resource
import shutil
import subprocess
import sys
import threading
import time
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NoReturn

import keras
import numpy as np
import pytest
import tensorflow as tf

from cnntrain.config import Config, load_config
from cnntrain.config.resolving import without_weights
from cnntrain.config.stages import plan_stages
from cnntrain.data import memory as memory_module
from cnntrain.data.memory import attainable_memory, machine_memory, memory_left
from cnntrain.errors import TrainingError, WriteError
from cnntrain.models.backward import kept_bytes
from cnntrain.models.network import Network, build_network
from cnntrain.training import memory_watch, room
from cnntrain.training.compiling import build_optimizer
from cnntrain.training.failures import failures_told
from cnntrain.training.room import Memory, demand_disk, demand_memory, demand_room, disk_needed, memory_needed

GB = 1 << 30
CONFIGS = sorted((Path(__file__).parent.parent / "configs").glob("*.yaml"))
IN_GROUP = "11:memory:/a/b\n4:cpu,cpuacct:/x\n0::/a/b\n"


# How much memory there is


@pytest.fixture
def system(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[dict[str, str]], None]:
    """Pretends to be on a machine of 16 GB with these files below `/`."""

    def pretend(files: dict[str, str]) -> None:
        for name, text in {"proc/self/status": "", **files}.items():
            (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
            (tmp_path / name).write_text(text, encoding="utf-8")

    numbers = {"SC_PAGE_SIZE": 4096, "SC_PHYS_PAGES": 16 * GB // 4096}
    monkeypatch.setattr(os, "sysconf", numbers.__getitem__, raising=False)
    monkeypatch.setattr(memory_module, "_SYSTEM", tmp_path)
    monkeypatch.setattr(resource, "getrlimit", lambda _: (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
    return pretend


@pytest.mark.parametrize(
    ("files", "usable", "attainable"),
    [
        pytest.param({}, 16, 16, id="a machine"),
        pytest.param({"proc/meminfo": "MemTotal: 9 kB\nSwapTotal:  2097152 kB\n"}, 16, 18, id="swap"),
        pytest.param({"proc/self/cgroup": "0::/\n", "sys/fs/cgroup/memory.max": f"{GB}\n"}, 1, 1, id="container"),
        pytest.param({"proc/self/cgroup": "0::/\n", "sys/fs/cgroup/memory.max": "max\n"}, 16, 16, id="no limit"),
        pytest.param({"proc/self/cgroup": IN_GROUP, "sys/fs/cgroup/a/memory.max": f"{2 * GB}\n"}, 2, 2, id="outer"),
        pytest.param(
            {
                "proc/self/cgroup": IN_GROUP,
                "sys/fs/cgroup/a/memory.max": f"{2 * GB}\n",
                "sys/fs/cgroup/a/b/memory.max": f"{3 * GB}\n",
            },
            *(2, 2),
            id="outer is smaller",
        ),
        pytest.param(
            {"proc/self/cgroup": "0::/lxc/elsewhere\n", "sys/fs/cgroup/memory.max": f"{4 * GB}\n"},
            *(4, 4),
            id="named as outside",
        ),
        pytest.param(
            {"proc/self/cgroup": "11:memory:/\n", "sys/fs/cgroup/memory/memory.limit_in_bytes": f"{5 * GB}\n"},
            *(5, 5),
            id="version 1",
        ),
        pytest.param(
            {"proc/self/cgroup": IN_GROUP, "sys/fs/cgroup/memory/a/b/memory.limit_in_bytes": "9223372036854771712\n"},
            *(16, 16),
            id="version 1 without limit",
        ),
        pytest.param(
            {
                "proc/self/cgroup": "0::/\n",
                "proc/meminfo": "SwapTotal: 8388608 kB\n",
                "sys/fs/cgroup/memory.max": f"{4 * GB}\n",
                "sys/fs/cgroup/memory.swap.max": f"{GB}\n",
            },
            *(4, 5),
            id="limited swap",
        ),
        pytest.param(
            {
                "proc/self/cgroup": "0::/\n",
                "proc/meminfo": "SwapTotal: 8388608 kB\n",
                "sys/fs/cgroup/memory.max": f"{4 * GB}\n",
            },
            *(4, 12),
            id="all swap",
        ),
        pytest.param(
            {
                "proc/self/cgroup": "11:memory:/\n",
                "proc/meminfo": "SwapTotal: 8388608 kB\n",
                "sys/fs/cgroup/memory/memory.limit_in_bytes": f"{4 * GB}\n",
                "sys/fs/cgroup/memory/memory.memsw.limit_in_bytes": f"{6 * GB}\n",
            },
            *(4, 6),
            id="version 1 with limited swap",
        ),
    ],
)
def test_a_container_and_swap_decide_what_can_be_had(
    system: Callable[[dict[str, str]], None], files: dict[str, str], usable: int, attainable: int
) -> None:
    system(files)
    assert (machine_memory(), attainable_memory()) == (usable * GB, attainable * GB)


def test_a_limit_of_the_shell_counts(system: Callable[[dict[str, str]], None], monkeypatch: pytest.MonkeyPatch) -> None:
    system({})
    monkeypatch.setattr(resource, "getrlimit", lambda _: (3 * GB, resource.RLIM_INFINITY))
    assert attainable_memory() == 3 * GB


def test_where_swap_grows_the_free_disk_counts(
    system: Callable[[dict[str, str]], None], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """macOS has no /proc and makes swap as it needs it."""
    system({})
    shutil.rmtree(tmp_path / "proc")
    monkeypatch.setattr(shutil, "disk_usage", lambda _: shutil._ntuple_diskusage(100 * GB, 93 * GB, 7 * GB))
    assert (machine_memory(), attainable_memory()) == (16 * GB, 23 * GB)


def _no_such_number(_: str) -> NoReturn:
    raise ValueError("unrecognized configuration name")


@pytest.mark.parametrize("sysconf", [_no_such_number, None])
def test_memory_that_the_system_does_not_tell(
    monkeypatch: pytest.MonkeyPatch, sysconf: Callable[[str], NoReturn] | None
) -> None:
    if sysconf:
        monkeypatch.setattr(os, "sysconf", sysconf, raising=False)
    else:
        monkeypatch.delattr(os, "sysconf", raising=False)
    assert machine_memory() == 4 << 30
    assert attainable_memory() is None


@pytest.mark.parametrize(
    ("files", "left"),
    [
        pytest.param({}, None, id="not told"),
        pytest.param({"proc/meminfo": "MemAvailable: 1048576 kB\nSwapFree: 524288 kB\n"}, 1.5, id="a machine"),
        pytest.param(
            {
                "proc/meminfo": "MemAvailable: 10485760 kB\nSwapFree: 0 kB\n",
                "proc/self/cgroup": "0::/\n",
                "sys/fs/cgroup/memory.max": f"{4 * GB}\n",
                "sys/fs/cgroup/memory.current": f"{3 * GB}\n",
                "sys/fs/cgroup/memory.stat": f"anon 5\nactive_file {GB // 4}\ninactive_file {GB // 4}\n",
            },
            *(1.5,),
            id="container",
        ),
        pytest.param(
            {
                "proc/meminfo": "MemAvailable: 10485760 kB\n",
                "proc/self/cgroup": "3:memory:/\n",
                "sys/fs/cgroup/memory/memory.limit_in_bytes": f"{4 * GB}\n",
                "sys/fs/cgroup/memory/memory.usage_in_bytes": f"{3 * GB}\n",
                "sys/fs/cgroup/memory/memory.stat": f"inactive_file 1\ntotal_inactive_file {GB}\n",
            },
            *(2.0,),
            id="version 1",
        ),
    ],
)
def test_what_is_left_counts_the_memory_of_files(
    system: Callable[[dict[str, str]], None], files: dict[str, str], left: float | None
) -> None:
    system(files)
    assert memory_left() == (None if left is None else left * GB)


def test_little_memory_is_told_once(monkeypatch: pytest.MonkeyPatch) -> None:
    config, lines, looks = _config(CONVNET, batch_size=64), list[str](), [5 * GB, 5 * GB, GB // 2, GB // 4]
    monkeypatch.setattr(memory_watch, "machine_memory", lambda: 16 * GB)
    monkeypatch.setattr(memory_watch, "memory_left", lambda: looks.pop(0) if len(looks) > 1 else looks[0])
    monkeypatch.setattr(memory_watch, "_SECONDS", 0.001)
    told = threading.Event()
    with memory_watch.memory_watched(config, lambda line: (lines.append(line), told.set())[0]):
        assert told.wait(30.0)
    assert lines == [
        "warning: the memory is nearly used up with batches of 64 pictures of 16x16 pixels; if the system kills this "
        "run, lower data.batch_size or data.image_size, or take a smaller network"
    ]


@pytest.mark.parametrize("left", [5 * GB, None])
def test_enough_memory_is_not_told(monkeypatch: pytest.MonkeyPatch, left: int | None) -> None:
    monkeypatch.setattr(memory_watch, "machine_memory", lambda: 16 * GB)
    monkeypatch.setattr(memory_watch, "memory_left", lambda: left)
    monkeypatch.setattr(memory_watch, "_SECONDS", 0.001)
    with memory_watch.memory_watched(_config(CONVNET), pytest.fail):
        time.sleep(0.05)


# How much memory a training takes


def _config(model: dict[str, Any], *, batch_size: int = 4, size: int = 16, color: str = "rgb", **train: Any) -> Config:
    data = {"source": "x", "image_size": [size, size], "batch_size": batch_size, "cache": "none", "color": color}
    return load_config({"data": data, "model": model, "train": {"epochs": 1, **train}}).config


HEAD: dict[str, Any] = {"pooling": "flatten", "layers": [{"dense": 10}]}
CONVNET: dict[str, Any] = {"kind": "convnet", "blocks": [{"filters": 8}], "head": HEAD}
NETWORKS: dict[str, dict[str, Any]] = {
    "plain": CONVNET,
    "dropout": {**CONVNET, "head": {"pooling": "flatten", "layers": [{"dropout": 0.5}, {"dense": 10}]}},
    "average pooling": {**CONVNET, "blocks": [{"filters": 8, "pooling": "average", "activation": "gelu"}]},
    "residual": {
        "kind": "convnet",
        "blocks": [
            {"filters": 8, "padding": "same", "batch_norm": True},
            {"filters": 8, "convolutions": 2, "residual": True, "separable": True, "batch_norm": True},
        ],
        "head": {"pooling": "global_average"},
    },
    "norm first": {
        "kind": "convnet",
        "blocks": [{"filters": 8}, {"filters": 6, "norm_first": True, "batch_norm": True, "activation": "tanh"}],
        "head": {"pooling": "global_max", "layers": [{"dense": 4, "activation": "linear"}]},
    },
}


def test_what_waits_for_the_backward_pass_is_counted_by_hand() -> None:
    network = build_network(_config(CONVNET), 3)
    # 16×16×3 pictures, 14×14×8 after the convolution (the input of the pooling), 7×7×8 after it, 10 of the dense layer
    assert sorted(kept_bytes(network, "all")) == sorted(4 * n for n in (16 * 16 * 3, 14 * 14 * 8, 7 * 7 * 8, 10))


def test_mixed_precision_halves_it() -> None:
    config = _config(CONVNET)
    full, half = (build_network(config, 3, mixed_precision=mixed) for mixed in (False, True))
    assert 2 * sum(kept_bytes(half, "all")) == sum(kept_bytes(full, "all"))


def _handed_over(network: Network) -> int:
    """Bytes that the forward pass of TensorFlow hands to its backward pass, and the pictures, for one picture."""
    model = network.logits()
    pictures = tf.zeros((1, *model.input_shape[1:]))
    traced = tf.function(lambda batch: model(batch, training=True)).get_concrete_function(pictures)
    forward, _ = traced._delayed_rewrite_functions.forward_backward()
    tensors = {tensor.ref(): tensor for tensor in forward.graph.outputs if tensor.shape.rank}
    per_picture = [tensor for tensor in tensors.values() if tensor.shape[0] == 1]
    return sum(int(np.prod(tensor.shape)) * tensor.dtype.size for tensor in [pictures, *per_picture])


@pytest.mark.parametrize("name", NETWORKS)
def test_no_more_is_counted_than_tensorflow_keeps(name: str) -> None:
    network = build_network(_config(NETWORKS[name]), 3)
    kept = sum(kept_bytes(network, "all"))
    assert 0.2 * _handed_over(network) < kept <= _handed_over(network)


@pytest.mark.slow
@pytest.mark.parametrize("backbone", ["vgg16", "mobilenetv2", "efficientnetb0", "densenet121", "convnexttiny"])
def test_no_more_is_counted_than_tensorflow_keeps_of_a_backbone(backbone: str) -> None:
    model = {"kind": "pretrained", "backbone": backbone, "weights": "none", "head": {"pooling": "global_average"}}
    network = build_network(_config(model, size=64), 3)
    network.thaw("all")
    assert 0 < sum(kept_bytes(network, "none")) < sum(kept_bytes(network, "all")) <= _handed_over(network)


OPTIMIZERS: list[Any] = ["sgd", "rmsprop", "adam", "adamw", "nadam", "adagrad", "lion"]
OPTIMIZERS += [{"name": "sgd", "momentum": 0.9}, {"name": "rmsprop", "momentum": 0.9}, {"name": "sgd", "momentum": 0.0}]


@pytest.mark.parametrize("optimizer", OPTIMIZERS, ids=str)
def test_an_optimizer_keeps_as_many_numbers_as_keras_makes(optimizer: Any) -> None:
    config = _config(CONVNET, optimizer=optimizer, weight_decay=0.1)
    (stage,) = plan_stages(config)
    variable = keras.Variable(np.zeros((50, 2), np.float32))
    built = build_optimizer(config.train, stage, steps_per_epoch=1)
    built.build([variable])
    assert (
        room._slots(stage.optimizer) * 100
        == sum(made.value.shape.num_elements() // 100 for made in built.variables) * 100
    )


def test_a_stage_takes_weights_optimizer_average_and_activations(tiny_backbone: Any) -> None:
    config = _config(CONVNET, optimizer="adam", ema=0.9, batch_size=5)
    network = build_network(config, 3)
    weights = 4 * network.model.count_params()
    kept = sum(kept_bytes(network, "all"))
    assert memory_needed(config, network, pictures=(40, 8)) == (Memory(weights + 3 * weights + 5 * kept, 0),)


def test_a_batch_is_no_larger_than_the_data_set() -> None:
    config = _config(CONVNET, batch_size=4096)
    network = build_network(config, 3)
    few, many = (memory_needed(config, network, pictures=(count, 0))[0].device for count in (10, 11))
    assert many - few == sum(kept_bytes(network, "all"))


def test_pictures_and_the_best_weights_lie_in_the_machine_s_memory() -> None:
    config = _config(CONVNET, epochs=2)
    config = config.model_copy(update={"data": config.data.model_copy(update={"cache": "memory"})})
    network = build_network(config, 3)
    (stage,) = memory_needed(config, network, pictures=(40, 8))
    assert stage.host == 48 * 16 * 16 * 3 + 4 * network.model.count_params()


def _pretrained(tiny: Any, monkeypatch: pytest.MonkeyPatch, **train: Any) -> tuple[Config, Network]:
    from cnntrain.models import backbones

    monkeypatch.setattr(backbones, "backbones", lambda: {"tiny": (tiny, lambda x: x / 127.5 - 1.0)})
    config = _config({"kind": "pretrained", "backbone": "tiny", "weights": "none", "head": HEAD}, **train)
    config = config.model_copy(update={"data": config.data.model_copy(update={"cache": "memory"})})
    return config, build_network(config, 2)


def test_a_stage_on_stored_features_keeps_no_pictures(tiny_backbone: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    stages = [{"name": "head", "unfreeze": "none"}, {"name": "all", "unfreeze": "all"}]
    config, network = _pretrained(tiny_backbone, monkeypatch, stages=stages)
    head, whole = memory_needed(config, network, pictures=(10, 0))
    copies = 4 * sum(int(np.prod(weight.shape)) for weight in network.model.trainable_weights)  # thawed by the last
    assert (head.host, whole.host) == (0, 10 * 16 * 16 * 3 + copies)
    assert head.device < whole.device


@pytest.mark.parametrize("path", CONFIGS, ids=lambda path: path.stem)
def test_the_shipped_configurations_fit_a_small_machine(
    path: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    config = without_weights(load_config(path).config)
    assert isinstance(config.data.classes, tuple)
    network = build_network(config, len(config.data.classes))
    monkeypatch.setattr(room, "attainable_memory", lambda: 2 * GB)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: shutil._ntuple_diskusage(4 * GB, 2 * GB, 2 * GB))
    demand_room(config, network, tmp_path, pictures=(2000, 1000))


PROGRAM = """
import sys
from pathlib import Path
from small_training import small_trainer, small_config
from cnntrain.data.data_set import find_data_set
from cnntrain.training.room import memory_needed

def peak():
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("VmHWM")) << 10

folder = Path(sys.argv[1])
blocks = [{"filters": 16, "padding": "same", "batch_norm": True}, {"filters": 32, "padding": "same"}]
large = {"kind": "convnet", "blocks": blocks, "head": {"layers": [{"dense": 64}]}}
for size, model in ((12, None), (int(sys.argv[2]), large)):
    config, data_set = small_config(folder, model=model, batch_size=24, optimizer="adam")
    config = config.model_copy(update={"data": config.data.model_copy(update={"image_size": (size, size)})})
    pictures = (len(data_set.split("train")), len(data_set.split("validation")))
    trainer, network = small_trainer(config, data_set)
    before = peak()
    trainer.run()
    needed = max(stage.total for stage in memory_needed(config, network, pictures=pictures))
print(needed, peak() - before)
"""


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="other systems do not tell the largest memory of a program")
@pytest.mark.parametrize("size", [96, 224])
def test_a_training_really_takes_what_is_demanded(split_folder: Path, size: int) -> None:
    """Compared with the growth of the largest memory of a process which has trained something small before."""
    command = [sys.executable, "-c", PROGRAM, str(split_folder), str(size)]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([*sys.path, str(Path(__file__).parent)])}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
    needed, taken = map(int, done.stdout.split())
    assert 0.2 * taken < needed <= taken


# What is said


def test_too_much_memory_is_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    config = _config(CONVNET, batch_size=64)
    network = build_network(config, 3)
    monkeypatch.setattr(room, "attainable_memory", lambda: 500_000)
    with pytest.raises(TrainingError) as caught:
        demand_memory(config, network, pictures=(100, 10))
    assert str(caught.value) == (
        "batches of 64 pictures of 16x16 pixels need at least 0.7 MB of memory, and this machine has 0.5 MB; lower "
        "data.batch_size or data.image_size, or take a smaller network"
    )
    monkeypatch.setattr(room, "attainable_memory", lambda: 900_000)
    demand_memory(config, network, pictures=(100, 10))
    monkeypatch.setattr(room, "attainable_memory", lambda: None)
    demand_memory(config, network, pictures=(10**9, 10))


def test_a_gpu_and_the_machine_are_asked_apart(monkeypatch: pytest.MonkeyPatch) -> None:
    config = _config(CONVNET, batch_size=64, epochs=2)
    network = build_network(config, 3)
    (stage,) = memory_needed(config, network, pictures=(100, 10), is_compiled=True)
    monkeypatch.setattr(tf.config, "get_visible_devices", lambda kind: [object()] if kind == "GPU" else [])
    monkeypatch.setattr(room, "attainable_memory", lambda: stage.host)
    monkeypatch.setattr(room, "_gpu_memory", lambda: stage.device)
    demand_memory(config, network, pictures=(100, 10))
    monkeypatch.setattr(room, "_gpu_memory", lambda: stage.device - 1)
    with pytest.raises(TrainingError, match="and its GPU has"):
        demand_memory(config, network, pictures=(100, 10))
    monkeypatch.setattr(room, "_gpu_memory", lambda: None)
    monkeypatch.setattr(room, "attainable_memory", lambda: stage.host - 1)
    with pytest.raises(TrainingError, match="and this machine has"):
        demand_memory(config, network, pictures=(100, 10))


@pytest.mark.parametrize(
    ("told", "size"), [("81559\n40960\n", 81559 << 20), ("[N/A]\n", None), ("", None), (None, None)]
)
def test_the_driver_tells_the_memory_of_a_gpu(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, told: str | None, size: int | None
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    if told is not None:
        program = tmp_path / "nvidia-smi"
        program.write_text(f"#!/bin/sh\nprintf '{told}'\n", encoding="utf-8")
        program.chmod(0o755)
    assert room._gpu_memory() == size


def test_a_full_disk_is_one_line(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    config = _config(CONVNET, optimizer="adam")
    network = build_network(config, 3)
    needed = disk_needed(config, network, pictures=(10, 5))
    weights = 4 * network.model.count_params()
    # four states with weights, two moments, the best of the run and of the stage; the model twice; small files
    assert needed == 4 * 5 * weights + 2 * weights + (10 << 20)
    run = tmp_path / "a" / "run"
    free = [needed]
    monkeypatch.setattr(shutil, "disk_usage", lambda _: shutil._ntuple_diskusage(GB, GB - free[0], free[0]))
    demand_room(config, network, run, pictures=(10, 5))
    assert not run.parent.exists()
    free[0] = 1_000_000
    with pytest.raises(WriteError) as caught:
        demand_room(config, network, run, pictures=(10, 5))
    assert str(caught.value) == (
        f"{run} needs about 10.9 MB for the states and the model of this training, and its disk has 1.0 MB free; free "
        "some room or choose another place"
    )
    (run / "state").mkdir(parents=True)
    (run / "state" / "00000001-0.safetensors").write_bytes(bytes(needed - free[0]))
    demand_room(config, network, run, pictures=(10, 5))


def test_a_place_that_cannot_be_written_to_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(WriteError, match=r"cannot write to .*file: Not a directory; choose another place"):
        demand_disk(tmp_path / "file" / "run", 0, purpose="anything")
    demand_disk(tmp_path, 0, purpose="anything")
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


# Out of memory during training


def _raise(error: BaseException) -> NoReturn:
    raise error


def _huge_array() -> None:
    np.zeros(1 << 55)


def _in_a_layer() -> None:
    class Greedy(keras.layers.Layer):  # type: ignore[misc]
        def call(self, inputs: Any) -> Any:
            np.zeros(1 << 55)
            return inputs

    Greedy()(np.zeros((1, 1)))


def _in_a_pipeline() -> None:
    def read(_: Any) -> Any:
        return np.zeros(1 << 55, np.int64)

    batches = tf.data.Dataset.range(2).map(lambda row: tf.numpy_function(read, [row], tf.int64))
    list(batches)


def _in_tensorflow() -> None:
    tf.zeros((1 << 30, 1 << 20)) + tf.ones((1 << 30, 1 << 20))


def _in_fit() -> None:
    def batches() -> Iterator[Any]:
        yield np.zeros((1, 2), np.float32), np.zeros((1, 1), np.float32)
        raise MemoryError

    signature = (tf.TensorSpec((None, 2)), tf.TensorSpec((None, 1)))
    model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(1)])
    model.compile("sgd", "mse")
    model.fit(tf.data.Dataset.from_generator(batches, output_signature=signature), verbose=0, shuffle=False)


def _told(text: str) -> Callable[[], None]:
    return lambda: _raise(tf.errors.AbortedError(None, None, text))


ONE_DNN = "Operation received an exception:Status: 1, message: could not create a memory object, in file mkl.cc:1"
CUDNN = "Failed to create cuDNN handle: CUDNN_STATUS_ALLOC_FAILED"
CUDA = "Failed to allocate request for 1.2GiB on device ordinal 0: CUDA_ERROR_OUT_OF_MEMORY: out of memory"


@pytest.mark.parametrize(
    "cause",
    [
        pytest.param(lambda: _raise(MemoryError()), id="Python"),
        pytest.param(_huge_array, id="numpy"),
        pytest.param(_in_a_layer, id="numpy in a layer"),
        pytest.param(_in_a_pipeline, id="numpy in a pipeline"),
        pytest.param(_in_tensorflow, id="TensorFlow"),
        pytest.param(_in_fit, id="fit"),
        pytest.param(_told(ONE_DNN), id="oneDNN"),
        pytest.param(_told(CUDNN), id="cuDNN"),
        pytest.param(_told(CUDA), id="CUDA"),
    ],
)
def test_out_of_memory_is_one_line(cause: Callable[[], None]) -> None:
    config = _config(CONVNET, batch_size=64)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        with pytest.raises(TrainingError) as caught, failures_told(config, ()):
            cause()
    assert str(caught.value) == (
        "out of memory with batches of 64 pictures of 16x16 pixels; lower data.batch_size or data.image_size, or take "
        "a smaller network"
    )


def test_the_cache_in_memory_and_the_largest_pictures_are_named() -> None:
    head = {"pooling": "global_average"}
    stages = [{"name": "large", "image_size": [32, 24]}, {"name": "usual"}]
    config = _config({**CONVNET, "head": head}, stages=stages)
    config = config.model_copy(update={"data": config.data.model_copy(update={"cache": "memory"})})
    with pytest.raises(TrainingError) as caught, failures_told(config, ()):
        raise MemoryError
    assert str(caught.value) == (
        "out of memory with batches of 4 pictures of 32x24 pixels; set data.cache to disk, lower data.batch_size or "
        "data.image_size, or take a smaller network"
    )


@pytest.mark.parametrize(
    "error",
    [
        tf.errors.InternalError(None, None, "a bug"),
        tf.errors.ResourceExhaustedError(None, None, "log: No space left on device"),
        WriteError("cannot write x: out of memory"),
        KeyboardInterrupt(),
    ],
    ids=repr,
)
def test_what_is_no_matter_of_memory_stays_what_it_is(error: BaseException) -> None:
    with pytest.raises(type(error)) as caught, failures_told(_config(CONVNET), ()):
        raise error
    assert caught.value is error
