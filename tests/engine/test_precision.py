"""``execution.precision``: what bf16 changes and what it does not, and that no run in bf16 is taken for one in fp32.

Legend: N batch, C channels, H W space.
"""

from __future__ import annotations

import copy

import pytest
import torch
from torch import nn

from bnexp.config.compose import compose
from bnexp.config.identity import arm_id, computed, run_id
from bnexp.engine import build as building
from bnexp.engine import checkpoint
from bnexp.engine import device as devices
from bnexp.engine.build import build
from bnexp.engine.device import compute_in_bf16, settle_precision
from bnexp.engine.evaluate import (
    CONVOLUTIONAL_BATCH,
    EVALUATION_BATCH,
    GPU_BATCH,
    GPU_CONVOLUTIONAL_BATCH,
    evaluate,
    evaluation_batch,
)
from bnexp.engine.graph import GraphStep
from bnexp.engine.journal import Stopwatch
from bnexp.engine.step import pick_step
from bnexp.errors import UserError
from bnexp.models.blocks import NormAct
from bnexp.norms.factory import NORMS, norm_factory
from bnexp.runs.run import execute

#: ./scripts/test leaves them out.
pytestmark = pytest.mark.slow

CPU = torch.device("cpu")
CNN = ("model=cnn", "model.width=4", "optimizer.lr=0.05", "device=cpu")
BF16 = "execution.precision=bf16"


@pytest.fixture
def native(monkeypatch):
    """Says whether the processor has bfloat16."""
    return lambda has: monkeypatch.setattr(devices, "has_native_bf16", lambda _: has)


def losses(experiment, advance=None, steps=6) -> list[float]:
    advance = advance or pick_step(experiment, Stopwatch())[1]
    experiment.model.train()
    found = []
    for _ in range(steps):
        found.append(advance(experiment.batches.next())[0].item())
    return found


def outputs_of(module: nn.Module) -> list[torch.Tensor]:
    """What the module puts out from now on."""
    seen: list[torch.Tensor] = []
    module.register_forward_hook(lambda _, __, output: seen.append(output.detach()))
    return seen


@pytest.mark.parametrize("has", [True, False])
@pytest.mark.parametrize("kind", [nn.Conv2d, nn.Linear])
@pytest.mark.parametrize("wanted", ["fp32", "bf16", "auto"])
def test_auto_is_bf16_for_convolutions_on_a_processor_that_has_it(native, capsys, has, kind, wanted):
    native(has)
    expected = ("bf16" if has and kind is nn.Conv2d else "fp32") if wanted == "auto" else wanted
    assert settle_precision(wanted, nn.Sequential(kind(2, 2, 1)), CPU) == expected
    told = "execution.precision=bf16 may be slower than fp32: this processor has no bfloat16 arithmetic"
    assert capsys.readouterr().err.startswith(told) == (wanted == "bf16" and not has)


@pytest.mark.parametrize("capabilities", [{"avx512_bf16": True}, {"amx_bf16": True}, {"bf16": True}])
def test_what_torch_says_of_the_processor_decides(monkeypatch, capabilities):
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: {"avx512_f": True, **capabilities}, raising=False)
    assert devices.has_native_bf16(CPU)
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: {"avx512_f": True, "avx512_bf16": False})
    assert not devices.has_native_bf16(CPU)


def test_another_precision_is_refused():
    with pytest.raises(UserError) as refusal:
        compose(["execution.precision=fp16"])
    assert refusal.value.what == "execution.precision must be one of fp32, bf16, auto"
    assert (refusal.value.got, refusal.value.todo) == ("'fp16'", "execution.precision=bf16")


def test_bf16_makes_another_run_and_fp32_keeps_the_names_of_older_records():
    for make_id in (run_id, arm_id):
        assert len({make_id(compose([f"execution.precision={word}"])) for word in ("fp32", "bf16", "auto")}) == 3
    assert "execution" not in computed(compose())
    assert run_id(compose(["probes=layer_inputs"])) == "mnist_5k-mlp-batch-lr0.1-s0-5ad27e99"


def test_auto_is_the_run_that_it_stands_for(make, native):
    native(False)
    assert execute(make(*CNN)).record.folder == execute(make(*CNN, "execution.precision=auto")).record.folder
    native(True)
    asked, chosen = (execute(make(*CNN, f"execution.precision={word}")) for word in ("auto", "bf16"))
    assert (asked.skipped, chosen.skipped, chosen.record.folder) == (False, True, asked.record.folder)


def test_a_record_says_that_it_was_bf16(make, native):
    native(True)
    header = execute(make(*CNN, BF16), [BF16, "runs_dir=x"]).record.header
    assert header["config"]["execution"] == {"precision": "bf16"}
    assert header["command"] == f"bnexp train {BF16}"


@pytest.mark.parametrize("norm", ["batch", "reference", "noisy", "weight", "layer"])
def test_convolutions_take_bf16_and_all_that_is_kept_is_fp32(make, norm):
    plain, rounded = build(make(*CNN, f"norm={norm}")), build(make(*CNN, f"norm={norm}", BF16))
    conv, logits = outputs_of(rounded.model.hidden2.conv), outputs_of(rounded.model)
    assert losses(rounded, steps=2)[0] == pytest.approx(losses(plain, steps=1)[0], rel=0.01)
    assert (conv[0].dtype, logits[0].dtype) == (torch.bfloat16, torch.float32)
    slots = [value for held in rounded.optimizer.state.values() for value in held.values()]
    gradients = [parameter.grad for parameter in rounded.model.parameters()]
    kept = [*rounded.model.state_dict().values(), *slots, *gradients]
    assert {tensor.dtype for tensor in kept if tensor.is_floating_point()} == {torch.float32}


