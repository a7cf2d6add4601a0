"""`cnntrain data`: writes a well-known data set as folders of pictures."""

import json
from pathlib import Path

import click


@click.command("data", short_help="Write a well-known data set as folders of pictures.")
@click.argument("name", metavar="NAME", type=click.Choice(["digits", "mnist", "fashion_mnist", "cifar10", "cifar100"]))
@click.argument("dest", metavar="DEST", type=click.Path(path_type=Path))
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document instead of a line of text.")
def command(name: str, dest: Path, as_json: bool) -> None:
    """Write the data set NAME as PNG pictures into the new folder DEST, a folder a class.

    digits needs no download: the 1,797 handwritten digits of scikit-learn, not split (see `cnntrain split`). mnist,
    fashion_mnist, cifar10 and cifar100 are downloaded by Keras and come split into train and test.
    """
    from cnntrain import api

    pictures = api.write_dataset(name, dest)
    if as_json:
        click.echo(json.dumps({"name": name, "dest": str(dest), "pictures": pictures}))
    else:
        click.echo(f"wrote {pictures} pictures to {dest}")
