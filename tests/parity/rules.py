"""Inputs that a case writes down as a rule."""

import re
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

FEATURES = (
    "(RandomState(seed).standard_normal((n,d))*scale+mean) "
    "[@ (I + 0.3*RandomState(seed+500).standard_normal((d,d))/sqrt(d)) if corr], as float32"
)
PICTURES = (
    "x=RandomState(seed).uniform(0,255,size=(n,res,res,3)); each smoothing round: "
    "x=(x+roll(x,1,axis=1)+roll(x,1,axis=2)+roll(x,(1,1),axis=(1,2)))/4; float32"
)
NOISY = "clip(X + 12*RandomState(seed+1).standard_normal(X.shape),0,255) float32"
WORDS = {
    name: getattr(np, name)
    for name in (
        "outer stack column_stack concatenate arange linspace meshgrid zeros ones eye clip roll repeat tile "
        "sin cos tan exp sqrt tanh abs pi newaxis"
    ).split()
} | {"RandomState": np.random.RandomState, "np": np}


def evaluated(rule: str, values: dict[str, Any]) -> np.ndarray:
    """The array of a rule that is one NumPy expression, and maybe the type of its result.

    Raises:
      ValueError: it is something else.
    """
    text, _, dtype = rule.rpartition(" ")
    if dtype in ("float32", "float64", "uint8", "int32"):
        return np.asarray(_value(text, WORDS | values)).astype(dtype)
    return np.asarray(_value(rule, WORDS | values))


def function(rule: str, arrays: dict[str, Any]) -> Callable[[jax.Array], jax.Array]:
    """That of a rule such as `f(z)=sin(tanh(z W1) W2)`, in which two things side by side are multiplied.

    Raises:
      ValueError: it is something else, once it is called.
    """
    head, _, body = rule.partition("=")
    known(head, "f(z)")
    text = re.sub(r"(?<=[\w)]) (?=\w)", " @ ", body)
    words = {name: getattr(jnp, name) for name in "sin cos tanh exp".split()} | arrays
    return lambda z: _value(text, words | {"z": z})


def _value(text: str, words: dict[str, Any]) -> Any:
    try:
        return eval(text, {"__builtins__": {}}, words)
    except (SyntaxError, NameError, TypeError, AttributeError) as error:
        raise ValueError(f"a rule that is not understood: {text!r} ({error})") from None


def features(rule: dict[str, Any]) -> np.ndarray:
    """[N, F], the activations of a case."""
    known(rule["rule"], FEATURES)
    n, d, seed = rule["n"], rule["d"], rule["seed"]
    x = np.random.RandomState(seed).standard_normal((n, d)) * rule["scale"] + rule["mean"]
    if rule["corr"]:
        mix = np.random.RandomState(seed + 500).standard_normal((d, d))
        x = x @ (np.eye(d) + 0.3 * mix / np.sqrt(d))
    return x.astype(np.float32)


def pictures(meta: dict[str, Any]) -> tuple[np.ndarray, np.ndarray]:
    """Smooth random images [N, H, W, 3] in 0..255, and the same with noise."""
    known(meta["X"], PICTURES)
    known(meta["Y"], NOISY)
    seed, res = meta["seed"], meta["res"]
    x = np.random.RandomState(seed).uniform(0, 255, size=(meta["n"], res, res, 3))
    for _ in range(meta["smoothing_rounds"]):
        x = (x + np.roll(x, 1, axis=1) + np.roll(x, 1, axis=2) + np.roll(x, (1, 1), axis=(1, 2))) / 4
    x = x.astype(np.float32)
    noise = 12 * np.random.RandomState(seed + 1).standard_normal(x.shape)
    return x, np.clip(x + noise, 0, 255).astype(np.float32)


def known(rule: str, expected: str) -> None:
    if rule != expected:
        raise ValueError(f"a rule that is not understood: {rule!r}")
