"""The published network implemented directly from its formulas: every position projected, every candidate gathered.

Written from docs/model.md alone and independent of ``lecdsr.models.lecdsr``, so that each can check the other. Weights
have the names of the published code. Nothing is optimised: the text of every position is projected, including padding
and repeated items, once for the convolution and again for the alignment, and the score of a candidate is three
products with its own output vector.

Shape legend: B batch, L history length, K candidates, D width of a text vector, d width of the network.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

# Replaces minus infinity where infinity times zero would be NaN.
HIDDEN = -1e9


def adapter(width_in: int, hidden: int, width: int) -> nn.Sequential:
    """Build the projection of a text vector: linear, layer norm, GELU, linear."""
    return nn.Sequential(nn.Linear(width_in, hidden), nn.LayerNorm(hidden), nn.GELU(), nn.Linear(hidden, width))


class Network(nn.Module):
    """LeCDSR with item and user texts.

    Args:
        item_vectors: ``[N+1, D]`` frozen text vectors; the last row is padding.
        user_vectors: ``[U, D]`` or more rows of frozen text vectors.
        width: width d of the network.
        hidden: hidden width of the projections.
        length: history length L.
        masked: exclude padding from convolution, gates, means and alignment; the published code does not.
    """

    item_vectors: Tensor
    user_vectors: Tensor

    def __init__(
        self, item_vectors: Tensor, user_vectors: Tensor, width: int, hidden: int, length: int, masked: bool
    ) -> None:
        super().__init__()
        items, self.masked, self.padding = len(item_vectors), masked, len(item_vectors) - 1
        self.register_buffer("item_vectors", item_vectors, persistent=False)
        self.register_buffer("user_vectors", user_vectors, persistent=False)
        self.item_embeddings = nn.Embedding(items, width, padding_idx=self.padding)
        self.W2 = nn.Embedding(items, width)
        self.b2 = nn.Embedding(items, 1)
        self.position_embeddings = nn.Embedding(length + 1, width, padding_idx=0)
        self.adapter_text = adapter(item_vectors.shape[1], hidden, width)
        self.adapter_user = adapter(user_vectors.shape[1], hidden, width)
        self.complex_weight = nn.Parameter(0.02 * torch.randn(1, length // 2 + 1, width, 2))
        self.item_gating = nn.Linear(width, 1)
        self.fusion_gating = nn.Linear(width, 1)
        self.feature_gate_item = nn.Linear(width, width)
        self.feature_gate_user = nn.Linear(width, width)
        self.instance_gate_item = nn.Parameter(nn.init.xavier_uniform_(torch.empty(width, 1)))
        self.instance_gate_user = nn.Parameter(nn.init.xavier_uniform_(torch.empty(width, length)))
        self.instance_gate_position = nn.Parameter(nn.init.xavier_uniform_(torch.empty(width, 1)))
        for table in (self.item_embeddings, self.W2, self.position_embeddings):
            nn.init.normal_(table.weight, std=1 / width)
        nn.init.zeros_(self.b2.weight)
        with torch.no_grad():
            self.item_embeddings.weight[self.padding] = 0
            self.W2.weight[self.padding] = 0
            self.position_embeddings.weight[0] = 0

    def ids_and_texts(self, sequence: Tensor) -> tuple[Tensor, Tensor]:
        """Return id embeddings and projected texts of every position, ``[B, L, d]`` each."""
        e = self.item_embeddings(sequence)
        t = self.adapter_text(self.item_vectors[sequence])  # [B, L, D] -> [B, L, d]
        real = self.real(sequence).unsqueeze(-1)  # [B, L, 1]
        return e * real, t * real

    def real(self, sequence: Tensor) -> Tensor:
        """Return 1 where a position counts and 0 where it is excluded, ``[B, L]``."""
        kept = sequence != self.padding if self.masked else torch.ones_like(sequence)
        return kept.float()

    def forward(self, sequence: Tensor, position: Tensor, user: Tensor, candidates: Tensor) -> Tensor:
        """Score ``candidates [B, K]``, ``[B, K]``; ``sequence`` and ``position`` are ``[B, L]``, ``user [B]``."""
        e, t = self.ids_and_texts(sequence)
        real = self.real(sequence).unsqueeze(-1)  # [B, L, 1]
        u = self.adapter_user(self.user_vectors[user])  # [B, d]
        h = self.convolve(e, t) * real  # [B, L, d]
        gate = self.feature_gate_item(h) + self.feature_gate_user(u).unsqueeze(1)
        f = h * torch.sigmoid(gate)  # [B, L, d]
        p = self.position_embeddings(position)  # [B, L, d]
        s = f @ self.instance_gate_item + p @ self.instance_gate_position  # [B, L, 1]
        s = torch.sigmoid(s + (u @ self.instance_gate_user).unsqueeze(-1)) * real
        z = (s * f).sum(dim=1) / s.sum(dim=1)  # [B, d]
        output = self.W2(candidates)  # [B, K, d]
        scores: Tensor = self.b2(candidates).squeeze(-1)  # [B, K]
        scores = scores + torch.bmm(output, u.unsqueeze(-1)).squeeze(-1)
        scores = scores + torch.bmm(output, z.unsqueeze(-1)).squeeze(-1)
        per_position = torch.bmm(h, output.transpose(1, 2))  # [B, L, K]
        return scores + per_position.sum(dim=1) / real.sum(dim=1)

    def convolve(self, e: Tensor, t: Tensor) -> Tensor:
        """Compute the contextual convolution over time, ``[B, L, d]``."""
        length = e.shape[1]
        e_spectrum = torch.fft.rfft(e, dim=1, norm="ortho")  # [B, L//2 + 1, d]
        t_spectrum = torch.fft.rfft(t, dim=1, norm="ortho")
        filtered = e_spectrum * torch.view_as_complex(self.complex_weight)
        a = torch.fft.irfft(filtered, n=length, dim=1, norm="ortho")
        b = torch.fft.irfft(t_spectrum * e_spectrum, n=length, dim=1, norm="ortho")
        h: Tensor = a * torch.sigmoid(self.item_gating(a)) + b * torch.sigmoid(self.fusion_gating(b))
        return h

    def alignment(self, sequence: Tensor, tau: float) -> Tensor:
        """Compute the alignment loss; it projects the texts again and is added once per order of its arguments."""
        e, t = self.ids_and_texts(sequence)
        real = self.real(sequence)
        return self.one_alignment(e, t, real, tau) + self.one_alignment(t, e, real, tau)

    def one_alignment(self, one: Tensor, other: Tensor, real: Tensor, tau: float) -> Tensor:
        """Compute half of the cross-entropies of ``one otherᵀ / tau`` and of its transpose against soft targets."""
        hidden = (1 - real).unsqueeze(1) * HIDDEN  # [B, 1, L]
        logits = torch.bmm(one, other.transpose(1, 2)) / tau  # [B, L, L]
        alike = torch.bmm(other, other.transpose(1, 2)) + torch.bmm(one, one.transpose(1, 2))
        soft = torch.softmax(alike / (2 * tau) + hidden, dim=-1)
        total = torch.zeros(())
        for direction in (logits, logits.transpose(1, 2)):
            cross_entropy = -(soft * torch.log_softmax(direction + hidden, dim=-1)).sum(dim=-1)  # [B, L]
            total = total + (cross_entropy * real).sum() / real.sum()
        return total / 2  # half of each direction


def hinge(scores: Tensor, tau: float) -> Tensor:
    """Compute ``Σ_b Σ_n relu(1 + (r_n - r_target) / tau)`` from ``scores [B, 1 + K]``, the target first."""
    return torch.relu(1 + (scores[:, 1:] - scores[:, :1]) / tau).sum()


def enliven(network: Network, seed: int) -> None:
    """Enlarge the random weights of a new network, so that every part of it affects loss and gradients."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for weight, size in (
            (network.item_embeddings.weight, 0.3),
            (network.W2.weight, 0.5),
            (network.b2.weight, 0.5),
            (network.position_embeddings.weight, 0.3),
            (network.complex_weight, 0.3),
        ):
            weight.copy_(size * torch.randn(weight.shape, generator=generator))
        network.item_embeddings.weight[network.padding] = 0
        network.position_embeddings.weight[0] = 0
