"""The profile of a step: operations by kind and by the function that they come from."""

import jax
import jax.numpy as jnp
import pytest

from benchmarks.hlo import Operation, kind_of, operations
from benchmarks.step_profile import events, grouped, spent
from compare_gan.nn.layers import spectral_normalize


def loss(kernel, u):
    normal, _ = spectral_normalize(kernel, u, "left", 1e-12)
    return jnp.sum(normal**2)


@pytest.fixture(scope="module")
def program():
    shapes = jax.ShapeDtypeStruct((256, 256), jnp.float32), jax.ShapeDtypeStruct((256, 1), jnp.float32)
    return jax.jit(jax.grad(loss)).lower(*shapes).compile()


def test_products_are_found_in_the_function_that_makes_them(program):
    found = operations(program.as_text()).values()
    products = [each for each in found if each.kind == "matrix product"]
    assert {each.source for each in products} - {""} == {"nn/layers.py:spectral_normalize"}
    assert {"forward", "backward"} == {each.direction for each in found}


def test_the_operations_of_a_trace_are_those_of_the_program(program, tmp_path):
    arguments = jnp.eye(256), jnp.ones((256, 1))
    with jax.profiler.trace(str(tmp_path)):
        jax.block_until_ready(program(*arguments))
    names = {name for name, _ in events(tmp_path)}
    assert names
    assert names <= set(operations(program.as_text()))


@pytest.mark.parametrize(
    ("opcodes", "kind"),
    [
        (["parameter", "convolution"], "convolution"),
        (["parameter", "multiply", "reduce"], "reduction"),
        (["parameter", "broadcast", "pad"], "data movement"),
        (["parameter", "broadcast", "add"], "elementwise"),
        (["while"], "control flow"),
    ],
)
def test_kinds(opcodes, kind):
    assert kind_of(opcodes) == kind


def test_times_are_per_step_and_loops_are_not_counted_twice():
    known = {
        name: Operation(name, "f32[2]", kind, "", "forward")
        for name, kind in (
            ("dot.1", "matrix product"),
            ("dot.2", "matrix product"),
            ("while.1", "control flow"),
        )
    }
    seen = [("dot.1", 1.0), ("dot.1", 3.0), ("dot.2", 6.0), ("while.1", 10.0), ("unknown", 5.0)]
    rows = spent(known, seen, steps=2)
    assert [(row.operation.name, row.ms, row.calls) for row in rows] == [("dot.2", 3, 0.5), ("dot.1", 2, 1)]
    assert grouped(rows, "kind") == [("matrix product", 5, 1.5)]
