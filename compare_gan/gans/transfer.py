"""Weights of one GAN as the start of another, by name and shape of the arrays.

Both GANs have the same architecture; their classes and heads may differ. An array that the source does not
have is initialised as usual. Where classes differ, a row of a class embedding or of a classifier is that of
the class of the same name, or else the mean over the classes of the source. Scale and offset of a batch norm
without labels become those of every class: Wang et al., https://arxiv.org/abs/1805.01677. The other way round
they are the mean over the classes.
"""

import dataclasses
from typing import Any, Literal, NamedTuple

import jax
import numpy as np
from flax import nnx

from compare_gan.core.errors import UserError
from compare_gan.core.partials import target_of
from compare_gan.core.types import GANState, NetState, Tree
from compare_gan.core.words import counted, first_few
from compare_gan.gans.gan import GAN
from compare_gan.nn.norms import ConditionalBatchNorm

SHOWN = 4  # names in a message
How = Literal["taken", "classes", "to classes", "from classes", "new"]


class NamedGAN(NamedTuple):
    """A GAN and the names of its classes."""

    gan: GAN
    classes: tuple[str, ...]


class Network(NamedTuple):
    """What is known of a network without its arrays; arrays have names such as "blocks/0/conv1/kernel"."""

    shapes: dict[str, tuple[int, ...]]
    class_axes: dict[str, int]  # name -> the axis that ends with an entry for each class
    offsets: dict[str, float]  # name of a conditional scale or offset -> what the norm adds to it
    classes: tuple[str, ...]

    def split(self, name: str, array: np.ndarray, axis: int) -> tuple[np.ndarray, np.ndarray]:
        """An array, with `axis` first, as the part that does not depend on classes and the part that does."""
        array = np.moveaxis(array, axis, 0)
        rest = len(array) - (len(self.classes) if name in self.class_axes else 0)
        return array[:rest], array[rest:]


@dataclasses.dataclass(frozen=True)
class NetworkTransfer:
    """How each array of a network is made."""

    old: Network
    new: Network
    how: dict[str, How]

    def apply(self, weights: Tree, fresh: Tree) -> Tree:
        """Arrays like `fresh`, from those of the source and the initial ones; all are on the host."""
        given, initial = _flat(weights), _flat(fresh)
        return jax.tree.map_with_path(lambda path, _: self._array(_name(path), given, initial), fresh)

    def _array(self, name: str, given: dict[str, Any], initial: dict[str, Any]) -> np.ndarray:
        match self.how[name]:
            case "taken":
                return given[name]
            case "classes":
                return self._fitted(name, given[name], initial[name])
            case "to classes":
                norm = name.rpartition("/")[0]
                kernel = np.zeros_like(initial[name])
                kernel[-len(self.new.classes) :] = given[norm] - self.new.offsets[norm]
                return kernel
            case "from classes":
                rows = given[f"{name}/kernel"][-len(self.old.classes) :]
                return self.old.offsets[name] + rows.mean(0) + given.get(f"{name}/bias", 0)
            case _:
                return initial[name]

    def _fitted(self, name: str, old: np.ndarray, fresh: np.ndarray) -> np.ndarray:
        """An array whose classes differ from those of the source."""
        axis = self.new.class_axes.get(name, self.old.class_axes.get(name, 0))
        rest, rows = self.old.split(name, old, axis)
        _, initial = self.new.split(name, fresh, axis)
        if len(rows) and len(initial):
            known = {label: row for label, row in zip(self.old.classes, rows, strict=True)}
            initial = np.stack([known.get(label, rows.mean(0)) for label in self.new.classes])
        return np.moveaxis(np.concatenate([rest, initial]), 0, axis)


