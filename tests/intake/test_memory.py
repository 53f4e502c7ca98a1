import pytest

from afina.intake import memory, network
from afina.intake.unfit import Unfit


def test_what_grows_with_what(llama):
    small = network.read(llama)
    base = memory.lora_bytes(small, "float32", tokens=100)
    assert memory.lora_bytes(small, "float32", tokens=200) > base
    assert memory.lora_bytes(small, "float32", tokens=100, rank=32) - base == memory.adapter(small, 16)
    assert memory.lora_bytes(small, "bfloat16", tokens=100) < base
    assert memory.frozen(small, "nf4") < memory.frozen(small, "bfloat16") < memory.frozen(small, "float32")


def test_an_adapter_counts_sixteen_bytes_a_number(llama):
    edges = (16 + 16) + 2 * (16 + 8) + (16 + 16) + 3 * (16 + 32)
    assert memory.adapter(network.read(llama), 16) == edges * 16 * 16


def test_too_large(llama):
    small = network.read(llama)
    needed = memory.lora_bytes(small, "float32", tokens=memory.TOKENS)
    memory.check(small, needed)
    with pytest.raises(Unfit, match=r"too large .* about 0\.5 GiB .* this machine has 0\.1") as refused:
        memory.check(small, 2**27)
    assert refused.value.code == "model_too_large"
    assert "--force" in refused.value.cure


def test_this_machine_has_some():
    assert memory.here() > 2**28
