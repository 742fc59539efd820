from models.blocks.xray_diffusion.tuning import score


def test_folds_count_alike_in_the_choice():
    tasks = [{"psnr": {"cosine": 20.0}}, {"psnr": {"cosine": 23.0}}]
    assert score(tasks, [{"blend": "cosine"}])["scores"][0]["value"] == 21.5
