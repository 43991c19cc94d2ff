"""Answers to the exercises: typical mistakes, as changes to our version, and other right ones.

A mistake is (exercise, what stands in our version, what the attendee wrote, words of the diagnosis).
"""

MISTAKES = [
    # 03
    ("AOIDataset", "self.table = pd", "table = pd", "`table` was never stored"),
    ("AOIDataset", ".unsqueeze(0)", "", "the channel is missing"),
    ("AOIDataset", ", cv2.IMREAD_GRAYSCALE", "", "the shape"),
    (
        "AOIDataset",
        "torch.from_numpy(picture).unsqueeze(0)",
        "torch.from_numpy(picture).unsqueeze(0).float() / 255",
        "the transform's work",
    ),
    ("AOIDataset", "(picture).unsqueeze(0)", "(picture.T.copy()).unsqueeze(0)", "height and width"),
    ("AOIDataset", ", interpolation=cv2.INTER_AREA", "", "pixels were skipped"),
    ("AOIDataset", 'int(row["Label"])', 'float(row["Label"])', "whole number"),
    ("AOIDataset", 'int(row["Label"])', "index", "another row"),
    ("AOIDataset", "picture = self.transform(picture)", "self.transform(picture)", "was lost"),
    ("AOIDataset", "raise FileNotFoundError(f\"{row['ID']} is missing or is not a picture\")", "pass", "None"),
    ("AOIDataset", "(self.size, self.size)", "(60, 60)", "not resized"),
    ("AOIDataset", "return picture, int", "return int", "two things: picture, label"),
    ("AOIDataset", "FileNotFoundError", "ValueError", "must raise FileNotFoundError"),
    ("AOIDataset", "if self.transform is not None:\n", "if True:\n", "only if it is there"),
    ("AOIDataset", "self.table.iloc", "table.iloc", "`self.table`"),
    ("normalise", "picture.float()", "picture.double()", "float32 is wanted"),
    ("normalise", " - mean) / std", " - picture.float().mean() / 255) / (picture.float() / 255).std()", "that are given"),
    ("normalise", "return ", "", "Is `return` missing"),
    ("normalise", " / 255", "", "0 to 255"),
    ("normalise", ".float() / 255", " // 255", "drops everything"),
    ("normalise", ") / std", ")", "deviation was forgotten"),
    ("normalise", ") / std", ") * std", "do not multiply"),
    ("normalise", "(picture.float() / 255 - mean)", "picture.float() / 255 - mean", "brackets"),
    ("normalise", " - mean", "", "the mean was forgotten"),
    # 04
    ("collate", "torch.stack", "torch.cat", "torch.stack"),
    ("collate", "torch.tensor([label for _, label in items])", "[l for _, l in items]", "not a tensor"),
    ("collate", "label for _", "float(label) for _", "int64"),
    ("collate", "return pictures, labels", "return labels, pictures", "swapped"),
    ("collate", "return pictures, labels", "return pictures", "two things"),
    ("count_batches", "-(-pictures // batch_size)", "pictures // batch_size", "smaller batch is a batch"),
    ("count_batches", "-(-pictures // batch_size)", "pictures // batch_size + 1", "no further batch"),
    ("count_batches", "pictures - (batches - 1) * batch_size", "pictures % batch_size", "never empty"),
    ("count_batches", "return batches, pictures - (batches - 1) * batch_size", "return pictures - (batches - 1) * batch_size, batches", "first the number"),
    # 05
    ("conv_output_size", " // stride + 1", " // stride", "last + 1"),
    ("conv_output_size", "2 * padding", "padding", "both sides"),
    ("conv_output_size", "//", "/", "round down"),
    ("conv_output_size", "(kernel - 1) - 1", "(kernel - 1)", "- 1 inside"),
    ("conv_output_size", "dilation * (kernel - 1)", "dilation * kernel", "term by term"),
    ("conv_output_size", "return ", "", "Is `return` missing"),
    ("LeNet", "self.linear1 = nn", "linear1 = nn", "Did you forget `self.`"),
    ("LeNet", "16 * size * size", "16 * 29 * 29", "a fixed size"),
    ("LeNet", "16 * size * size", "16 * 128 * 128", "a fixed size"),
    ("LeNet", "return self.linear3(self.linear2(x).relu())", "return self.linear3(self.linear2(x).relu()).softmax(dim=1)", "softmax at the end"),
    ("LeNet", "return self.linear3(self.linear2(x).relu())", "return self.linear3(self.linear2(x).relu()).relu()", "after the last layer"),
    ("LeNet", "return self.linear3(self.linear2(x).relu())", "self.linear3(self.linear2(x).relu())", "`return` is missing"),
    ("LeNet", "x.flatten(1)", "x.flatten()", "flatten everything but the batch"),
    ("LeNet", "nn.Linear(120, 84)", "nn.Linear(84, 120)", "next one's inputs"),
    ("LeNet", "self.linear2(x).relu()", "self.linear2(x)", "no ReLU before the linear layer with 84"),
    ("LeNet", "self.linear2 = nn.Linear(120, 84)", "self.hidden = [nn.Linear(120, 84)]\n        self.linear2 = self.hidden[0].forward", "a plain list hides it"),
    ("LeNet", "def forward", "def foward", "spelt right"),
    ("LeNet", "super().__init__()", "pass", "super().__init__()"),
    ("LeNet", "84, classes)", "84, 6)", "each picture and class"),
    # 06
    ("cross_entropy", "-right", "right", "minus sign"),
    ("cross_entropy", ".mean()", ".sum()", "not the sum"),
    ("cross_entropy", "right.log().mean()", "right.mean()", "logarithm is missing"),
    ("cross_entropy", "sum(dim=1, keepdim=True)", "sum(dim=0, keepdim=True)", "dim=1"),
    ("cross_entropy", "-right.log().mean()", "-right.mean().log()", "first the logarithm"),
    ("cross_entropy", "-right.log().mean()", "torch.nn.CrossEntropyLoss()(probabilities, labels)", "by hand"),
    ("sgd_step", "parameter -=", "parameter +=", "up the hill"),
    ("sgd_step", "parameter -= rate", "parameter = parameter - rate", "nothing moved"),
    ("sgd_step", "parameter.grad = None", "pass", "not cleared"),
    ("sgd_step", "rate * ", "", "rate was forgotten"),
    ("sgd_step", "@torch.no_grad()", "", "torch.no_grad()"),
    ("sgd_step", "for parameter in parameters", "for parameter in parameters.list", "a generator has no `list`"),
    ("sgd_step", "        parameter.grad = None", "    for parameter in parameters:\n        parameter.grad = None", "only once"),
    ("cross_entropy", "probabilities[torch.arange(len(labels)), labels]", "probabilities[:, labels]", "in every row"),
    ("cross_entropy", "-right.log().mean()", "-right.log().mean().item()", "not a tensor"),
    ("cross_entropy", "logits.exp()", "math.exp(logits)", "`math` was not imported"),
    # 07
    ("train_epoch", "optimizer.zero_grad()", "pass", "`zero_grad` is missing"),
    ("train_epoch", "        loss.backward()\n        optimizer.step()", "        optimizer.step()\n        loss.backward()", "no weight changed"),
    ("train_epoch", "optimizer.step()", "pass", "no weight changed"),
    ("train_epoch", "loss_fn(logits, labels)", "loss_fn(logits.softmax(dim=1), labels)", "softmax before the loss"),
    ("train_epoch", "loss.item() * len(labels)", "loss.item() * 3", "averages of the batches"),
    ("train_epoch", "model.train()", "model.eval()", "model.train()"),
    ("train_epoch", "loss_fn(logits, labels)", "loss_fn(labels, logits)", "first the logits"),
    ("train_epoch", "for pictures, labels in batches:\n        pictures, labels = pictures.to(device), labels.to(device)", "for pictures in batches:\n        labels = pictures[1]", "a batch is a pair"),
    ("train_epoch", "pictures, labels = pictures.to(device), labels.to(device)", "pass", "to the device"),
    ("train_epoch", "loss = loss_fn(logits, labels)", "loss = loss_fn(logits, labels).detach()", "backward"),
    ("train_epoch", "loss = loss_fn(logits, labels)", "loss = loss_fn(logits, labels.float())", "whole numbers"),
    ("train_epoch", "return total_loss / count, correct / count", "return total_loss / count", "two things"),
    ("evaluate", "model.eval()", "pass", "model.eval()"),
    ("evaluate", "@torch.no_grad()", "", "gradients are on"),
    ("evaluate", "correct / count", "100 * correct / count", "not of 100"),
    ("evaluate", "total_loss / count", "total_loss", "not divided"),
    ("evaluate", ".item() * len(labels)", ".item() * 3", "averages of the batches"),
    ("evaluate", "correct / count", "correct / len(batches)", "not of batches"),
    # 08
    ("best_epoch", 'history.loc[history["valid_accuracy"].idxmax(), "epoch"]', 'history["valid_accuracy"].idxmax()', "counted from 0"),
    ("best_epoch", "valid_accuracy", "train_accuracy", "training part"),
    ("best_epoch", 'int(history.loc[history["valid_accuracy"].idxmax(), "epoch"])', 'history["valid_accuracy"].max()', "this is the accuracy"),
    ("best_epoch", "idxmax", "idxmin", "the epochs need not begin at 1"),
    ("best_epoch", '"valid_accuracy"].idxmax', '"valid_loss"].idxmin', "lowest loss"),
    ("count_pairs", "counts[t, p]", "counts[p, t]", "swapped"),
    ("count_pairs", "+= 1", "= 1", "counts only once"),
    ("count_pairs", ", dtype=torch.int64", "", "int64 is wanted"),
    ("count_pairs", "return counts", "return counts.tolist()", "not a tensor"),
    ("count_pairs", "counts[t, p] += 1", "counts[t, p] += t == p", "only the right ones"),
    ("count_pairs", "torch.zeros(classes, classes", "torch.zeros(3, 3", "without pictures"),
    ("count_pairs", "return counts", "return counts / len(true)", "not shares"),
    # 09
    ("predict", ".softmax(dim=1)", "", "these are logits"),
    ("predict", "dim=1", "dim=0", "over the classes"),
    ("predict", "torch.cat(parts)", "parts[-1]", "only the last batch"),
    ("predict", "model.eval()", "pass", "model.eval()"),
    ("predict", "@torch.no_grad()", "", "gradients are still on"),
    ("predict", "torch.cat(parts)", "torch.cat(parts).argmax(dim=1)", "only the winner"),
    ("write_submission", ", index=False", "", "index=False"),
    ("write_submission", "predicted.numpy()", "list(predicted)", "becomes text"),
    ("write_submission", 'table["Label"] = predicted.numpy()', "pass", "no labels"),
    ("write_submission", "predicted.numpy()", "predicted.float().numpy()", "whole numbers"),
    ("write_submission", "to_csv(file, index=False)", "to_csv(index=False)", "no file was written"),
    ("write_submission", "index=False", "index=False, header=False", "first line"),
    # 10
    ("new_head", "body.requires_grad_(False)", "body.requires_grad = False", "nothing is frozen"),
    ("new_head", "body.requires_grad_(False)", "body[1].requires_grad_(False)", "only a part"),
    ("new_head", "return nn.Linear(outputs, classes)", "return nn.Linear(outputs, classes).requires_grad_(False)", "head is frozen"),
    ("new_head", "nn.Linear(outputs, classes)", "nn.Linear(classes, outputs)", "nn.Linear(outputs, classes)"),
    ("new_head", "nn.Linear(outputs, classes)", "nn.Linear(outputs, 2)", "nn.Linear(outputs, classes)"),
    ("new_head", "body.requires_grad_(False)", "for p in body.parameters: p.requires_grad = False", "brackets are missing"),
    ("compute_features", "torch.cat(features), torch.cat(labels)", "torch.cat(labels), torch.cat(features)", "first the features"),
    ("compute_features", "    return torch", "            return torch", "inside the loop"),
    ("new_head", "return nn", "nn", "give back the new layer"),
    ("new_head", "nn.Linear(outputs, classes)", "nn.Sequential(nn.Linear(outputs, classes), nn.Softmax(1))", "softmax at the end"),
    ("compute_features", "network.eval()", "pass", "model.eval()"),
    ("compute_features", "torch.no_grad()", "torch.enable_grad()", "gradients are still on"),
    ("compute_features", "torch.cat(features), torch.cat(labels)", "features[-1], labels[-1]", "only the last batch"),
    ("compute_features", "return torch.cat(features), torch.cat(labels)", "return torch.cat(features)", "two things"),
    ("compute_features", "torch.cat(features),", "features,", "not a tensor"),
    # 11
    ("to_picture", "(3, 32, 32)", "(32, 32, 3)", "mixes the planes"),
    ("to_picture", "(3, 32, 32)", "(32, 32, 3).transpose(2, 0, 1)", "mixes the planes"),
    ("to_picture", "(3, 32, 32)", "(3, 32, 32).transpose(1, 2, 0)", "channels are last"),
    ("to_picture", "(3, 32, 32)", "(3, 32, 32) / 255", "leave the pixels"),
    ("to_picture", "row.reshape(3, 32, 32)", "row[:1024].reshape(32, 32)", "red plane only"),
    ("to_picture", "(3, 32, 32)", "(3, 32, 32)[::-1]", "BGR"),
    ("to_picture", "row.reshape(3, 32, 32)", "row.reshape(3, 32, 32).tolist()", "not a tensor"),
    ("normalise_batch", " / 255", "", "0 to 255"),
    ("normalise_batch", ".view(1, 3, 1, 1)", "", "went to columns"),
    ("normalise_batch", ".view(1, 3, 1, 1)", ".view(3, 1)", "went to rows"),
    ("normalise_batch", ") / std", ")", "deviation was forgotten"),
    ("normalise_batch", ") / std", ") * std", "do not multiply"),
    # 12
    ("block", "        nn.MaxPool2d(2),\n", "", "pooling is missing"),
    ("block", "kernel_size=3)", "kernel_size=3, padding=1)", "there is a padding"),
    ("block", "nn.MaxPool2d", "nn.AvgPool2d", "nn.MaxPool2d"),
    ("block", "        nn.ReLU(),\n", "", "ReLU"),
    ("block", "nn.Conv2d(outputs, outputs, kernel_size=3)", "nn.Conv2d(outputs, inputs, kernel_size=3)", "channels"),
    ("block", "nn.Conv2d(outputs, outputs, kernel_size=3)", "nn.Conv2d(inputs, outputs, kernel_size=3)", "wants 3 channels, and gets 8"),
    ("block", "kernel_size=3)", "kernel_size=5)", "5x5"),
    ("flatten_size", ".shape[1]", ".shape[0]", "number of pictures"),
    ("flatten_size", "layers(picture)", "picture", "before the layers"),
    ("flatten_size", "layers(picture).flatten(1).shape[1]", "1690", "one network only"),
    ("flatten_size", "layers(picture).flatten(1).shape[1]", "layers(picture).shape[1]", "height and width were"),
    ("flatten_size", "layers(picture).flatten(1).shape[1]", "layers(picture).shape[-1] ** 2", "channels were"),
    # 13
    ("summarise", '["network", "rate", "augmented"]', '["network", "rate", "augmented", "seed"]', "do not group by the seed"),
    ("summarise", '["network", "rate", "augmented"]', '["network", "rate"]', "columns or the index"),
    ("summarise", '.agg(["mean", "std"])', ".mean()", "two numbers for each setting"),
    ("summarise", '"mean", "std"', '"mean", "var"', "columns or the index"),
    ("summarise", '["mean", "std"]', '[("mean", "max"), ("std", "std")]', "the best seed"),
    ("summarise", '["mean", "std"]', '[("mean", "median"), ("std", "std")]', "the median"),
    ("summarise", '["mean", "std"]', '[("mean", "mean"), ("std", "sem")]', "error of the mean"),
    ("summarise", '["mean", "std"]', '[("mean", "mean"), ("std", "var")]', "the variance"),
    ("summarise", '["mean", "std"]', '[("mean", "mean"), ("std", lambda x: x.std(ddof=0))]', "divide by n - 1"),
    ("summarise", 'return groups["valid_accuracy"]', 'groups["valid_accuracy"]', "give back a table"),
    # 14
    ("find_limit", "1 - false_alarms", "false_alarms", "the other end"),
    ("find_limit", "distances.quantile(1 - false_alarms)", "distances.max()", "nothing at all"),
    ("find_limit", "distances.quantile(1 - false_alarms)", "(distances.max() * (1 - false_alarms))", "not of the largest"),
    ("find_limit", "distances.quantile(1 - false_alarms)", "distances.mean()", "far too many"),
    ("find_limit", "1 - false_alarms", "0.95", "fits one rate only"),
    ("find_limit", "1 - false_alarms", "100 * (1 - false_alarms)", "It stopped with"),
    # 15
    ("average_over_ranks", "return total / sum(counts)", "return sum(gradients) / len(gradients)", "a plain mean"),
    ("average_over_ranks", "return total / sum(counts)", "return total", "divide by sum(counts)"),
    ("average_over_ranks", "sum(counts)", "len(counts)", "not of processes"),
    ("average_over_ranks", "gradient * count", "gradient", "as much as it saw"),
    ("average_over_ranks", "gradient * count", "gradient.mul_(count)", "are changed"),
    ("average_over_ranks", "return total / sum(counts)", "return (total / sum(counts)).sum()", "add over the processes only"),
    ("average_over_ranks", "return total / sum(counts)", "total / sum(counts)", "nothing comes back"),
]  # fmt: skip

