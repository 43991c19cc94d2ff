"""The same work as four well-known beginners' courses describe it, written anew."""

from pathlib import Path

import cv2
import numpy as np
import pandas as pd
import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader, Dataset
from torchvision import transforms


class OnePngAtATime(Dataset):
    """Decodes and resizes a PNG whenever it is asked for, each epoch again."""

    def __init__(self, root: Path, mean: float, std: float, size: int = 128) -> None:
        self.root, self.size, self.table = root, size, pd.read_csv(root / "train.csv")
        self.transform = transforms.Compose(
            [transforms.ToTensor(), transforms.Normalize([mean], [std])]
        )

    def __len__(self) -> int:
        return len(self.table)

    def __getitem__(self, index: int) -> tuple[Tensor, int]:
        name, label = self.table.iloc[index]
        path = str(self.root / "train_images" / name)
        picture = cv2.imread(path, cv2.IMREAD_GRAYSCALE)
        return self.transform(cv2.resize(picture, (self.size, self.size))), int(label)


class OneArrayAtATime(Dataset):
    """Turns one array (32, 32, 3) after the other into a normalised tensor."""

    def __init__(self, images: Tensor, labels: Tensor, mean: tuple, std: tuple) -> None:
        self.images = images.permute(0, 2, 3, 1).contiguous().numpy()  # (N, 32, 32, 3)
        self.labels = labels.tolist()
        self.transform = transforms.Compose(
            [transforms.ToTensor(), transforms.Normalize(mean, std)]
        )

    def __len__(self) -> int:
        return len(self.labels)

    def __getitem__(self, index: int) -> tuple[Tensor, int]:
        return self.transform(self.images[index]), self.labels[index]


def train_epochs(model: nn.Module, batches: DataLoader, optimizer, epochs: int = 1) -> None:
    """The plain loop."""
    criterion = nn.CrossEntropyLoss()
    model.train()
    for _ in range(epochs):
        running = 0.0
        for pictures, labels in batches:
            optimizer.zero_grad()
            loss = criterion(model(pictures), labels)
            loss.backward()
            optimizer.step()
            running += loss.item()


def features_in_lists(network: nn.Module, batches: DataLoader) -> tuple[np.ndarray, np.ndarray]:
    """Put what a frozen network makes of each picture into Python lists, and join them."""
    features, labels = [], []
    with torch.no_grad():
        for pictures, truth in batches:
            features.extend(network(pictures).numpy())
            labels.extend(truth.numpy())
    return np.concatenate([[one] for one in features]), np.array(labels)


def vgg_classifier(classes: int = 2) -> nn.Sequential:
    """The linear layers of VGG16 for 25,088 numbers a picture; only the last one is trained."""
    classifier = nn.Sequential(
        *(nn.Linear(25088, 4096), nn.ReLU(), nn.Dropout()),
        *(nn.Linear(4096, 4096), nn.ReLU(), nn.Dropout()),
        nn.Linear(4096, classes),
    )
    classifier[:-1].requires_grad_(False)
    return classifier
