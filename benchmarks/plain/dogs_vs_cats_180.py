"""The network and recipe of configs/dogs_vs_cats_180.yaml in plain Keras: `… DATA --epochs 100`."""

import time

START = time.perf_counter()  # the imports below count, too

import argparse  # noqa: E402
import json  # noqa: E402
from collections.abc import Sequence  # noqa: E402
from pathlib import Path  # noqa: E402
from typing import Any  # noqa: E402

import keras  # noqa: E402
from keras import layers  # noqa: E402

SIZE, BATCH = (180, 180), 32


def network(*, augmented: bool) -> Any:
    inputs = keras.Input((*SIZE, 3))
    x = inputs
    if augmented:
        for layer in (layers.RandomFlip("horizontal"), layers.RandomRotation(0.1), layers.RandomZoom(0.2)):
            x = layer(x)
    x = layers.Rescaling(1 / 255)(x)
    for filters in (32, 64, 128, 256):
        x = layers.Conv2D(filters, 3, activation="relu")(x)
        x = layers.MaxPooling2D(2)(x)
    x = layers.Conv2D(256, 3, activation="relu")(x)
    x = layers.Dropout(0.5)(layers.Flatten()(x))
    model = keras.Model(inputs, layers.Dense(1, activation="sigmoid", dtype="float32")(x))
    model.compile(loss="binary_crossentropy", optimizer=keras.optimizers.RMSprop(1e-3), metrics=["accuracy"])
    return model


def pictures(folder: Path) -> Any:
    return keras.utils.image_dataset_from_directory(
        folder, image_size=SIZE, batch_size=BATCH, label_mode="binary", verbose=False
    )


class Log(keras.callbacks.Callback):  # type: ignore[misc]
    """Writes a line of JSON an epoch, and ends the training at a validation accuracy."""

    def __init__(self, path: Path, images: int, target: float | None) -> None:
        super().__init__()
        self._path, self._images, self._target = path, images, target
        self._begun = self._trained = 0.0

    def on_epoch_begin(self, epoch: int, logs: dict[str, float] | None = None) -> None:  # noqa: ARG002, D102
        self._begun = time.perf_counter()

    def on_test_begin(self, logs: dict[str, float] | None = None) -> None:  # noqa: ARG002, D102
        self._trained = time.perf_counter()

    def on_epoch_end(self, epoch: int, logs: dict[str, float] | None = None) -> None:  # noqa: D102
        now = time.perf_counter()
        line = {
            "epoch": epoch + 1,
            "wall": now - START,
            "cpu": time.process_time(),
            "seconds": now - self._begun,
            "images_per_second": self._images / (self._trained - self._begun),
            **{name: float(value) for name, value in (logs or {}).items()},
        }
        with self._path.open("a", encoding="utf-8") as stream:
            stream.write(json.dumps(line) + "\n")
        if self._target is not None and line["val_accuracy"] >= self._target:
            self.model.stop_training = True


def main(callbacks: Sequence[Any] = ()) -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("data", type=Path, help="a folder with train/ and validation/, a folder a class in each")
    parser.add_argument("--epochs", type=int, default=100)
    parser.add_argument("--seed", type=int, default=1337)
    parser.add_argument("--target", type=float, help="validation accuracy to stop at")
    parser.add_argument("--mixed-precision", action="store_true")
    parser.add_argument("--log", type=Path, default=Path("plain.jsonl"))
    parser.add_argument("--checkpoint", type=Path, default=Path("plain.keras"))
    given = parser.parse_args()
    keras.utils.set_random_seed(given.seed)
    if given.mixed_precision:
        keras.mixed_precision.set_global_policy("mixed_float16")
    train, validation = pictures(given.data / "train"), pictures(given.data / "validation")
    log = Log(given.log, len(train.file_paths), given.target)
    best = keras.callbacks.ModelCheckpoint(given.checkpoint, save_best_only=True, monitor="val_loss")
    network(augmented=True).fit(
        train, epochs=given.epochs, validation_data=validation, callbacks=[log, best, *callbacks], verbose=0
    )


if __name__ == "__main__":
    main()
