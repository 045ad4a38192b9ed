"""The product of experts in eager PyTorch, for `benchmarks/gaussian_product.py`.

It reads lines `TERMS BATCH EXPERTS LATENT PASS CALLS` and answers each with the seconds that a
call took. `PASS` is forward or both.
"""

import sys
import time

import torch

LIMIT = 39.0


def product(loc, log_variance, mask) -> tuple:
    """The formula of `tf_mvae.ops.gaussian_product`, as a PyTorch user would write it."""
    precision = torch.exp(-log_variance.clamp(-LIMIT, LIMIT))
    total = 1 + torch.einsum("tbm,bml->tbl", mask, precision)
    weighted = torch.einsum("tbm,bml->tbl", mask, precision * loc)
    return weighted / total, -torch.log(total)


def main() -> None:
    """Answers questions until there are none."""
    torch.manual_seed(0)
    problems = {}
    print(torch.__version__, flush=True)
    for line in sys.stdin:
        *sizes, what, calls = line.split()
        terms, batch, experts, latent = map(int, sizes)
        if tuple(sizes) not in problems:
            problems.clear()  # one at a time: they are large
            loc, log_variance = (
                torch.randn(batch, experts, latent, requires_grad=True) for _ in range(2)
            )
            mask = (torch.rand(terms, batch, experts) < 0.5).float()
            by = [torch.randn(terms, batch, latent) for _ in range(2)]
            problems[tuple(sizes)] = (loc, log_variance, mask, by)
        loc, log_variance, mask, by = problems[tuple(sizes)]

        def call(loc=loc, log_variance=log_variance, mask=mask, by=by, what=what):
            if what == "forward":
                with torch.no_grad():
                    return product(loc, log_variance, mask)
            return torch.autograd.grad(product(loc, log_variance, mask), (loc, log_variance), by)

        call()
        start = time.perf_counter()
        for _ in range(int(calls)):
            call()
        print((time.perf_counter() - start) / int(calls), flush=True)


if __name__ == "__main__":
    main()
