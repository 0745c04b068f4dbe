"""The contrastive loss between what a chip looks like and what is said of its place."""

from __future__ import annotations

import torch
from einops import reduce
from jaxtyping import Bool, Float
from torch import Tensor
from torch.nn import functional as F

from earthfield_model.text import TextNetwork


def text_loss(
    network: TextNetwork,
    u: Float[Tensor, "B H W D"],
    embedded: Float[Tensor, "B E"],
    has_text: Bool[Tensor, " B"],
    *,
    seen: Bool[Tensor, "B H W"] | None = None,
) -> Float[Tensor, ""]:
    """Gives `clip_loss` of chips and the frozen sentence vectors of their texts.

    Args:
        network: puts sentence vectors onto the field's sphere.
        u: unit vectors of the chips.
        embedded: frozen sentence vectors, anything where a sample has no text.
        has_text: which samples have one.
        seen: pixels that count; all when absent.
    """
    same = (embedded[:, None] == embedded[None]).all(-1)
    return clip_loss(u, network(embedded), has_text, network.scale, seen=seen, same=same)


def clip_loss(
    u: Float[Tensor, "B H W D"],
    text: Float[Tensor, "B D"],
    has_text: Bool[Tensor, " B"],
    scale: Float[Tensor, ""] | float,
    *,
    seen: Bool[Tensor, "B H W"] | None = None,
    same: Bool[Tensor, "B B"] | None = None,
) -> Float[Tensor, ""]:
    """Gives the symmetric cross-entropy of telling which text belongs to which chip of a batch.

    A chip is its mean direction. Samples without a text, and chips that show nothing, take no part; two samples
    with the same text are no negatives of one another. With fewer than two samples left the loss is zero, and
    gradients of zero still reach every input.

    Source: CLIP (arXiv 2103.00020, section 2.3) as in AlphaEarth Foundations (arXiv 2507.22291). Departure: the
    paper does not say how it treats equal texts; here they are left out.

    Args:
        u: unit vectors of the chips.
        text: unit vectors of the texts.
        has_text: which samples have one.
        scale: factor on cosines (the inverse temperature).
        seen: pixels that count; all when absent.
        same: which samples have the same text; found from equal vectors when absent.
    """
    with torch.autocast(u.device.type, enabled=False):
        chips = mean_direction(u.float(), seen)
        shown = has_text if seen is None else has_text & seen.flatten(1).any(1)
        if same is None:
            same = (text[:, None] == text[None]).all(-1)
        own = torch.eye(len(text), dtype=torch.bool, device=text.device)
        # A sample that takes no part is compared with itself alone: that is a loss of zero, and no gradient.
        compared = own | (shown[:, None] & shown[None] & ~same)
        logits = (scale * chips @ text.float().T).masked_fill(~compared, -torch.inf)
        each = F.log_softmax(logits, 1).diagonal() + F.log_softmax(logits, 0).diagonal()
        return -torch.where(shown, each, 0 * each).sum() / (2 * shown.sum().clamp(min=1))


def mean_direction(
    u: Float[Tensor, "B H W D"], seen: Bool[Tensor, "B H W"] | None = None
) -> Float[Tensor, "B D"]:
    """Gives the renormalised mean of the pixels that are seen; zeros where none is."""
    counted = u if seen is None else torch.where(seen[..., None], u, 0.0)
    return F.normalize(reduce(counted, "b h w d -> b d", "sum"), dim=-1)
