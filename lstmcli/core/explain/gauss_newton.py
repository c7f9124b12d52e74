"""Least squares of many small problems at once, by damped steps of Gauss and Newton."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from lstmcli.core.model.arrays import Array

Residual = Callable[[Array], Array]
"""From parameters (B n, N), n sets in a row for each problem, to what is left (B n, M)."""

ITERATIONS = 25
HALFWAY, HALFWAY_LEFT = 0.4, 0.2  # of them, and the misfit that may be left then
FIRST_DAMPING, LEAST_DAMPING, MOST_DAMPING = 1e-6, 1e-14, 1e4
LESS_DAMPING, MORE_DAMPING = 0.1, 20.0  # times, after a stride that is better or not
SHORTER = 0.5  # the least damping after a stride along one number that is not better
# Each of a parameter, or of 1. Where float64 alone rounds, a quotient by the root of its spacing,
# 1.5e-8, is the nearest; runs round more, so it is a little above.
MOVED = 1e-7
STANDING = 1e-10  # the largest stride that ends: solved numbers have nine digits
NOTHING_LEFT = 1e-13  # what the rounding of a run leaves of numbers near 1
LEAST_SQUARE = 1e-300  # no 0 / 0 along a direction that changes nothing


class Derivative(NamedTuple):
    """The derivative (B, N, M) by each parameter, as its singular values and vectors."""

    of_parameters: Array  # (B, N, K)
    sizes: Array  # (B, K)
    of_residuals: Array  # (B, K, M)


def gauss_newton(
    residual: Residual, start: Array, iterations: int = ITERATIONS
) -> tuple[Array, Array]:
    """Parameters (B, N) of independent problems, and what is left (B, M)."""
    p, left = start.copy(), residual(start)
    first = _misfit(left).sum()
    damping = np.full(len(p), FIRST_DAMPING)
    is_better = np.ones(len(p), bool)
    derivative = None
    for n in range(iterations):
        if is_better.any():
            derivative = _derivative(residual, p, left)
        if derivative is None:
            break
        stride = _stride(derivative, left, damping)
        new = residual(p - stride)
        is_better = _misfit(new) < _misfit(left)
        p[is_better] -= stride[is_better]
        left[is_better] = new[is_better]
        damping = _next_damping(damping, is_better, p.shape[1])
        is_halfway = n >= HALFWAY * iterations
        if is_halfway and _misfit(left).sum() > HALFWAY_LEFT * first:
            break
        is_standing = np.abs(stride) < STANDING * np.maximum(1, np.abs(p))
        is_done = is_standing.all(axis=1) | (damping > MOST_DAMPING)
        if is_done.all() or np.abs(left).max() < NOTHING_LEFT:
            break
    return p, left


def _misfit(left: Array) -> Array:
    """(B,): the sum of squares of each problem."""
    return np.asarray((left**2).sum(axis=1))


def _next_damping(damping: Array, is_better: Array, parameters: int) -> Array:
    """Less for problems that the last stride made better, more for others."""
    least = SHORTER if parameters == 1 else 0.0
    more = np.maximum(damping * MORE_DAMPING, least)
    return np.where(is_better, damping * LESS_DAMPING, more).clip(LEAST_DAMPING)


def _derivative(residual: Residual, p: Array, left: Array) -> Derivative | None:
    """By difference quotients; None: it is not finite."""
    count, size = p.shape
    stride = MOVED * np.maximum(1, np.abs(p))
    moved = (p[:, None] + np.eye(size) * stride[:, None]).reshape(count * size, size)
    gained = residual(moved).reshape(count, size, -1) - left[:, None]
    quotients = gained / stride[..., None]
    if not np.isfinite(quotients).all():
        return None
    # normal equations would square it; LAPACK has no long double
    factors = np.linalg.svd(quotients.astype(np.float64), full_matrices=False)
    return Derivative(*factors)


def _stride(derivative: Derivative, left: Array, damping: Array) -> Array:
    """(B, N): the damped step to the least squares of what is left."""
    squares = derivative.sizes**2
    mean = squares.mean(axis=1, keepdims=True)
    damped = squares + damping[:, None] * mean + LEAST_SQUARE
    along = np.einsum("bkm,bm->bk", derivative.of_residuals, left)
    along = along * derivative.sizes / damped
    return np.asarray(np.einsum("bnk,bk->bn", derivative.of_parameters, along))