@dataclasses.dataclass(frozen=True)
class Transfer:
    """How the networks of a GAN are made from those of another."""

    g: NetworkTransfer
    d: NetworkTransfer

    @classmethod
    def plan(cls, source: NamedGAN, target: NamedGAN) -> "Transfer":
        """The transfer from `source` to `target`.

        Raises:
          UserError: the shape of images, the architecture or the size of the networks differs.
        """
        old, new = (each.gan.spec.image_shape for each in (source, target))
        if old != new:
            raise UserError(f"its images are {'x'.join(map(str, old))}, and here {'x'.join(map(str, new))}")
        for part in ("make_generator", "make_discriminator"):
            known, wanted = (target_of(getattr(each.gan, part)) for each in (source, target))
            if known is not wanted:
                raise UserError(f"its architecture has {_described(known)}, and here {_described(wanted)}")
        g, d = (_network_transfer(*pair) for pair in zip(_networks(source), _networks(target), strict=True))
        return cls(g, d)

    def apply(self, old: GANState, fresh: GANState) -> GANState:
        """The state `fresh` with the networks of `old`; all arrays are on the host.

        The moving average starts from that of `old`, or from its generator if there is none. Step, optimisers
        and adaptive parts stay as they are in `fresh`.
        """
        average = old.g.params if old.g_ema is None else old.g_ema
        return dataclasses.replace(
            fresh,
            g=NetState(self.g.apply(old.g.params, fresh.g.params), self.g.apply(old.g.extra, fresh.g.extra)),
            d=NetState(self.d.apply(old.d.params, fresh.d.params), self.d.apply(old.d.extra, fresh.d.extra)),
            g_ema=None if fresh.g_ema is None else self.g.apply(average, fresh.g_ema),
        )

    def describe(self) -> str:
        """One line on what is taken and what is newly initialised."""
        nets = (("generator", self.g), ("discriminator", self.d))
        every = [(f"{net} {name}", how) for net, part in nets for name, how in part.how.items()]
        fitted = [name for name, how in every if how not in ("taken", "new")]
        new = [name for name, how in every if how == "new"]
        parts = [f"{len(every) - len(fitted) - len(new)} of {counted(len(every), 'array')} as they are"]
        if fitted:
            parts.append(f"fitted to other classes: {first_few(fitted, SHOWN)}")
        if new:
            parts.append(f"newly initialised: {first_few(new, SHOWN)}")
        return "; ".join(parts)


def _network_transfer(old: Network, new: Network) -> NetworkTransfer:
    return NetworkTransfer(old, new, {name: _how(name, old, new) for name in new.shapes})


def _how(name: str, old: Network, new: Network) -> How:
    """How one array is made.

    Raises:
      UserError: its shape differs, and not by the number of classes.
    """
    shape, given = new.shapes[name], old.shapes.get(name)
    parent, _, leaf = name.rpartition("/")
    if given is None:  # a norm under spectral normalisation cannot have the scale of another one
        if leaf == "kernel" and parent in old.shapes.keys() & new.offsets and f"{parent}/u" not in new.shapes:
            return "to classes"
        if name in old.offsets and f"{name}/u" not in old.shapes:
            return "from classes"
        return "new"
    axis = new.class_axes.get(name, old.class_axes.get(name))
    if given == shape and (axis is None or old.classes == new.classes):
        return "taken"
    if axis is not None and leaf == "u":  # a singular vector of another kernel
        return "new"
    if axis is not None:
        parts = [net.split(name, np.empty(net.shapes[name]), axis)[0].shape for net in (old, new)]
        if parts[0] == parts[1]:
            return "classes"
    raise UserError(f"its array {name} is {list(given)}, and here {list(shape)}")


def _networks(named: NamedGAN) -> tuple[Network, Network]:
    """Generator and discriminator."""
    gan = named.gan
    spec = dataclasses.replace(gan.spec, num_classes=gan.spec.num_classes + 1)
    larger = dataclasses.replace(gan, spec=spec)
    return (
        _network(gan.abstract_g, larger.abstract_g, named.classes),
        _network(gan.abstract_d, larger.abstract_d, named.classes),
    )


def _network(network: Any, larger: Any, classes: tuple[str, ...]) -> Network:
    """A network, given the same for one more class; both have shapes in place of arrays."""
    shapes, others = (
        {name: x.shape for name, x in _flat(_arrays(each)).items()} for each in (network, larger)
    )
    axes = {
        name: next(i for i, (a, b) in enumerate(zip(shape, others[name], strict=True)) if a != b)
        for name, shape in shapes.items()
        if shape != others[name]
    }
    offsets: dict[str, float] = {}
    for path, node in nnx.iter_graph(network):
        if isinstance(node, ConditionalBatchNorm):
            start = "/".join(map(str, path))
            offsets |= {f"{start}/gamma": node.gamma_offset, f"{start}/beta": 0.0}
    return Network(shapes, axes, offsets, classes)


def _arrays(network: Any) -> Tree:
    return nnx.to_pure_dict(nnx.state(network))


def _flat(tree: Tree) -> dict[str, Any]:
    return {_name(path): x for path, x in jax.tree.leaves_with_path(tree)}


def _name(path: tuple) -> str:
    return jax.tree_util.keystr(path, simple=True, separator="/")


def _described(network: Any) -> str:
    return f"{network.__module__.rpartition('.')[2]}.{getattr(network, '__qualname__', network)}"
