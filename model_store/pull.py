"""What `pull` does: mean, labels and weights from the first source that delivers, then the model."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path
from typing import TextIO, TypeVar

from model_store import c3d, importer, store
from model_store.card import SPORTS1M, UNAUTHENTICATED
from model_store.download.download import Downloader
from model_store.download.manifest import Manifest, Source
from model_store.download.web import Web
from model_store.formats import mean
from model_store.preprocessing import PRESETS, Preprocessing
from model_store.tensors import StoreError
from model_store.wording import command, did_you_mean, size

DOWNLOADS = ".downloads"  # in the store; kept, so that nothing is fetched twice
MODEL_BYTES = 4 * c3d.NUM_PARAMETERS  # also about the size of each published file of weights

T = TypeVar("T")


class Puller:
    """Fetches what a manifest names into a store's downloads. What it says goes to ``out``, line by line."""

    def __init__(self, directory: Path, manifest: Manifest, web: Web, out: TextIO) -> None:
        self._directory, self._manifest, self._out = directory, manifest, out
        self._downloads = Downloader(directory / DOWNLOADS, web, out)

    def say(self, line: str) -> None:
        """Tell the user."""
        print(line, file=self._out, flush=True)

    def mean(self, preprocessing: Preprocessing) -> importer.Mean:
        """The mean that belongs to the preprocessing. Raises StoreError where it is a cube and no source delivers it."""
        preset = PRESETS[preprocessing]
        name = preset.mean
        numbers = mean.three_numbers(name, preset.channel_order)
        if numbers is not None:
            return importer.Mean(numbers, importer.mean_name(name, preset.channel_order))
        sources = self._manifest.means[name]
        order = preset.channel_order

        def use(source: Source, path: Path) -> importer.Mean:
            return importer.Mean(mean.read(path, order, source.form), name)

        return self._first(f"mean cube {name}", sources, use)

    def labels(self, classes: int = c3d.NUM_CLASSES) -> importer.Labels:
        """The Sports-1M labels. Raises StoreError where no source delivers them."""

        def use(_: Source, path: Path) -> importer.Labels:
            return importer.Labels(importer.read_labels(path, classes), SPORTS1M)

        return self._first("labels", self._manifest.labels, use)

    def model(self, preprocessing: Preprocessing, only: str = "") -> store.Model:
        """Fetch all and write the Sports-1M model; ``only`` names the one source of weights to try.

        Raises StoreError where a file cannot be downloaded (mean and labels come first); OSError.
        """
        sources = [s for s in self._manifest.weights if s.name == only or not (only or s.only_when_asked)]
        if not sources:
            known = ", ".join(source.name for source in self._manifest.weights)
            meant = did_you_mean(only, [source.name for source in self._manifest.weights])
            raise StoreError(" ".join(filter(None, [f'There is no source "{only}" of weights.', meant, f"There are: {known}."])))
        have = any(self._downloads.have(source) for source in sources)
        store.check_room(self._directory, MODEL_BYTES if have else 2 * MODEL_BYTES)
        cube, names = self.mean(preprocessing), self.labels()

        def use(source: Source, path: Path) -> store.Model:
            authenticity = source.hash[0] if source.hash else UNAUTHENTICATED
            origin = importer.Origin(
                SPORTS1M, source.url, source.licence, preprocessing, form=source.form, authenticity=authenticity,
                pinned=source.weights_sha256,
            )  # fmt: skip
            self.say(f"Importing {path.name} ...")
            return importer.add(
                self._directory, path, origin, lambda _: cube, lambda n: names if n else importer.Labels((), "none"), self.say
            )

        return self._first("weights", sources, use)

    def _first(self, what: str, sources: Iterable[Source], use: Callable[[Source, Path], T]) -> T:
        """The result of the first source whose file can be had and used; those that are there already come first."""
        reasons = []
        for source in sorted(sources, key=lambda source: not self._downloads.have(source)):
            path = self._downloads.directory / source.file
            try:
                if not self._downloads.have(source):
                    self._announce(what, source)
                    path = self._downloads.fetch(source)
                return use(source, path)
            except store.NoRoom:
                raise
            except StoreError as error:
                reasons.append(f"{source.name}: {error}")
                self.say(f"  {source.name}: {error}")
                path.unlink(missing_ok=True)  # whole, but not what it should be
        importing = command("model_store", "import", "FILE", "--mean", "FILE", "--labels", "FILE")
        raise StoreError(
            f"No source delivers the {what} ({'; '.join(reasons)}). Run it again with a connection to the internet, or get the "
            f"files by other means and import them: `{importing}`."
        )

    def _announce(self, what: str, source: Source) -> None:
        amount = size(source.size_bytes) if source.size_bytes else "size not published"
        self.say(f"{what}: {source.what}, {amount}\n  from {source.url}\n  licence: {source.licence}")


def present(directory: Path, preprocessing: Preprocessing | None) -> store.Model | None:
    """The Sports-1M model in the store, if it is whole and has the preprocessing asked for (None: any); else None."""
    if SPORTS1M not in store.names(directory):
        return None
    try:
        model = store.Model(directory / SPORTS1M)
        whole = (model.directory / store.WEIGHTS).stat().st_size > MODEL_BYTES * (model.card.num_classes > 0)
    except (StoreError, FileNotFoundError):
        return None  # damaged: pulled again
    return model if whole and preprocessing in {None, model.card.preprocessing} else None
