"""Our networks and training steps written by hand in PyTorch, channels last, in float32.

  python -m benchmarks.contenders.torch_networks MODEL BATCH_SIZE

The same layers, parameters and updates as ours, and the same sharing: the generator's update uses the images
of the discriminator's. Layers have the names of ours. The only difference is the odd pixel of padding in
DCGAN's 5x5 convolutions of stride 2. Written to be fast: freed memory stays in the process, as with ours;
rotated generated images are left out of the discriminator's update, which does not depend on them; 1x1
shortcuts run on the smaller image; the generator's update computes no gradients of the discriminator.
"""

import copy
import sys
from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise

from compare_gan.core.allocator import keep_freed_memory

keep_freed_memory()

import torch  # noqa: E402
from torch import Tensor, nn  # noqa: E402
from torch.nn import functional as F  # noqa: E402
from torch.nn.utils.parametrizations import spectral_norm  # noqa: E402

from benchmarks.contenders.turns import serve  # noqa: E402

MOMENTUM, EPSILON = 0.1, 1e-5  # of batch norms


@dataclass(frozen=True)
class Settings:
    """A GAN with one update of each network in a step."""

    architecture: str  # "small", "dcgan" or "sndcgan"
    side: int
    colors: int
    z_dim: int
    ch: int
    classes: int = 0  # 0: unconditional; else with label projection and conditional batch norm
    rotated: int = 0  # images on each side, each in four rotations
    hinge: bool = False  # else the non-saturating loss
    rates: tuple[float, float] = (2e-4, 2e-4)  # generator, discriminator
    betas: tuple[float, float] = (0.5, 0.999)
    ema_decay: float | None = None  # of the generator's averaged weights


def small(side: int, colors: int, ch: int, rotated: int) -> Settings:
    rates, betas = (1e-3, 1e-3), (0.0, 0.999)
    return Settings("small", side, colors, 32, ch, 10, rotated, True, rates, betas, 0.99)


MODELS = {
    "small8": small(8, 1, 32, 4),
    "small28": small(28, 1, 16, 4),
    "small32": small(32, 3, 32, 8),
    "dcgan32": Settings("dcgan", 32, 3, 128, 64),
    "dcgan64": Settings("dcgan", 64, 3, 128, 64),
    "sndcgan32": Settings("sndcgan", 32, 3, 128, 64),
    "sndcgan64": Settings("sndcgan", 64, 3, 128, 64),
}


class ConditionalBatchNorm(nn.Module):
    def __init__(self, classes: int, width: int):
        super().__init__()
        self.standardize = nn.BatchNorm2d(width, EPSILON, MOMENTUM, affine=False)
        self.gamma, self.beta = (nn.Linear(classes, width, bias=False) for _ in range(2))

    def forward(self, x: Tensor, y: Tensor) -> Tensor:
        gamma, beta = (layer(y)[:, :, None, None] for layer in (self.gamma, self.beta))
        return torch.addcmul(beta, self.standardize(x), 1 + gamma)