ALSO_RIGHT = {
    "AOIDataset": [
        """class AOIDataset(Dataset):
    def __init__(self, csv_file, image_dir, size=128, transform=None):
        rows = pd.read_csv(csv_file)
        self.names, self.labels = rows["ID"].tolist(), rows["Label"].tolist()
        self.folder, self.side, self.change = image_dir, size, transform or (lambda x: x)

    def __len__(self):
        return len(self.labels)

    def __getitem__(self, i):
        image = cv2.imread(f"{self.folder}/{self.names[i]}", 0)
        if image is None:
            raise FileNotFoundError("not a picture: " + self.names[i])
        image = cv2.resize(image, (self.side, self.side), interpolation=cv2.INTER_AREA)
        return self.change(torch.tensor(image)[None]), torch.tensor(self.labels[i])""",
        """class AOIDataset:
    def __init__(self, csv_file, image_dir, size=128, transform=None):
        self.rows = list(pd.read_csv(csv_file).itertuples(index=False))
        self.dir, self.hw, self.t = str(image_dir), (size,) * 2, transform

    def __len__(self):
        return len(self.rows)

    def __getitem__(self, n):
        name, label = self.rows[n]
        pixels = cv2.imread(self.dir + "/" + name, cv2.IMREAD_GRAYSCALE)
        if pixels is None:
            raise FileNotFoundError(name)
        x = torch.as_tensor(cv2.resize(pixels, self.hw, interpolation=cv2.INTER_AREA))
        x = x.view(1, *x.shape)
        return (self.t(x) if self.t else x), label""",
    ],
    "normalise": [
        "normalise = lambda picture, mean, std: picture.div(255).sub(mean).div(std)",
        "def normalise(x, m, s):\n    x = x.to(torch.float32)\n    x /= 255\n    x -= m\n    return x / s",
    ],
    "collate": [
        "def collate(items):\n    a, b = zip(*items)\n    return torch.stack(a), torch.tensor(b)",
        "from torch.utils.data import default_collate as collate",
    ],
    "count_batches": [
        "import math\ndef count_batches(n, b):\n    k = math.ceil(n / b)\n    return k, n - (k - 1) * b",
        "def count_batches(n, b):\n    return [(n - 1) // b + 1, (n - 1) % b + 1]",
    ],
    "conv_output_size": [
        "import math\ndef conv_output_size(size, kernel, stride=1, padding=0, dilation=1):\n"
        "    return math.floor((size + 2*padding - dilation*(kernel-1) - 1) / stride + 1)",
        "def conv_output_size(size, kernel, stride=1, padding=0, dilation=1):\n"
        "    return len(range(0, size + 2 * padding - dilation * (kernel - 1), stride))",
    ],
    "LeNet": [
        """class LeNet(nn.Module):
    def __init__(self, classes, channels=1, size=128):
        super().__init__()
        side = ((size - 4) // 2 - 4) // 2
        self.net = nn.Sequential(
            nn.Conv2d(channels, 6, 5), nn.ReLU(), nn.MaxPool2d(2),
            nn.Conv2d(6, 16, 5), nn.ReLU(), nn.MaxPool2d(2), nn.Flatten(),
            nn.Linear(16 * side**2, 120), nn.ReLU(), nn.Linear(120, 84), nn.ReLU(),
            nn.Linear(84, classes))

    def forward(self, x):
        return self.net(x)""",
        """class LeNet(nn.Module):
    def __init__(self, classes, channels=1, size=128):
        super(LeNet, self).__init__()
        self.c1, self.c2 = nn.Conv2d(channels, 6, 5), nn.Conv2d(6, 16, 5)
        n = nn.functional.max_pool2d(self.c2(torch.zeros(1, 6, (size - 4) // 2, (size - 4) // 2)), 2)
        self.a, self.b, self.c = nn.Linear(n.numel(), 120), nn.Linear(120, 84), nn.Linear(84, classes)

    def forward(self, x):
        for c in (self.c1, self.c2):
            x = torch.relu(nn.functional.max_pool2d(c(x), 2))
        x = torch.relu(self.a(x.reshape(len(x), -1)))
        return self.c(torch.relu(self.b(x)))""",
    ],
    "cross_entropy": [
        "def cross_entropy(logits, labels):\n"
        "    return -logits.log_softmax(1).gather(1, labels[:, None]).mean()",
        "def cross_entropy(logits, labels):\n    p = logits.softmax(dim=1)\n"
        "    return sum(-p[i, l].log() for i, l in enumerate(labels)) / len(labels)",
    ],
    "sgd_step": [
        "def sgd_step(parameters, rate):\n    for p in parameters:\n"
        "        p.data = p.data - rate * p.grad\n        p.grad.zero_()",
        "def sgd_step(parameters, rate):\n    o = torch.optim.SGD(parameters, lr=rate)\n"
        "    o.step()\n    o.zero_grad()",
    ],
    "train_epoch": [
        """def train_epoch(model, batches, loss_fn, optimizer):
    model.train()
    losses, hits, n = [], 0, 0
    for x, y in batches:
        optimizer.zero_grad()
        out = model(x.to(device))
        loss = loss_fn(out, y.to(device))
        loss.backward()
        optimizer.step()
        losses += [loss.item()] * len(y)
        hits += int((out.argmax(1) == y).sum())
        n += len(y)
    return sum(losses) / n, hits / n""",
        """def train_epoch(model, batches, loss_fn, optimizer):
    model.train(True)
    total = torch.zeros(3)
    for x, y in batches:
        x = x.to(device=device, non_blocking=True)
        logits = model(x)
        loss = loss_fn(logits, y)
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()
        total += torch.tensor([loss.item() * len(y), (logits.argmax(1) == y).sum().item(), len(y)])
    return (total[0] / total[2]).item(), (total[1] / total[2]).item()""",
    ],
    "evaluate": [
        """def evaluate(model, batches, loss_fn):
    model.train(False)
    with torch.inference_mode():
        out = torch.cat([model(x.to(device)) for x, _ in batches])
        y = torch.cat([y for _, y in batches])
        return loss_fn(out, y).item(), (out.argmax(1) == y).float().mean().item()""",
        """def evaluate(model, batches, loss_fn):
    model.eval()
    n = loss = right = 0
    with torch.no_grad():
        for x, y in batches:
            out = model(x.to(device))
            loss += len(y) * loss_fn(out, y)
            right += (out.max(1).indices == y).sum()
            n += len(y)
    return loss / n, right / n""",
    ],
    "best_epoch": [
        "def best_epoch(h):\n    return h.sort_values('valid_accuracy')['epoch'].iloc[-1]",
        "def best_epoch(h):\n    i = h.valid_accuracy.to_numpy().argmax()\n    return int(h.epoch[i])",
    ],
    "count_pairs": [
        "def count_pairs(true, predicted, classes):\n"
        "    return (true * classes + predicted).bincount(minlength=classes**2).view(classes, classes)",
        "import numpy as np\ndef count_pairs(true, predicted, classes):\n"
        "    c = np.zeros((classes, classes), dtype=int)\n"
        "    np.add.at(c, (true.numpy(), predicted.numpy()), 1)\n    return c",
    ],
    "predict": [
        "def predict(model, batches):\n    model.eval()\n    with torch.inference_mode():\n"
        "        return torch.cat([model(x) for x, _ in batches]).softmax(-1)",
        "def predict(model, batches):\n    rows = []\n    model.train(False)\n    for x, _ in batches:\n"
        "        rows.extend(model(x).softmax(1).detach())\n    return torch.stack(rows)",
    ],
    "write_submission": [
        "def write_submission(test_csv, predicted, file):\n"
        "    names = pd.read_csv(test_csv)['ID']\n"
        "    pd.DataFrame({'ID': names, 'Label': predicted.tolist()}).to_csv(file, index=None)",
        "def write_submission(test_csv, predicted, file):\n"
        "    names = [line.split(',')[0] for line in open(test_csv).read().split()[1:]]\n"
        "    rows = [f'{n},{int(p)}' for n, p in zip(names, predicted)]\n"
        "    open(file, 'w').write('\\n'.join(['ID,Label', *rows]))",
    ],
    "new_head": [
        "def new_head(body, outputs, classes):\n    for p in body.parameters():\n"
        "        p.requires_grad = False\n    return nn.Sequential(nn.Linear(outputs, classes))",
        "def new_head(body, outputs, classes):\n    [p.requires_grad_(False) for p in body.parameters()]\n"
        "    return nn.Linear(outputs, classes, bias=False)",
    ],
    "compute_features": [
        "@torch.inference_mode()\ndef compute_features(network, batches):\n"
        "    pairs = [(network.eval()(x), y) for x, y in batches]\n"
        "    return tuple(map(torch.cat, zip(*pairs)))",
        "def compute_features(network, batches):\n    network.train(False)\n"
        "    x, y = [torch.cat(part) for part in zip(*batches)]\n    return [network(x).detach(), y]",
    ],
    "to_picture": [
        "import numpy as np\ndef to_picture(row):\n"
        "    return np.stack([row[:1024], row[1024:2048], row[2048:]]).reshape(3, 32, 32)",
        "def to_picture(row):\n    return torch.from_numpy(row).view(3, 32, -1)",
    ],
    "normalise_batch": [
        "def normalise_batch(images, mean, std):\n"
        "    m, s = (torch.tensor(v)[None, :, None, None] for v in (mean, std))\n"
        "    return images.div(255).sub(m).div(s)",
        "from torchvision.transforms.v2 import functional as F\n"
        "def normalise_batch(images, mean, std):\n"
        "    return F.normalize(images / 255, list(mean), list(std))",
    ],
    "block": [
        "def block(i, o):\n    layers = []\n    for a, b in ((i, o), (o, o)):\n"
        "        layers += [nn.Conv2d(a, b, 3), nn.ReLU(inplace=True)]\n"
        "    return nn.Sequential(*layers, nn.MaxPool2d(kernel_size=2, stride=2))",
        "def block(i, o):\n    r = nn.ReLU()\n"
        "    return nn.Sequential(nn.Conv2d(i, o, 3), r, nn.Conv2d(o, o, 3), r, nn.MaxPool2d(2))",
        "class block(nn.Module):\n    def __init__(self, i, o):\n        super().__init__()\n"
        "        self.a, self.b = nn.Conv2d(i, o, (3, 3)), nn.Conv2d(o, o, (3, 3))\n"
        "    def forward(self, x):\n"
        "        return nn.functional.max_pool2d(self.b(self.a(x).relu()).relu(), 2)",
    ],
    "flatten_size": [
        "def flatten_size(layers, picture):\n    return layers(picture)[0].numel()",
        "def flatten_size(layers, picture):\n    n, c, h, w = layers(picture).shape\n    return c * h * w",
    ],
    "find_limit": [
        "import numpy as np\ndef find_limit(distances, false_alarms):\n"
        "    return float(np.quantile(distances.numpy(), 1 - false_alarms))",
        "def find_limit(distances, false_alarms):\n    ordered = distances.sort().values\n"
        "    place = round((1 - false_alarms) * (len(ordered) - 1))\n    return ordered[place]",
    ],
    "average_over_ranks": [
        "def average_over_ranks(gradients, counts):\n    shares = torch.tensor(counts) / sum(counts)\n"
        "    return torch.einsum('r,r...->...', shares, torch.stack(gradients))",
        "def average_over_ranks(gradients, counts):\n    result = torch.zeros_like(gradients[0])\n"
        "    for gradient, count in zip(gradients, counts):\n"
        "        result += gradient * (count / sum(counts))\n    return result",
        "import numpy as np\ndef average_over_ranks(gradients, counts):\n"
        "    return torch.from_numpy(np.average(np.stack(gradients), axis=0, weights=counts)).float()",
    ],
    "summarise": [
        "def summarise(table):\n    keys = ['augmented', 'rate', 'network']\n"
        "    g = table.groupby(keys, as_index=False, sort=False)['valid_accuracy']\n"
        "    return g.agg(mean='mean', std='std')",
        "def summarise(table):\n    rows = []\n"
        "    for key, part in table.groupby(['network', 'rate', 'augmented']):\n"
        "        values = part['valid_accuracy']\n"
        "        rows.append([*key, values.mean(), values.std(), len(values)])\n"
        "    return pd.DataFrame(rows, columns=['network', 'rate', 'augmented', 'mean', 'std', 'n'])",
    ],
}
