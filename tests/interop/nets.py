"""Small models, built from real torch.nn modules."""

import torch
from torch import nn


class Backbone(nn.Module):
    """Convolution, normalisation, a buffer of its own."""

    def __init__(self, width=8):
        super().__init__()
        self.conv1 = nn.Conv2d(3, width, 3)
        self.bn1 = nn.BatchNorm2d(width)
        self.layers = nn.Sequential(nn.Conv2d(width, 2 * width, 3), nn.BatchNorm2d(2 * width), nn.ReLU())
        self.register_buffer("scale", torch.ones(width))

    def forward(self, x):
        return self.layers(self.bn1(self.conv1(x)))


class Detector(nn.Module):
    """A backbone with two more parts."""

    def __init__(self):
        super().__init__()
        self.backbone = Backbone()
        self.neck = nn.ModuleDict({"lateral": nn.Conv2d(16, 4, 1)})
        self.bbox_head = nn.Sequential(nn.Conv2d(4, 4, 3), nn.Conv2d(4, 9, 1))


class Classifier(nn.Module):
    """A backbone with a head of so many classes."""

    def __init__(self, classes=10):
        super().__init__()
        self.backbone = Backbone()
        self.head = nn.Linear(16, classes)


class Tied(nn.Module):
    """A language model whose output layer shares the embedding."""

    def __init__(self, tie=True):
        super().__init__()
        self.embed_tokens = nn.Embedding(11, 6)
        self.blocks = nn.ModuleList(nn.ModuleDict({"norm": nn.LayerNorm(6), "mlp": nn.Linear(6, 6)}) for _ in range(3))
        self.lm_head = nn.Linear(6, 11, bias=False)
        if tie:
            self.lm_head.weight = self.embed_tokens.weight


class Window(nn.Module):
    """Swin's window attention in small: a learned table and the index into it, which follows from the window."""

    def __init__(self, window=2, heads=3):
        super().__init__()
        self.relative_position_bias_table = nn.Parameter(torch.zeros((2 * window - 1) ** 2, heads))
        self.register_buffer("relative_position_index", torch.zeros(window**2, window**2, dtype=torch.int64))
        self.qkv = nn.Linear(6, 18)
