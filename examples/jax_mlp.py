"""A network in JAX learns to tell the inner of two rings from the outer, from losses alone.

python examples/jax_mlp.py
"""

import jax
import jax.numpy as jnp

import freewalk.jax


def outputs(params, x):
    """Points (B, 2) to logits (B,)."""
    hidden = jnp.tanh(x @ params["in"] + params["bias"])
    return hidden @ params["out"]


def loss(params, x, y):
    """Return the cross-entropy of each datapoint."""
    logits = outputs(params, x)
    return jnp.logaddexp(0, logits) - y * logits


def main(seed: int = 0, steps: int = 300) -> float:
    """Train, and return the share of points on the right ring."""
    angle, radius, first, second = jax.random.split(jax.random.key(seed), 4)
    y = (jnp.arange(256) % 2).astype(jnp.float32)
    angles = 2 * jnp.pi * jax.random.uniform(angle, 256)
    radii = 0.4 + 0.6 * y + 0.1 * jax.random.normal(radius, 256)
    x = jnp.stack([radii * jnp.cos(angles), radii * jnp.sin(angles)], axis=1)
    params = {
        "in": jax.random.normal(first, (2, 16)),
        "bias": jnp.zeros(16),
        "out": 0.1 * jax.random.normal(second, 16),
    }
    walk = freewalk.jax.walk(loss, stddev=0.02, perturbations=64, learning_rate=0.03, seed=seed)
    state = walk.init(params)
    for _ in range(6):
        state, progress = walk.train(state, [(x, y)] * (steps // 6))
        print(f"step {state['step']}: loss {progress.loss:.4f}")
    return float(((outputs(state["params"], x) > 0) == (y > 0.5)).mean())


if __name__ == "__main__":
    print(f"{100 * main():.0f} % of the points on the right ring")
