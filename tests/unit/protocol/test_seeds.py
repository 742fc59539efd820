from protocol.seeds import derive_seed


def test_a_seed_depends_on_every_part_and_on_their_order():
    seeds = {
        derive_seed(0, "trial", 1),
        derive_seed(1, "trial", 1),
        derive_seed(0, "sampler", 1),
        derive_seed(0, "trial", 2),
        derive_seed(0, "trial", 1, "rate"),
        derive_seed("trial", 0, 1),
    }
    assert len(seeds) == 6


def test_a_seed_is_the_same_on_every_machine_and_for_ever():
    assert derive_seed(0, "trial", 1) == 423998503


def test_seeds_fit_every_random_generator():
    seeds = [derive_seed(0, number) for number in range(2000)]
    assert all(0 <= seed < 2**31 for seed in seeds)
    assert len(set(seeds)) == len(seeds)
