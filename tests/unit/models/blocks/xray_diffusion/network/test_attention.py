import torch

from models.blocks.xray_diffusion.network.attention import CrossAttention


def block(awake=True):
    torch.manual_seed(0)
    attention = CrossAttention(8, 6, heads=2, head_channels=4)
    if awake:
        torch.nn.init.normal_(attention.project_out.weight)
    return attention


def test_a_new_block_is_the_identity():
    features = torch.randn(2, 8, 2, 3, 4)
    assert torch.equal(block(awake=False)(features, torch.randn(2, 5, 6)), features)


def test_it_is_the_softmax_of_the_scaled_products_of_queries_and_keys():
    attention, features, tokens = block(), torch.randn(1, 8, 2, 2, 2), torch.randn(1, 5, 6)
    voxels = attention.norm(features).flatten(2).transpose(1, 2)[0]
    found = []
    for head in range(2):
        own = slice(4 * head, 4 * head + 4)
        query = voxels @ attention.query.weight[own].T
        key, value = (tokens[0] @ layer.weight[own].T for layer in (attention.key, attention.value))
        found.append(torch.softmax(query @ key.T / 2, dim=1) @ value)
    expected = attention.project_out(attention.merge(torch.cat(found, dim=1)))
    expected = features + expected.T.reshape(1, 8, 2, 2, 2)
    torch.testing.assert_close(attention(features, tokens), expected, rtol=1e-4, atol=1e-5)


def test_the_order_of_the_tokens_does_not_matter_but_what_they_say_does():
    attention, features, tokens = block(), torch.randn(1, 8, 2, 2, 2), torch.randn(1, 5, 6)
    found = attention(features, tokens)
    torch.testing.assert_close(attention(features, tokens.flip(1)), found)
    assert not torch.allclose(attention(features, tokens + 1), found, atol=1e-3)
