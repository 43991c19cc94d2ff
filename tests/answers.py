"""Answers to the exercises: typical mistakes, as changes to our version, and other right ones.

A mistake is (exercise, what stands in our version, what the attendee wrote, words of the diagnosis).
"""

LENET = "self.linear3(self.linear2(x).relu())"
MISTAKES = [
    # 03
    ("AOIDataset", "self.table = pd", "table = pd", "`table` was never stored"),
    ("AOIDataset", ".unsqueeze(0)", "", "the channel is missing"),
    ("AOIDataset", "cv2.IMREAD_GRAYSCALE", "cv2.IMREAD_COLOR", "three channels"),
    ("AOIDataset", ", interpolation=cv2.INTER_AREA", "", "pixels were skipped"),
    ("AOIDataset", "(0)  # a", "(0).float() / 255  # a", "the transform's work"),
    ("AOIDataset", 'int(row["Label"])', 'float(row["Label"])', "whole number"),
    ("AOIDataset", "picture = self.transform(picture)", "self.transform(picture)", "was lost"),
    ("AOIDataset", "if picture is None:", "if False:", "None for what is no picture"),
    # 04
    ("collate", "torch.stack", "torch.cat", "torch.stack"),
    ("collate", "torch.tensor([label for _, label in items])", "[l for _, l in items]", "not a tensor"),
    ("collate", "label for _", "float(label) for _", "int64 is wanted"),
    ("collate", "return pictures, labels", "return labels, pictures", "swapped"),
    # 05
    ("corr2d", "- width + 1)", "- width)", "the shape"),
    ("corr2d", "range(answer.shape[0])", "range(answer.shape[0] - 1)", "compare one number"),
    ("corr2d", ".sum()", ".mean()", "the mean; the sum is wanted"),
    ("corr2d", "window * kernel", "window * kernel.flip(0, 1)", "turned round here"),
    ("corr2d", "    return answer", "", "Is `return` missing"),
    ("corr2d", "            answer[row, column] = (window * kernel).sum()", "            pass\n    answer[row, column] = (window * kernel).sum()", "inside both loops"),
    ("corr2d", "height, width = kernel.shape", "height, width = 3, 3", "It stopped with"),
    ("LeNet", "self.linear1 = nn", "linear1 = nn", "Did you forget `self.`"),
    ("LeNet", "16 * size * size", "16 * 29 * 29", "must be computed"),
    ("LeNet", "x.flatten(1)", "x.flatten()", "more flattened than"),
    ("LeNet", f"return {LENET}", f"return {LENET}.softmax(dim=1)", "softmax at the end"),
    ("LeNet", f"return {LENET}", f"return {LENET}.relu()", "after the last layer"),
    ("LeNet", "self.linear2(x).relu()", "self.linear2(x)", "no ReLU before the linear layer with 84"),
    ("LeNet", "self.linear2 = nn.Linear(120, 84)", "self.hidden = [nn.Linear(120, 84)]\n        self.linear2 = self.hidden[0].forward", "a plain list hides it"),
    ("LeNet", "self.linear3 =", "self.spare = nn.Conv2d(1, 1, 1)\n        self.linear3 =", "`spare.weight` has no part in it"),
    ("LeNet", "def forward", "def foward", "spelt right"),
    # 06
    ("cross_entropy", "-right", "right", "minus sign"),
    ("cross_entropy", "dim=1", "dim=0", "dim=1"),
    ("cross_entropy", "[torch.arange(len(labels)), labels]", "[:, labels]", "in every row"),
    ("cross_entropy", "logits - logits.logsumexp(dim=1, keepdim=True)", "(logits.exp() / logits.exp().sum(dim=1, keepdim=True)).log()", "exp(100) is infinite"),
    ("cross_entropy", "logits.logsumexp", "math.log(logits).sum", "`math`: mistyped, or an import"),
    # 07
    ("train_epoch", "optimizer.zero_grad()", "pass", "`zero_grad` is missing"),
    ("train_epoch", "        loss.backward()\n        optimizer.step()", "        optimizer.step()\n        loss.backward()", "no weight changed"),
    ("train_epoch", "loss_fn(logits, labels)", "loss_fn(logits.softmax(dim=1), labels)", "softmax before the loss"),
    ("train_epoch", "loss_fn(logits, labels)", "loss_fn(logits, labels.float())", "whole numbers"),
    ("train_epoch", "loss = loss_fn(logits, labels)", "loss = loss_fn(logits, labels).detach()", "needs the loss itself"),
    ("train_epoch", "model.train()", "model.eval()", "model.train()"),
    ("train_epoch", "for pictures, labels in batches:\n        pictures, labels =", "for batch in batches:\n        pictures, labels = batch.to(device), 0 #", "a batch is a pair"),
    ("train_epoch", "pictures, labels = pictures.to(device), labels.to(device)", "pass", "pictures never go to the device"),
    ("train_epoch", "labels.to(device)", "labels", "labels never go to the device"),
    # 08
    ("count_pairs", "counts[t, p]", "counts[p, t]", "swapped"),
    ("count_pairs", "+= 1", "= 1", "counts only once"),
    ("count_pairs", ", dtype=torch.int64", "", "int64 is wanted"),
    ("count_pairs", "torch.zeros(classes, classes", "torch.zeros(3, 3", "without pictures"),
    # 09
    ("write_submission", ", index=False", "", "index=False"),
    ("write_submission", "predicted.numpy()", "list(predicted)", "become text"),
    ("write_submission", 'table["Label"] = predicted.numpy()', "pass", "no labels"),
    ("write_submission", "predicted.numpy()", "predicted.float().numpy()", "whole numbers"),
    # 10
    ("new_head", "body.requires_grad_(False)", "body.requires_grad = False", "nothing is frozen"),
    ("new_head", "body.requires_grad_(False)", "body[1].requires_grad_(False)", "only a part"),
    ("new_head", "body.requires_grad_(False)", "for p in body.parameters: p.requires_grad = False", "brackets are missing"),
    ("new_head", "(outputs, classes)", "(outputs, classes).requires_grad_(False)", "head is frozen"),
    ("new_head", "return nn.Linear(outputs, classes)", "return nn.Sequential(nn.Linear(outputs, classes), nn.Softmax(1))", "softmax at the end"),
    ("compute_features", "torch.cat(features), torch.cat(labels)", "torch.cat(labels), torch.cat(features)", "first the features"),
    ("compute_features", "    return torch", "            return torch", "inside the loop"),
    ("compute_features", "network.eval()", "pass", "model.eval()"),
    ("compute_features", "torch.no_grad()", "torch.enable_grad()", "gradients are still on"),
    ("parameter_groups", "    body.requires_grad_(True)\n", "", "still frozen"),
    ("parameter_groups", "rate / 10", "rate", "a tenth of it"),
    ("parameter_groups", "rate / 10", "1e-3", "rate of the body"),
    ("parameter_groups", 'head.parameters(), "lr": rate', 'head.parameters(), "lr": rate / 100', "rate of the head"),
    ("parameter_groups", '{"params": head.parameters(), "lr": rate},', "", "of the head are in no group"),
    ("parameter_groups", "body.parameters()", "body[0].parameters()", "of the body are in no group"),
    # 11
    ("to_picture", "(3, 32, 32)", "(32, 32, 3)", "mixes the planes"),
    ("to_picture", "(3, 32, 32)", "(32, 32, 3).transpose(2, 0, 1)", "mixes the planes"),
    ("to_picture", "(3, 32, 32)", "(3, 32, 32).transpose(1, 2, 0)", "channels are last"),
    ("to_picture", "(3, 32, 32)", "(3, 32, 32)[::-1]", "BGR"),
    ("normalise_batch", " / 255", "", "0 to 255"),
    ("normalise_batch", ".view(1, 3, 1, 1)", "", "went to columns"),
    ("normalise_batch", ".view(1, 3, 1, 1)", ".view(3, 1)", "went to rows"),
    ("normalise_batch", ") / std", ")", "(pixel / 255 - mean) / std"),
    # 12
    ("block", "        nn.MaxPool2d(2),\n", "", "pooling is missing"),
    ("block", "kernel_size=3)", "kernel_size=3, padding=1)", "there is a padding"),
    ("block", "kernel_size=3)", "kernel_size=5)", "5x5"),
    ("block", "nn.MaxPool2d", "nn.AvgPool2d", "nn.MaxPool2d"),
    ("block", "        nn.ReLU(),\n", "", "ReLU"),
    ("block", "nn.Conv2d(outputs, outputs", "nn.Conv2d(inputs, outputs", "wants 3 channels, and gets 8"),
    ("flatten_size", ".shape[1]", ".shape[0]", "number of pictures"),
    ("flatten_size", "layers(picture).flatten(1).shape[1]", "1690", "channels * height * width"),
    ("flatten_size", "layers(picture).flatten(1).shape[1]", "layers(picture).shape[1]", "height and width were"),
    ("flatten_size", "layers(picture).flatten(1).shape[1]", "layers(picture).shape[-1] ** 2", "channels were"),
    # 13
    ("summarise", '["network", "rate", "augmented"]', '["network", "rate", "augmented", "seed"]', "do not group by the seed"),
    ("summarise", '["network", "rate", "augmented"]', '["network", "rate"]', "columns or the index"),
    ("summarise", '.agg(["mean", "std"])', ".mean()", "two numbers for each setting"),
    ("summarise", '["mean", "std"]', '[("mean", "mean"), ("std", "var")]', "the variance"),
    ("summarise", '["mean", "std"]', '[("mean", "mean"), ("std", lambda x: x.std(ddof=0))]', "divide by n - 1"),
    ("suspects", "descending=True", "descending=False", "descending=True"),
    ("suspects", "(answer != labels)", "(answer == answer)", "differ count"),
    ("suspects", "rows[sure[rows].argsort(descending=True)]", "sure[rows].argsort(descending=True)", "places among the wrong ones"),
    ("suspects", "[:count]", "", "not more than"),
    # 14
    ("find_limit", "1 - false_alarms", "false_alarms", "the other end"),
    ("find_limit", "distances.quantile(1 - false_alarms)", "(distances.max() * (1 - false_alarms))", "not of the largest"),
    ("find_limit", "1 - false_alarms", "0.95", "fits one rate only"),
    ("find_limit", "1 - false_alarms", "100 * (1 - false_alarms)", "It stopped with"),
    # 15
    ("average_over_ranks", "total / sum(counts)", "sum(gradients) / len(gradients)", "a plain mean"),
    ("average_over_ranks", "total / sum(counts)", "total", "divide by sum(counts)"),
    ("average_over_ranks", "sum(counts)", "len(counts)", "not of processes"),
    ("average_over_ranks", "gradient * count", "gradient.mul_(count)", "are changed"),
    # 16
    ("folds", "* count // len(rows)", "% count", "neighbours are in different folds"),
    ("folds", "(labels == label).nonzero().flatten()", "torch.arange(len(labels))", "each class by itself"),
    ("folds", "* count // len(rows)", "* count // len(rows) + 1", "counted from 0"),
    ("folds", "* count // len(rows)", "// (len(rows) // count)", "the last fold is"),
    ("folds", "    return fold", "        return fold", "as equal as possible"),
    ("folds", "return fold", "return [(fold == n).nonzero() for n in range(count)]", "in a tensor"),
    ("answer_or_pass", ">=", "<", "turned round"),
    ("answer_or_pass", ">=", ">", "at the threshold itself"),
    ("answer_or_pass", "-1", "0", "0 is a class"),
    ("answer_or_pass", "answers.where", "sure.where", "how sure it is"),
    ("answer_or_pass", "dim=1", "dim=0", "the shape"),
    # 17
    ("sure_loss", "weights.sum()", "len(weights)", "not by the number of cells"),
    ("sure_loss", " / weights.sum()", "", "the mean is still to be taken"),
    ("sure_loss", "2 * (probability - 0.5).abs()", "torch.ones(len(probability))", "every label pulls alike"),
    ("sure_loss", "2 * (probability - 0.5).abs()", "probability", "not the probability"),
    ("by_module", "(~is_test).nonzero().flatten(), is_test.nonzero().flatten()", "~is_test, is_test", "row numbers are wanted"),
    ("by_module", "(~is_test).nonzero().flatten(), is_test.nonzero().flatten()", "is_test.nonzero().flatten(), (~is_test).nonzero().flatten()", "first train, then test"),
    ("by_module", "manual_seed(seed)", "manual_seed(0)", "every seed gives the same split"),
    ("by_module", "manual_seed(seed)", "manual_seed(torch.seed() % 2**31)", "the same seed gives another split"),
    ("by_module", "modules.unique()", "torch.arange(len(modules))", "a quarter of twelve modules"),
    ("by_module", "torch.isin(modules, numbers[order[: len(numbers) // 4]])", "torch.randperm(len(modules), generator=generator) % 4 == 0", "has cells in both parts"),
    ("by_module", "(~is_test).nonzero()", "is_test.nonzero()", "only once"),
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
        image = cv2.imdecode(np.frombuffer((self.folder / self.names[i]).read_bytes(), np.uint8), 0)
        assert image is not None, self.names[i]
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
        if (pixels := cv2.imread(self.dir + "/" + name, cv2.IMREAD_GRAYSCALE)) is None:
            raise FileNotFoundError(name)
        x = torch.as_tensor(cv2.resize(pixels, self.hw, interpolation=cv2.INTER_AREA)).view(1, *self.hw)
        return (self.t(x) if self.t else x), label""",
    ],
    "collate": [
        "def collate(items):\n    a, b = zip(*items)\n    return torch.stack(a), torch.tensor(b)",
        "from torch.utils.data import default_collate as collate",
    ],
    "corr2d": [
        """def corr2d(x, k):
    rows = [[(x[i:i + len(k), j:j + len(k[0])] * k).sum() for j in range(x.shape[1] - k.shape[1] + 1)]
            for i in range(x.shape[0] - k.shape[0] + 1)]
    return torch.tensor(rows)""",
        """def corr2d(picture, kernel):
    (h, w), (a, b) = picture.shape, kernel.shape
    answer = torch.zeros(h - a + 1, w - b + 1)
    for i in range(a):  # all windows at once, product by product
        for j in range(b):
            answer += kernel[i, j] * picture[i : i + h - a + 1, j : j + w - b + 1]
    return answer""",
    ],
    "LeNet": [
        """class LeNet(nn.Module):
    def __init__(self, classes, channels=1, size=128):
        super().__init__()
        side = ((size - 4) // 2 - 4) // 2
        self.net = nn.Sequential(
            nn.Conv2d(channels, 6, 5), nn.ReLU(), nn.MaxPool2d(2),
            nn.Conv2d(6, 16, 5), nn.ReLU(), nn.MaxPool2d(2), nn.Flatten(),
            nn.Linear(16 * side**2, 100), nn.ReLU(), nn.Linear(100, 50), nn.ReLU(),
            nn.Linear(50, classes))  # how wide: "your choice"
        self.net[-1].bias.data.fill_(1.0)  # all logits are positive, without a ReLU

    def forward(self, x):
        return self.net(x)""",
        """class LeNet(nn.Module):
    def __init__(self, classes, channels=1, size=128):
        super(LeNet, self).__init__()
        self.c1, self.c2 = nn.Conv2d(channels, 6, 5), nn.Conv2d(6, 16, 5)
        self.a, self.b, self.c = nn.LazyLinear(120), nn.LazyLinear(84), nn.LazyLinear(classes)

    def forward(self, x):
        for c in (self.c1, self.c2):
            x = torch.relu(nn.functional.max_pool2d(c(x), 2))
        return self.c(torch.relu(self.b(torch.relu(self.a(x.reshape(len(x), -1))))))""",
    ],
    "cross_entropy": [
        "def cross_entropy(z, y):\n    return -z.log_softmax(1).gather(1, y[:, None]).mean()",
        "def cross_entropy(z, y):\n    e = (z - z.max(1, keepdim=True).values).exp()\n"
        "    return -(e / e.sum(1, keepdim=True))[range(len(y)), y].log().mean()",
    ],
    "train_epoch": [
        """def train_epoch(model, batches, loss_fn, optimizer):
    model.to(device).train(True)
    losses, hits, n = [], 0, 0
    for x, y in batches:
        x, y = x.to(device=device, non_blocking=True), y.cuda()
        optimizer.zero_grad()
        loss = loss_fn(out := model(x), y)
        loss.backward()
        optimizer.step()
        losses += [loss.item()] * len(y)
        hits, n = hits + int((out.argmax(1) == y).sum()), n + len(y)
    return sum(losses) / n, hits / n""",
        """def train_epoch(model, batches, loss_fn, optimizer):
    model.train()
    rows = []
    for x, y in batches:
        x, y = (part.to(device) for part in (x, y))
        loss = loss_fn(out := model(x), y)
        loss.backward(), optimizer.step(), optimizer.zero_grad()
        rows += [(loss.item(), float(hit)) for hit in out.argmax(1) == y]
    return torch.tensor(rows).mean(dim=0).tolist()""",
    ],
    "count_pairs": [
        "def count_pairs(t, p, n):\n    return (t * n + p).bincount(minlength=n**2).view(n, n)",
        "def count_pairs(t, p, n):\n    c = np.zeros((n, n), dtype=int)\n    np.add.at(c, (t.numpy(), p.numpy()), 1)\n    return c",
    ],
    "write_submission": [
        "def write_submission(test_csv, predicted, file):\n    names = pd.read_csv(test_csv)['ID']\n"
        "    pd.DataFrame({'ID': names, 'Label': predicted.tolist()}).to_csv(file, index=None)",
        "def write_submission(test_csv, predicted, file):\n"
        "    names = [line.split(',')[0] for line in open(test_csv).read().split()[1:]]\n"
        "    rows = [f'{n},{int(p)}' for n, p in zip(names, predicted)]\n"
        "    open(file, 'w').write('\\n'.join(['ID,Label', *rows]))",
    ],
    "new_head": [
        "def new_head(b, o, c):\n    for p in b.parameters():\n        p.requires_grad = False\n    return nn.Sequential(nn.Linear(o, c))",
        "def new_head(b, o, c):\n    [p.requires_grad_(False) for p in b.parameters()]\n    return nn.LazyLinear(c, bias=False)",
    ],
    "compute_features": [
        "@torch.inference_mode()\ndef compute_features(network, batches):\n"
        "    pairs = [(network.eval()(x), y) for x, y in batches]\n"
        "    return tuple(map(torch.cat, zip(*pairs)))",
        "def compute_features(network, batches):\n    network.train(False)\n"
        "    x, y = [torch.cat(part) for part in zip(*batches)]\n    return [network(x).detach(), y]",
    ],
    "parameter_groups": [
        "def parameter_groups(body, head, rate):\n"
        "    for p in body.parameters():\n        p.requires_grad = True\n"
        "    return [dict(params=list(head.parameters()), lr=rate), dict(params=list(body.parameters()), lr=0.1 * rate)]",
        "def parameter_groups(b, h, r):\n    b.requires_grad_()\n"
        "    return ({'params': [p], 'lr': r / 10 if i else r} for i, m in enumerate((h, b)) for p in m.parameters())",
    ],
    "to_picture": [
        "def to_picture(row):\n    return np.stack([row[:1024], row[1024:2048], row[2048:]]).reshape(3, 32, 32)",
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
    "summarise": [
        "def summarise(table):\n    g = table.groupby(['augmented', 'rate', 'network'], as_index=False, sort=False)\n"
        "    return g['valid_accuracy'].agg(mean='mean', std='std')",
        "def summarise(table):\n    keys = ['network', 'rate', 'augmented']\n"
        "    rows = [[*k, len(t), t.valid_accuracy.mean(), t.valid_accuracy.std()] for k, t in table.groupby(keys)]\n"
        "    return pd.DataFrame(rows, columns=[*keys, 'n', 'mean', 'std'])",
    ],
    "suspects": [
        "def suspects(p, y, n):\n    wrong = p.argmax(1) != y\n"
        "    return (p.amax(1) * wrong).topk(n).indices",
        "def suspects(p, y, n):\n    rows = [i for i in range(len(y)) if p[i].argmax() != y[i]]\n"
        "    return sorted(rows, key=lambda i: -p[i].max())[:n]",
    ],
    "find_limit": [
        "def find_limit(d, part):\n    return float(np.quantile(d.numpy(), 1 - part))",
        "def find_limit(d, part):\n    return d.sort().values[round((1 - part) * (len(d) - 1))]",
    ],
    "average_over_ranks": [
        "def average_over_ranks(g, counts):\n    shares = torch.tensor(counts) / sum(counts)\n"
        "    return torch.einsum('r,r...->...', shares, torch.stack(g))",
        "def average_over_ranks(g, n):\n    result = torch.zeros_like(g[0])\n"
        "    for a, b in zip(g, n):\n        result += a * (b / sum(n))\n    return result",
    ],
    "folds": [
        "def folds(y, k):\n    out = torch.empty(len(y), dtype=torch.int64)\n"
        "    for c in set(y.tolist()):\n"
        "        for n, part in enumerate(torch.where(y == c)[0].tensor_split(k)):\n"
        "            out[part] = n\n    return out",
        "def folds(y, k):\n    seen, total, out = {}, y.bincount().tolist(), []\n"
        "    for c in y.tolist():\n        out.append(seen.get(c, 0) * k // total[c])\n"
        "        seen[c] = seen.get(c, 0) + 1\n    return torch.tensor(out)",
    ],
    "answer_or_pass": [
        "def answer_or_pass(p, t):\n    best = p.argmax(1)\n    best[p.amax(1) < t] = -1\n    return best",
        "def answer_or_pass(p, t):\n"
        "    return torch.tensor([int(row.argmax()) if max(row) >= t else -1 for row in p])",
    ],
    "sure_loss": [
        "def sure_loss(z, p):\n    w = (2 * p - 1).abs()\n    y = p.round().long().where(p != 0.5, 1)\n"
        "    l = -z.log_softmax(1)[torch.arange(len(y)), y]\n    return w @ l / w.sum()",
        "def sure_loss(z, p):\n    l, w = nn.CrossEntropyLoss(reduction='none'), torch.maximum(p, 1 - p) * 2 - 1\n"
        "    return (l(z, torch.where(p < 0.5, 0, 1)) * (w / w.sum())).sum()",
    ],
    "by_module": [
        "def by_module(m, seed):\n    rng = np.random.default_rng(seed)\n    names = np.unique(m.numpy())\n"
        "    t = np.isin(m.numpy(), rng.choice(names, len(names) // 4, replace=False))\n"
        "    return np.flatnonzero(~t), np.flatnonzero(t)",
        "def by_module(m, seed):\n    torch.manual_seed(seed)\n    names = sorted(set(m.tolist()))\n"
        "    test = {names[i] for i in torch.randperm(len(names))[: len(names) // 4].tolist()}\n"
        "    rows = [[], []]\n    for row, name in enumerate(m.tolist()):\n        rows[name in test].append(row)\n"
        "    return torch.tensor(rows[0]), torch.tensor(rows[1])",
    ],
}
