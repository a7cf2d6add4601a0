"""A stage of configs/vgg16_fine_tune.yaml in plain Keras, the whole network every epoch: `… DATA --stage fine_tune`.

After F. Chollet, Deep Learning with Python, 2nd edition 2021, section 8.3, with the changes of the first edition.
"""

import argparse
import math
from pathlib import Path
from typing import Any

import keras
from keras import layers

from benchmarks.plain.dogs_vs_cats_180 import Log

BATCH = 20
FIRST_THAWED = "block5_conv1"
RATES = {"head": 2e-5, "fine_tune": 1e-5}


def network(size: int, weights: str | None) -> tuple[Any, Any]:
    """The whole model, and the frozen base inside it."""
    base = keras.applications.VGG16(weights=weights, include_top=False, input_shape=(size, size, 3))
    base.trainable = False
    inputs = keras.Input((size, size, 3))
    x = inputs
    for layer in (
        layers.RandomRotation(40 / 360, fill_mode="nearest"),
        layers.RandomTranslation(0.2, 0.2, fill_mode="nearest"),
        layers.RandomShear(math.tan(math.radians(0.2)), fill_mode="nearest"),
        layers.RandomZoom(0.2, 0.2, fill_mode="nearest"),
        layers.RandomFlip("horizontal"),
    ):
        x = layer(x)
    x = base(keras.applications.vgg16.preprocess_input(x))
    x = layers.Dense(256, activation="relu")(layers.Flatten()(x))
    x = layers.Dropout(0.5)(x)
    return keras.Model(inputs, layers.Dense(1, activation="sigmoid")(x)), base


def thaw(base: Any) -> None:
    """Makes the last block trainable."""
    base.trainable = True
    names = [layer.name for layer in base.layers]
    for layer in base.layers[: names.index(FIRST_THAWED)]:
        layer.trainable = False


def pictures(folder: Path, size: int) -> Any:
    return keras.utils.image_dataset_from_directory(
        folder, image_size=(size, size), batch_size=BATCH, label_mode="binary", verbose=False
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("data", type=Path, help="a folder with train/ and validation/, a folder a class in each")
    parser.add_argument("--stage", choices=list(RATES), default="head")
    parser.add_argument("--start", type=Path, help="a checkpoint of the stage before")
    parser.add_argument("--epochs", type=int, default=30)
    parser.add_argument("--size", type=int, default=150, help="height and width of the pictures; default 150")
    parser.add_argument("--weights", default="imagenet", help="imagenet, a file, or none for random ones")
    parser.add_argument("--seed", type=int, default=1337)
    parser.add_argument("--log", type=Path, default=Path("plain.jsonl"), help="gets a line of JSON an epoch")
    parser.add_argument("--checkpoint", type=Path, default=Path("plain.keras"), help="gets the best model")
    given = parser.parse_args()
    keras.utils.set_random_seed(given.seed)
    model, base = network(given.size, None if given.weights == "none" else given.weights)
    if given.start:
        model.load_weights(given.start)
    if given.stage == "fine_tune":
        thaw(base)
    optimizer = keras.optimizers.RMSprop(RATES[given.stage])
    model.compile(loss="binary_crossentropy", optimizer=optimizer, metrics=["accuracy"])
    train, validation = (pictures(given.data / split, given.size) for split in ("train", "validation"))
    log = Log(given.log, len(train.file_paths), None)
    best = keras.callbacks.ModelCheckpoint(given.checkpoint, save_best_only=True, monitor="val_loss")
    model.fit(train, epochs=given.epochs, validation_data=validation, callbacks=[log, best], verbose=0)


if __name__ == "__main__":
    main()