class Normalized(nn.Module):
    """A norm as a network has it: behind something that autocast computes in bf16."""

    def __init__(self, norm):
        super().__init__()
        self.conv = nn.Conv2d(1, 8, 1)
        self.site = NormAct(norm, 8, 2, "identity")

    def forward(self, x):
        return self.site(self.conv(x))


@pytest.mark.parametrize("norm", sorted(NORMS))
def test_statistics_of_a_norm_are_not_rounded_to_bf16(norm):
    """bf16 tells values around 100 apart to 1/2, and so it would their mean; the norm in fp32 is given the same rounded values."""
    generator = torch.Generator().manual_seed(0)
    config = compose([f"norm={norm}"]).norm
    model = Normalized(norm_factory(config, batch_size=60, generator=generator))
    with torch.no_grad():
        model.conv.weight.copy_(torch.linspace(0.5, 2, 8).reshape(8, 1, 1, 1))
        model.conv.bias.fill_(100)
    exact = copy.deepcopy(model.site.norm)
    compute_in_bf16(model, CPU)
    conv = outputs_of(model.conv)
    y_NCHW = model(torch.randn(60, 1, 6, 6, generator=torch.Generator().manual_seed(1)))
    assert conv[0].dtype == torch.bfloat16
    torch.testing.assert_close(y_NCHW, exact(conv[0].float()), rtol=2**-8, atol=1e-5)
    torch.testing.assert_close(dict(model.site.norm.named_buffers()), dict(exact.named_buffers()), rtol=1e-5, atol=1e-6)


def test_a_copy_of_a_bf16_net_computes_in_bf16_with_its_own_weights(make):
    model = build(make(*CNN, BF16)).model.eval()
    twin = copy.deepcopy(model)
    x = torch.randn(4, 1, 6, 6, generator=torch.Generator().manual_seed(0))
    assert torch.equal(twin(x), model(x))
    with torch.no_grad():
        for parameter in twin.output.parameters():
            parameter.zero_()
    assert not twin(x).any()
    assert model(x).any()


def test_a_convolutional_net_is_channels_last_and_computes_the_same(make, monkeypatch):
    fast = build(make(*CNN))
    monkeypatch.setattr(building, "memory_format", lambda _: torch.preserve_format)
    plain = build(make(*CNN))
    formats = {"memory_format": torch.channels_last}
    weights = [experiment.model.hidden2.conv.weight for experiment in (fast, plain)]
    assert [weight.is_contiguous(**formats) for weight in weights] == [True, False]
    assert torch.equal(*weights)
    torch.testing.assert_close(losses(fast), losses(plain), rtol=1e-4, atol=0)
    assert fast.model.hidden2.conv.weight.is_contiguous(**formats)
    assert evaluate(fast.model, fast.validation, fast).loss == pytest.approx(
        evaluate(plain.model, plain.validation, plain).loss, rel=1e-3
    )


@pytest.mark.parametrize(("words", "stride_NCHW"), [(CNN, (108, 1, 18, 3)), ((), (108, 36, 6, 1))])
def test_images_go_in_channels_last_for_convolutions_only(make, words, stride_NCHW):
    assert build(make(*words)).prepare(torch.zeros(2, 3, 6, 6, dtype=torch.uint8)).stride() == stride_NCHW


def test_a_checkpoint_of_a_bf16_net_goes_on_to_the_same_bits(make, tmp_path):
    words = (*CNN, BF16, "optimizer=adam")
    unbroken, broken, resumed = (build(make(*words)) for _ in range(3))
    expected = losses(unbroken, steps=6)
    first = losses(broken, steps=3)
    checkpoint.save(tmp_path, broken, step=3, events_size=0, spent={})
    checkpoint.load(tmp_path, resumed)
    assert first + losses(resumed, steps=3) == expected


@pytest.mark.filterwarnings("ignore")  # torch.compile warns about its own internals
@pytest.mark.parametrize("norm", ["batch", "reference"])
def test_the_compiled_step_in_bf16_equals_the_eager_one(make, norm):
    plain, fast = (build(make(*CNN, BF16, f"norm={norm}")) for _ in range(2))
    found = losses(fast, GraphStep(fast, "traced"))
    torch.testing.assert_close(found, losses(plain), rtol=5e-3, atol=0)


def test_convolutional_nets_are_evaluated_in_smaller_batches_on_a_cpu_only():
    conv, linear = nn.Sequential(nn.Conv2d(1, 1, 1)), nn.Linear(1, 1)
    assert evaluation_batch(conv, CPU) == CONVOLUTIONAL_BATCH
    assert evaluation_batch(linear, CPU) == EVALUATION_BATCH
    assert evaluation_batch(linear, torch.device("cuda")) == GPU_BATCH
    assert evaluation_batch(conv, torch.device("cuda")) == GPU_CONVOLUTIONAL_BATCH
