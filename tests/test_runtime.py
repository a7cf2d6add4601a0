"""What is settled before TensorFlow is imported."""

import json
import os
import subprocess
import sys
from importlib.metadata import version
from typing import Any, NoReturn

import pytest

import cnntrain
from cnntrain.errors import UsageError
from cnntrain.runtime import Device, native_stderr_held_back, prepare, versions

FRESH_START = """
import json, sys
from cnntrain.errors import UsageError
from cnntrain.runtime import prepare
light = "tensorflow" not in sys.modules and "keras" not in sys.modules
try:
    prepare("gpu")
except UsageError as error:
    refusal = str(error)
found = prepare("auto")
import keras
print(json.dumps([light, refusal, found.kind, found.name, found.count, keras.backend.backend()]))
"""


def test_a_fresh_start_is_quiet_and_on_the_tensorflow_backend() -> None:
    environment = {**os.environ, "KERAS_BACKEND": "jax", "CUDA_VISIBLE_DEVICES": "-1"}
    environment.pop("TF_CPP_MIN_LOG_LEVEL", None)
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", FRESH_START],
        capture_output=True,
        text=True,
        encoding="utf-8",
        check=False,
        env=environment,
    )
    assert done.stderr == ""
    light, refusal, *device, backend = json.loads(done.stdout)
    assert light
    assert refusal.startswith("TensorFlow sees no GPU here; use --device cpu")
    assert "\n" not in refusal
    assert device == ["cpu", "cpu", 1]
    assert backend == "tensorflow"


def test_the_cpu_hides_every_gpu() -> None:
    import tensorflow as tf

    assert prepare("cpu") == Device(kind="cpu", name="cpu", count=1)
    assert tf.config.get_visible_devices("GPU") == []


class _FakeGpus:
    """Stands in for what TensorFlow says where there are two GPUs."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        import tensorflow as tf

        self.growing: list[Any] = []
        self.visible: list[list[Any]] = []
        monkeypatch.setattr(tf.config, "get_visible_devices", lambda kind: [f"{kind}:0", f"{kind}:1"])
        monkeypatch.setattr(tf.config, "set_visible_devices", lambda devices, _: self.visible.append(devices))
        monkeypatch.setattr(tf.config.experimental, "set_memory_growth", self._grow)
        monkeypatch.setattr(tf.config.experimental, "get_device_details", lambda _: {"device_name": "Fast 1"})

    def _grow(self, gpu: Any, grows: bool) -> None:
        assert grows
        self.growing.append(gpu)


@pytest.mark.parametrize("device", ["auto", "gpu"])
def test_gpus_are_named_and_share_their_memory(monkeypatch: pytest.MonkeyPatch, device: Any) -> None:
    gpus = _FakeGpus(monkeypatch)
    assert prepare(device) == Device(kind="gpu", name="Fast 1", count=2)
    assert gpus.growing == ["GPU:0", "GPU:1"]
    assert gpus.visible == []


def test_the_cpu_is_taken_where_there_are_gpus(monkeypatch: pytest.MonkeyPatch) -> None:
    gpus = _FakeGpus(monkeypatch)
    assert prepare("cpu").kind == "cpu"
    assert gpus.visible == [[]]
    assert gpus.growing == []


def _too_late(*_: Any) -> NoReturn:
    raise RuntimeError("Visible devices cannot be modified after being initialized")


def test_a_gpu_that_was_used_cannot_be_hidden(monkeypatch: pytest.MonkeyPatch) -> None:
    import tensorflow as tf

    monkeypatch.setattr(tf.config, "set_visible_devices", _too_late)
    with pytest.raises(UsageError, match="start a new one"):
        prepare("cpu")


def test_a_gpu_that_was_used_stays_as_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    import tensorflow as tf

    _FakeGpus(monkeypatch)
    monkeypatch.setattr(tf.config.experimental, "set_memory_growth", _too_late)
    assert prepare("gpu").count == 2


def test_another_backend_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    import keras

    monkeypatch.setattr(keras.backend, "backend", lambda: "jax")
    with pytest.raises(UsageError, match="with the jax backend before cnntrain; set KERAS_BACKEND=tensorflow"):
        prepare("cpu")


# what native code prints


def _start(error: type[Exception] | None) -> None:
    with native_stderr_held_back():
        os.write(2, b"noise of a library\n")
        if error:
            raise error("reason")


@pytest.mark.parametrize(
    ("error", "shown"), [(None, ""), (UsageError, ""), (ImportError, "noise of a library\n")], ids=str
)
def test_noise_is_shown_only_when_a_start_fails_unexpectedly(
    capfd: pytest.CaptureFixture[str], error: type[Exception] | None, shown: str
) -> None:
    if error:
        with pytest.raises(error):
            _start(error)
    else:
        _start(error)
    assert capfd.readouterr().err == shown
    os.write(2, b"afterwards\n")
    assert capfd.readouterr().err == "afterwards\n"


def test_versions_are_those_installed() -> None:
    found = versions()
    assert found.pop("cnntrain") == cnntrain.__version__
    assert found.pop("python") == "{}.{}.{}".format(*sys.version_info)
    assert sorted(found) == ["keras", "numpy", "pillow", "scikit-learn", "tensorflow"]
    assert found == {name: version(name) for name in found}
