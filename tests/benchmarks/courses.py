"""The same work as four well-known beginners' courses describe it, written anew."""

import cv2
import numpy as np
import torch
from torch import nn
from torch.utils.data import DataLoader, Dataset
from torchvision.transforms import Compose, Normalize, ToTensor


class OneAtATime(Dataset):
    """Turns one picture after the other into a normalised tensor, each epoch again."""

    def __init__(self, samples, read, mean, std):
        self.samples, self.read = samples, read
        self.transform = Compose([ToTensor(), Normalize(mean, std)])

    def __len__(self):
        return len(self.samples)

    def __getitem__(self, index):
        picture, label = self.samples[index]
        return self.transform(self.read(picture)), label


def from_files(samples, mean, std):
    """Return batches of grey PNGs, each decoded and resized when it is asked for."""

    def read(file):
        return cv2.resize(cv2.imread(str(file), cv2.IMREAD_GRAYSCALE), (128, 128))

    return DataLoader(OneAtATime(samples, read, mean, std), batch_size=32)


def from_memory(pictures, mean, std):
    """Return shuffled batches of pictures (N, 3, 32, 32) that lie in memory, as arrays."""
    arrays = pictures.images.permute(0, 2, 3, 1).contiguous().numpy()  # (N, 32, 32, 3)
    samples = [*zip(arrays, pictures.labels.tolist(), strict=True)]
    return DataLoader(OneAtATime(samples, np.asarray, mean, std), batch_size=128, shuffle=True)


def train_epochs(model, batches, optimizer, epochs=1):
    """The plain loop."""
    model.train()
    for _ in range(epochs):
        running = 0.0
        for pictures, labels in batches:
            optimizer.zero_grad()
            loss = nn.functional.cross_entropy(model(pictures), labels)
            loss.backward()
            optimizer.step()
            running += loss.item()


@torch.no_grad()
def features_in_lists(network, images):
    """Put what a frozen network makes of each picture into a Python list, and join them."""
    features = []
    for pictures, _ in DataLoader(images, batch_size=32):
        features.extend(network(pictures).numpy())
    return np.concatenate([[one] for one in features])