def conv(c_in: int, c_out: int, size: int = 3, stride: int = 1) -> nn.Conv2d:
    return nn.Conv2d(c_in, c_out, size, stride, (size - 1) // 2)


def doubled(x: Tensor) -> Tensor:
    return F.interpolate(x, scale_factor=2)


class UpBlock(nn.Module):
    def __init__(self, classes: int, c_in: int, c_out: int):
        super().__init__()
        self.norm1, self.conv1 = ConditionalBatchNorm(classes, c_in), conv(c_in, c_out)
        self.norm2, self.conv2 = ConditionalBatchNorm(classes, c_out), conv(c_out, c_out)
        self.shortcut = conv(c_in, c_out, 1)

    def forward(self, x: Tensor, y: Tensor) -> Tensor:
        h = self.conv1(doubled(F.relu(self.norm1(x, y))))
        return self.conv2(F.relu(self.norm2(h, y))) + doubled(self.shortcut(x))


class DownBlock(nn.Module):
    def __init__(self, c_in: int, c_out: int):
        super().__init__()
        self.conv1 = spectral_norm(conv(c_in, c_out // 2))
        self.conv2 = spectral_norm(conv(c_out // 2, c_out, 4, 2))
        self.shortcut = spectral_norm(conv(c_in, c_out, 1))

    def forward(self, x: Tensor) -> Tensor:
        h = self.conv2(F.relu(self.conv1(F.relu(x))))
        return h + self.shortcut(F.avg_pool2d(x, 2))


class FlatBlock(nn.Module):
    def __init__(self, width: int):
        super().__init__()
        self.conv1, self.conv2 = (spectral_norm(conv(width, width)) for _ in range(2))

    def forward(self, x: Tensor) -> Tensor:
        return x + self.conv2(F.relu(self.conv1(F.relu(x))))


def halvings(side: int) -> int:
    """How often `resnet_small_arch` halves an image."""
    return 0 if side % 2 or side < 8 else 1 + halvings(side // 2)


class SmallGenerator(nn.Module):
    def __init__(self, s: Settings):
        super().__init__()
        count = halvings(s.side)
        widths = [s.ch * min(2**i, 4) for i in range(count, -1, -1)]
        self.shape = (s.side >> count, s.side >> count, widths[0])
        self.fc_noise = nn.Linear(s.z_dim, self.shape[0] * self.shape[1] * widths[0])
        self.blocks = nn.ModuleList([UpBlock(s.classes, *pair) for pair in pairwise(widths)])
        self.final_norm, self.final_conv = ConditionalBatchNorm(s.classes, s.ch), conv(s.ch, s.colors)

    def forward(self, z: Tensor, y: Tensor) -> Tensor:
        x = self.fc_noise(z).unflatten(1, self.shape).permute(0, 3, 1, 2)
        for block in self.blocks:
            x = block(x, y)
        return torch.sigmoid(self.final_conv(F.relu(self.final_norm(x, y))))


class SmallDiscriminator(nn.Module):
    def __init__(self, s: Settings):
        super().__init__()
        widths = [s.colors, *(s.ch * min(2 ** (i + 1), 4) for i in range(halvings(s.side)))]
        down = [DownBlock(*pair) for pair in pairwise(widths)]
        self.blocks = nn.ModuleList([*down, FlatBlock(widths[-1])])
        self.final_fc = spectral_norm(nn.Linear(widths[-1], 1))
        self.rotation = spectral_norm(nn.Linear(widths[-1], 4))
        self.projection = spectral_norm(nn.Linear(s.classes, widths[-1], bias=False))

    def forward(self, x: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
        for block in self.blocks:
            x = block(x)
        features = F.relu(x).sum((2, 3))
        logits = self.final_fc(features)[:, 0] + (self.projection(y) * features).sum(1)
        return logits, self.rotation(features)


class DCGANGenerator(nn.Module):
    def __init__(self, s: Settings):
        super().__init__()
        widths = [8 * s.ch, 4 * s.ch, 2 * s.ch, s.ch, s.colors]
        self.shape = (s.side // 16, s.side // 16, widths[0])
        self.fc1 = nn.Linear(s.z_dim, self.shape[0] * self.shape[1] * widths[0])
        self.norms = nn.ModuleList([nn.BatchNorm2d(width, EPSILON, MOMENTUM) for width in widths[:-1]])
        self.deconvs = nn.ModuleList([nn.ConvTranspose2d(*pair, 5, 2, 2, 1) for pair in pairwise(widths)])

    def forward(self, z: Tensor, y: None) -> Tensor:
        x = self.fc1(z).unflatten(1, self.shape).permute(0, 3, 1, 2)
        for norm, deconv in zip(self.norms, self.deconvs, strict=True):
            x = deconv(F.relu(norm(x)))
        return 0.5 * torch.tanh(x) + 0.5


class DCGANDiscriminator(nn.Module):
    def __init__(self, s: Settings):
        super().__init__()
        widths = [s.colors, s.ch, 2 * s.ch, 4 * s.ch, 8 * s.ch]
        self.convs = nn.ModuleList([conv(*pair, 5, 2) for pair in pairwise(widths)])
        self.fc4 = nn.Linear((s.side // 16) ** 2 * widths[-1], 1)

    def forward(self, x: Tensor, y: None) -> tuple[Tensor, None]:
        for layer in self.convs:
            x = F.leaky_relu(layer(x), 0.2)
        return self.fc4(x.permute(0, 2, 3, 1).flatten(1))[:, 0], None


class SNDCGANGenerator(nn.Module):
    def __init__(self, s: Settings):
        super().__init__()
        widths = [8 * s.ch, 4 * s.ch, 2 * s.ch, s.ch]
        self.shape = (s.side // 8, s.side // 8, widths[0])
        outputs = self.shape[0] * self.shape[1] * widths[0]
        self.fc1 = nn.Linear(s.z_dim, outputs)
        rest = [nn.BatchNorm2d(width, EPSILON, MOMENTUM) for width in widths[1:]]
        self.norms = nn.ModuleList([nn.BatchNorm1d(outputs, EPSILON, MOMENTUM), *rest])
        doubling = [nn.ConvTranspose2d(*pair, 4, 2, 1) for pair in pairwise(widths)]
        self.deconvs = nn.ModuleList([*doubling, nn.ConvTranspose2d(s.ch, s.colors, 3, 1, 1)])

    def forward(self, z: Tensor, y: None) -> Tensor:
        first, *rest = self.norms
        *doubling, final = self.deconvs
        x = F.relu(first(self.fc1(z))).unflatten(1, self.shape).permute(0, 3, 1, 2)
        for deconv, norm in zip(doubling, rest, strict=True):
            x = F.relu(norm(deconv(x)))
        return 0.5 * torch.tanh(final(x)) + 0.5


class SNDCGANDiscriminator(nn.Module):
    def __init__(self, s: Settings):
        super().__init__()
        widths = [s.colors, *(s.ch * width for width in (1, 2, 2, 4, 4, 8, 8))]
        self.convs = nn.ModuleList(
            [spectral_norm(conv(*pair, 3 + i % 2, 1 + i % 2)) for i, pair in enumerate(pairwise(widths))]
        )
        self.fc1 = spectral_norm(nn.Linear((s.side // 8) ** 2 * widths[-1], 1))

    def forward(self, x: Tensor, y: None) -> tuple[Tensor, None]:
        x = 2 * x - 1
        for layer in self.convs:
            x = F.leaky_relu(layer(x), 0.1)
        return self.fc1(x.permute(0, 2, 3, 1).flatten(1))[:, 0], None


NETWORKS: dict[str, tuple[Callable[[Settings], nn.Module], Callable[[Settings], nn.Module]]] = {
    "small": (SmallGenerator, SmallDiscriminator),
    "dcgan": (DCGANGenerator, DCGANDiscriminator),
    "sndcgan": (SNDCGANGenerator, SNDCGANDiscriminator),
}


def networks(s: Settings) -> tuple[nn.Module, nn.Module]:
    """Generator and discriminator, channels last."""
    generator, discriminator = (make(s) for make in NETWORKS[s.architecture])
    return generator.to(memory_format=torch.channels_last), discriminator.to(
        memory_format=torch.channels_last
    )


def turned(images: Tensor) -> Tensor:
    """Rotations by 90, 180 and 270 degrees: [B, C, H, W] -> [3 * B, C, H, W]."""
    return torch.cat([torch.rot90(images, k, (2, 3)) for k in (1, 2, 3)])


class Training:
    """A GAN in training on random images. A call takes a step."""

    def __init__(self, s: Settings, batch_size: int):
        self.settings = s
        self.generator, self.discriminator = networks(s)
        self.average = copy.deepcopy(self.generator) if s.ema_decay is not None else None
        self.g_optimizer, self.d_optimizer = (
            torch.optim.Adam(network.parameters(), rate, s.betas, fused=True)
            for network, rate in zip((self.generator, self.discriminator), s.rates, strict=True)
        )
        pixels = torch.randint(256, (batch_size, s.side, s.side, s.colors), dtype=torch.uint8)
        self.images = pixels.permute(0, 3, 1, 2)
        self.labels = torch.randint(s.classes, (batch_size,)) if s.classes else None
        self.targets = torch.arange(4).repeat_interleave(s.rotated)

    def __call__(self) -> None:
        z, y = self.drawn(len(self.images))
        fake = self.generator(z, y)
        self.update_discriminator(fake.detach(), y)
        self.update_generator(fake, y)

    def drawn(self, count: int) -> tuple[Tensor, Tensor | None]:
        s = self.settings
        z = torch.randn(count, s.z_dim) if s.hinge else 2 * torch.rand(count, s.z_dim) - 1
        return z, F.one_hot(torch.randint(s.classes, (count,)), s.classes).float() if s.classes else None

    def update_discriminator(self, fake: Tensor, fake_y: Tensor | None) -> None:
        s, count = self.settings, len(fake)
        real = self.images.float() / 255
        views, labels = [real, fake], None
        if s.rotated:
            views.append(turned(real[-s.rotated :]))
        if self.labels is not None:
            assert fake_y is not None
            real_y = F.one_hot(self.labels, s.classes).float()
            labels = torch.cat([real_y, fake_y, *[real_y[-s.rotated :]] * (3 if s.rotated else 0)])
        logits, rotation = self.discriminator(torch.cat(views), labels)
        real_logits, fake_logits = logits[:count], logits[count : 2 * count]
        if s.hinge:
            loss = F.relu(1 - real_logits).mean() + F.relu(1 + fake_logits).mean()
        else:
            loss = F.softplus(-real_logits).mean() + F.softplus(fake_logits).mean()
        if s.rotated:
            seen = torch.cat([rotation[count - s.rotated : count], rotation[2 * count :]])
            loss = loss + F.cross_entropy(seen, self.targets)
        self.d_optimizer.zero_grad()
        loss.backward()
        self.d_optimizer.step()

    def update_generator(self, fake: Tensor, y: Tensor | None) -> None:
        s, count = self.settings, len(fake)
        views, labels = [fake], y
        if s.rotated:
            views.append(turned(fake[-s.rotated :]))
            if y is not None:
                labels = torch.cat([y, *[y[-s.rotated :]] * 3])
        self.discriminator.requires_grad_(False)
        logits, rotation = self.discriminator(torch.cat(views), labels)
        loss = -logits[:count].mean() if s.hinge else F.softplus(-logits[:count]).mean()
        if s.rotated:
            loss = loss + 0.2 * F.cross_entropy(rotation[count - s.rotated :], self.targets)
        self.g_optimizer.zero_grad()
        loss.backward()
        self.discriminator.requires_grad_(True)
        self.g_optimizer.step()
        if self.average is not None and s.ema_decay is not None:
            new, old = ([p.data for p in g.parameters()] for g in (self.generator, self.average))
            torch._foreach_lerp_(old, new, 1 - s.ema_decay)


def main() -> None:
    name, batch_size = sys.argv[1:]
    serve(Training(MODELS[name], int(batch_size)), torch=torch.__version__, device="cpu")


if __name__ == "__main__":
    main()
