"""What a rank's log says, for those who read along."""

from protocol.messages import Validated
from worker.training.teller import epoch_line


def test_an_epochs_line_has_its_place_metrics_losses_rate_and_time():
    event = Validated(
        attempt=0,
        epoch=3,
        step=60,
        metrics={"psnr": 31.2512345, "ssim": 0.9},
        losses={"mse": 0.0012},
        learning_rate=1e-3,
        seconds=12.34,
        best=True,
    )
    assert epoch_line(event, 40) == (
        "epoch 3/40, step 60: psnr 31.251, ssim 0.9, the best so far; trained to mse 0.0012; "
        "learning rate 0.001, 12.3 s"
    )
