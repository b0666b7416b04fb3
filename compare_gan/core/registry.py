"""Registries of components by name. Independent of gin: `compare_gan.config` reads `EXPOSED` once."""

import dataclasses
import importlib
import pkgutil
from collections.abc import Callable, Iterator
from typing import Any, TypeVar

from compare_gan.core.errors import UserError, did_you_mean

T = TypeVar("T")


@dataclasses.dataclass(frozen=True)
class Exposed:
    """One configurable: `target` under the name `module.name`."""

    target: Callable[..., Any]
    name: str
    module: str


EXPOSED: dict[str, Exposed] = {}


def expose(name: str | None = None, *, module: str | None = None) -> Callable[[T], T]:
    """Decorator: makes `target` configurable under its name or `name`. Returns `target` unchanged."""

    def decorate(target: Any) -> Any:
        item = Exposed(target, name or target.__name__, module or target.__module__)
        key = f"{item.module}.{item.name}"
        if key in EXPOSED:
            raise ValueError(f"{key} is exposed twice")
        EXPOSED[key] = item
        return target

    return decorate


class Registry:
    """A mapping from names to components, filled by decorators in the files that define them.

    Looking up an unknown name raises a UserError.

    >>> "Rotation" in cg.TASKS
    True
    >>> "hinge" in cg.LOSSES
    True
    """

    def __init__(self, kind: str, *, configurable: bool = True):
        self.kind = kind
        self.configurable = configurable  # by gin
        self._items: dict[str, Any] = {}

    def register(self, name: str, *, module: str | None = None) -> Callable[[T], T]:
        """Decorator: registers an item here, and for gin, if configurable, under `module.name`."""

        def decorate(item: Any) -> Any:
            if name in self._items:
                raise ValueError(f"{self.kind} {name!r} is registered twice")
            self._items[name] = item
            if self.configurable and callable(item):
                expose(name, module=module)(item)
            return item

        return decorate

    def __getitem__(self, name: str) -> Any:
        if name not in self._items:
            raise UserError(f"unknown {self.kind} {name!r}{did_you_mean(name, self._items)}")
        return self._items[name]

    def __contains__(self, name: str) -> bool:
        return name in self._items

    def __iter__(self) -> Iterator[str]:
        return iter(sorted(self._items))


def load_siblings(package: str) -> None:
    """Imports every module of `package` so that their @register decorators run."""
    path = importlib.import_module(package).__path__
    for info in pkgutil.iter_modules(path):
        if not info.name.startswith("_"):
            importlib.import_module(f"{package}.{info.name}")


LOSSES = Registry("loss")
PENALTIES = Registry("penalty")
ARCHITECTURES = Registry("architecture")
GAN_METHODS = Registry("GAN method")
TASKS = Registry("auxiliary task")
AUGMENTATIONS = Registry("augmentation")
REGULARIZERS = Registry("regularizer")
SCHEDULES = Registry("schedule")
DATASETS = Registry("data set")
EXTRACTORS = Registry("feature extractor")
METRICS = Registry("metric")
PRETRAINING = Registry("pre-training of encoders", configurable=False)
