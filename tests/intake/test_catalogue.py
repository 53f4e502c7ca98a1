from afina.intake import catalogue

PUBLISHED = {
    "Qwen/Qwen3-4B-Instruct-2507": 4_022_468_096,
    "Qwen/Qwen3-8B": 8_190_735_360,
    "meta-llama/Llama-3.1-8B-Instruct": 8_030_261_248,
    "BSC-LT/salamandra-2b-instruct": 2_253_490_176,
    "BSC-LT/salamandra-7b-instruct": 7_768_117_248,
}


def test_sizes_give_the_parameters_that_their_publishers_count():
    found = {base.hub_id: base.parameters for base in catalogue.read().bases}
    assert {name: found[name] for name in PUBLISHED} == PUBLISHED


def test_what_has_sizes_is_trained_here_and_nothing_else_is_estimated():
    for base in catalogue.read().bases:
        assert base.network is None or (base.obstacle, base.network.context) == (None, base.context)
        estimates = (base.here(), base.on_gpu("bfloat16"), base.on_gpu("nf4"))
        assert all(bool(estimate) == (base.network is not None) for estimate in estimates)


def test_the_families_that_users_look_for_are_there():
    names = " ".join(base.hub_id for base in catalogue.read().bases)
    for wanted in (
        "Qwen3-4B",
        "Qwen3-8B",
        "gemma-4-E4B",
        "Ministral-3-8B",
        "Llama-3.1-8B",
        "granite",
        "salamandra",
    ):
        assert wanted in names
