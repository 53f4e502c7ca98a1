"""Scores by hand against scores by autograd: values, hits and gradients, with large logits and equal ones."""

import pytest
import torch

from afina.engine.head import Scored


def by_autograd(
    hidden: torch.Tensor, weight: torch.Tensor, targets: torch.Tensor
) -> tuple[torch.Tensor, torch.Tensor]:
    logits = (hidden @ weight.t()).float()
    return torch.log_softmax(logits, dim=-1).gather(1, targets[:, None])[:, 0], logits.argmax(
        dim=-1
    ) == targets


@pytest.mark.parametrize("size", [0.1, 1.0, 60.0])
def test_values_hits_and_gradients_equal_autograds(size: float):
    generator = torch.Generator().manual_seed(0)
    weight = torch.randn(50, 16, generator=generator)
    targets = torch.randint(0, 50, (30,), generator=generator)
    upstream = torch.randn(30, generator=generator)
    found: list[tuple[torch.Tensor, ...]] = []
    for scored in (Scored.apply, by_autograd):
        hidden = (torch.randn(30, 16, generator=torch.Generator().manual_seed(1)) * size).requires_grad_()
        values, hits = scored(hidden, weight, targets)
        (values * upstream).sum().backward()
        assert hidden.grad is not None
        found.append((values.detach(), hits, hidden.grad))
    for ours, theirs in zip(*found, strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-5, atol=1e-5)


def test_the_gradient_is_right_by_finite_differences():
    generator = torch.Generator().manual_seed(2)
    hidden = torch.randn(4, 6, generator=generator, dtype=torch.float64, requires_grad=True)
    weight = torch.randn(9, 6, generator=generator, dtype=torch.float64)
    targets = torch.tensor([0, 3, 8, 3])
    # Scores are float32 whatever comes in, so the step and the tolerance are wide.
    assert torch.autograd.gradcheck(
        lambda h: Scored.apply(h, weight, targets)[0].double(), (hidden,), eps=1e-2, atol=1e-2, rtol=1e-2
    )
