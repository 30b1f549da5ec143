"""What others measured, and what a result far from theirs usually means."""

from __future__ import annotations

from typing import Any

# UCF101, fc6, one network, linear SVM, mean of the three splits: the paper's section 4.1, and three reports of others who
# repeated it with the published weights.
UCF101, UCF101_OTHERS = 82.3, (83.1, 79.8, 82.5)
UCF101_PCA = {10: 52.8}  # the paper's abstract
SPORTS1M = {"video hit@5": 85.2}  # the paper's table 1, pre-trained on I380K; the published weights were not

# A result below this is no bad luck: with 3,700 test videos a split the interval is about a percent wide on each side.
WRONG_BELOW, LOW_BELOW, TOO_GOOD_ABOVE = 0.70, 0.79, 0.90

CAUSES = """Below 70 % something is wrong, most often one of these, the likeliest first:
- the mean: UCF101's in place of Sports-1M's, one colour in place of the cube, or none. `mean` in the model block says which;
- the order of the channels: the network saw RGB and was trained on BGR;
- pool5: padded on all sides, as PyTorch ports do, with weights from Caffe. `pool5` in the model block says which;
- the rows of fc6 in the wrong order, or mirrored kernels. `make verify` at the service finds that out by the known answer;
- the features: of another layer, before the ReLU, or each clip made to length 1 before the mean;
- the videos: decoded at another frame rate, re-encoded, or many of them missing. See the counts above."""
LOW = """A few percent below what others had: the usual reasons are UCF101's mean in place of Sports-1M's, a clip stride of 16
in place of 8, int8, or missing videos. See the counts above."""
TOO_GOOD = """Better than these features were ever seen. Are pieces of one recording in training and in test, or were the weights
fine-tuned on these videos?"""


def diagnosis(accuracy: float, num_classes: int, model: dict[str, Any], *, is_ucf101: bool) -> str:
    """What the accuracy, 0 to 1, says of the run; "" where there is nothing to say."""
    if model.get("weights") == "stand-in":
        return "The weights are stand-ins, random numbers: this result says nothing about C3D."
    if accuracy < 2 / num_classes:
        return "That is what guessing gives: labels and videos do not belong together, or all descriptors are alike."
    if not is_ucf101:
        return ""
    if accuracy < WRONG_BELOW:
        return CAUSES
    if accuracy < LOW_BELOW:
        return LOW
    return TOO_GOOD if accuracy > TOO_GOOD_ABOVE else "This is what others had."
