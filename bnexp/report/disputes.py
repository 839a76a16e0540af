"""What is disputed about Batch Normalization: each side at its strongest, which verdicts tell them apart, what would decide it.

Only words and predictions stand here; what came out is read off the verdicts (``report/argument.py``). A side's prediction is the
outcome of a claim: what it would say is SUPPORTED, or CONTRADICTED. Where both sides allow an outcome it is left empty.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class Test:
    """One verdict that tells sides apart.

    Attributes:
        claim: its name.
        asks: the question it answers, in a few words.
        supported, contradicted: the side that each outcome fits; empty where it fits none.
        endpoint: of the claim; its primary one where this is empty.
    """

    claim: str
    asks: str
    supported: str = ""
    contradicted: str = ""
    endpoint: str = ""


@dataclass(frozen=True, kw_only=True)
class Dispute:
    """One dispute.

    Attributes:
        id: its name in addresses.
        question: what it is about.
        sides: name to what they say, at its strongest.
        tests: what tells them apart.
        not_shown: what does not follow, whatever came out.
        decided_by: what would decide it.
    """

    id: str
    question: str
    sides: Mapping[str, str]
    tests: tuple[Test, ...]
    not_shown: str
    decided_by: str


IOFFE, SANTURKAR, BJORCK = "Ioffe & Szegedy", "Santurkar et al.", "Bjorck et al."
YANG, START, COHEN = "Yang et al.", "initialisation alone", "Cohen et al."
GHOST, SPECIAL, GALLOWAY = "Dimitriou & Arandjelović", "BN is special", "Galloway et al."

#: Whether steadier inputs are the cause: the one that the answer ends with.
THE_REASON = Dispute(
    id="stability",
    question="Are steadier layer inputs the reason?",
    sides={
        IOFFE: "A layer whose inputs keep their distribution need not follow the layers before it, and so the net "
        "trains faster (2015, sections 1 and 2). Their Fig. 1 shows the inputs steadier exactly where training is "
        "faster.",
        SANTURKAR: "Steady inputs are neither achieved nor needed: shaken after the norm, by noise that changes with "
        "every step, nets train nearly as fast, and the gradients of a layer move no less with BN than without (2018, "
        "sections 2.1 and 2.2).",
        START: "What helps is a good start: normalise once, by the first batch, and train a plain net (Krähenbühl et "
        "al. and Mishkin & Matas 2016; Zhang et al. 2019).",
    },
    tests=(
        Test(claim="fig1_stability", asks="Are inputs steadier early on with BN?", supported=IOFFE),
        Test(
            claim="pinned_moments",
            asks="Do means and deviations stay almost the same?",
            supported=IOFFE,
            contradicted=SANTURKAR,
        ),
        Test(
            claim="noisy_norm",
            asks="Is a net with shaken inputs still sooner than a plain one?",
            supported=SANTURKAR,
            contradicted=IOFFE,
        ),
        Test(claim="gradient_shift", asks="Do gradients turn less with BN?", supported=IOFFE, contradicted=SANTURKAR),
        Test(claim="gradient_shift_linear", asks="Do they turn more in a linear net, which still gains?", supported=SANTURKAR),
        Test(claim="lp_norms", asks="Do norms that leave the variance free do as well?", supported=SANTURKAR, contradicted=IOFFE),
        Test(claim="one_shot_control", asks="Does most of the speed need it throughout?", contradicted=START),
    ),
    not_shown="That inputs are steadier and training faster at once shows no cause; nor does a net that trains well "
    "with shaken inputs show that steadiness never helps: noise after the norm leaves the scale of each layer's input "
    "under control on average.",
    decided_by="An intervention that makes inputs steady without touching the scale of the weights' gradients, and one "
    "that does the reverse, each with a dose.",
)

DISPUTES: tuple[Dispute, ...] = (
    THE_REASON,
    Dispute(
        id="jacobian",
        question="Does BN bring the layers’ Jacobians near one?",
        sides={
            IOFFE: "They conjecture that BN may lead the singular values of layer Jacobians to be close to 1, which is "
            "known to help training (2015, section 3.3).",
            YANG: "At initialisation it drives them away: gradients of wide random BN nets grow by a factor of pi / (pi "
            "- 1) a layer with ReLU, and by one above 1 for any nonlinearity (2019).",
        },
        tests=(
            Test(claim="jacobian_near_one", asks="Is their mean square nearer 1 with BN?", supported=IOFFE, contradicted=YANG),
            Test(claim="jacobian_near_one", asks="The same with tanh?", endpoint="tanh", supported=IOFFE, contradicted=YANG),
            Test(claim="jacobian_near_one", asks="The same with sigmoid?", endpoint="sigmoid", supported=IOFFE, contradicted=YANG),
            Test(
                claim="gradient_explosion",
                asks="Do squared gradients grow by pi / (pi - 1) a layer?",
                supported=YANG,
                contradicted=IOFFE,
            ),
            Test(
                claim="gradient_explosion",
                asks="Do they grow with tanh?",
                endpoint="tanh, 64 examples",
                supported=YANG,
                contradicted=IOFFE,
            ),
            Test(
                claim="gradient_explosion",
                asks="Do they grow with sigmoid?",
                endpoint="sigmoid, 64 examples",
                supported=YANG,
                contradicted=IOFFE,
            ),
        ),
        not_shown="These are random nets. What training makes of them in its first steps is another question, and the "
        "answer depends on the nonlinearity.",
        decided_by="Singular values followed through training in nets deep enough for the growth to matter (probes=jacobian).",
    ),
    Dispute(
        id="depth",
        question="Does BN make deep nets trainable, or does it limit their depth?",
        sides={
            "Daneshmand et al.": "Without BN the representations of a random deep net collapse to one direction; with "
            "it their rank stays of the order of the square root of the width, so that training can begin (2020).",
            YANG: "With BN gradients explode with depth, and plain ReLU nets of more than some 50 layers do not train (2019).",
            "De & Smith": "What counts is the skip connection with a small branch: BN makes block l's branch 1 / (l + "
            "1) of the variance, and a scalar that starts at 0 does the same without it (2020).",
        },
        tests=(
            Test(claim="rank_collapse", asks="Does the rank survive depth with BN?", supported="Daneshmand et al."),
            Test(claim="trainable_depth", asks="Is there a depth of about 50 beyond which BN nets fail?", supported=YANG),
            Test(claim="residual_branch", asks="Is the branch 1 / (l + 1) of the variance?", supported="De & Smith"),
            Test(claim="skip_init", asks="Does a scalar from 0 do as well as BN at depth?", supported="De & Smith"),
        ),
        not_shown="The sides do not exclude each other: they compare BN with different baselines, the first with a "
        "default that collapses, the second with a tuned start.",
        decided_by="One axis of depth with all baselines on it, each tuned, on data where depth pays.",
    ),
    Dispute(
        id="rate",
        question="Is it only the learning rate?",
        sides={
            BJORCK: "BN's gain comes from the large rates it permits; at the small rate that a plain net stands, it "
            "gains nothing in the end (2018, section 3).",
            IOFFE: "Their BN-Baseline, at the plain net's own rate, arrived 2.3 times sooner (2015, section 4.2.2, Fig. 2).",
        },
        tests=(
            Test(
                claim="only_the_rate",
                asks="At the plain net’s largest rate: the same accuracy?",
                supported=BJORCK,
                contradicted=IOFFE,
            ),
            Test(claim="first_steps", asks="Does the first step diverge ten times sooner without BN?", supported=BJORCK),
            Test(claim="higher_rates", asks="Does BN stand rates four times as high?", supported=BJORCK),
            Test(claim="table_fig3", asks="At an unchanged rate: sooner with BN?", supported=IOFFE, contradicted=BJORCK),
        ),
        not_shown="Final accuracy and speed are different questions: a net may be as good in the end and slower on its "
        "way. That BN stands higher rates, everybody agrees.",
        decided_by="Both questions over the whole range of rates, for long enough that the plain net has converged.",
    ),
    Dispute(
        id="smoothness",
        question="Does a smoother loss explain the gain?",
        sides={
            SANTURKAR: "With BN loss and gradients change less along a step, so that steps can be larger and are better "
            "predicted (2018, section 3).",
            GHOST: "Normalising by small ghost batches makes the loss less smooth and nets better (2020).",
        },
        tests=(
            Test(claim="smoother_landscape", asks="Do gradients change less at equal relative steps?", supported=SANTURKAR),
            Test(claim="projection_bound", asks="Is the gradient bound of Theorem 4.1 an equality here?", supported=SANTURKAR),
            Test(
                claim="projection_bound",
                asks="Is what it takes away a tenth of the gradient?",
                endpoint="share, ReLU",
                supported=SANTURKAR,
            ),
            Test(claim="minibatch_noise", asks="Do small ghost batches read more test digits?", supported=GHOST),
        ),
        not_shown="With weights whose length does not matter any raw smoothness can be had by rescaling them, so that a "
        "ratio of raw smoothness says nothing of a cause; and that ghost batches read more would not show how smooth "
        "their loss is.",
        decided_by="Scale-free measures of BN and of ghost batches along the same training at matched loss (bnexp reproduce "
        "smoother_landscape subject=norm=ghost), in nets where BN gains most.",
    ),
    Dispute(
        id="edge",
        question="Is the smoothness that BN shows anything but the learning rate’s?",
        sides={
            SANTURKAR: "It is the net’s: at one rate and step for step, the gradient of a net with BN changes less (2018, Fig. 4).",
            COHEN: "Along whole-batch descent sharpness settles at 2 / rate, with and without BN: what looks like smoothness "
            "is the rate that was chosen (2021, appendix).",
        },
        tests=(
            Test(claim="edge_of_stability", asks="Is sharpness 2 / rate with BN?", supported=COHEN),
            Test(claim="edge_of_stability", asks="Is it 2 / rate without?", endpoint="without BN", supported=COHEN),
            Test(
                claim="edge_of_stability",
                asks="Is it the same multiple in both nets?",
                endpoint="difference",
                supported=COHEN,
            ),
            *(
                Test(
                    claim="smoother_landscape",
                    asks=f"At one rate: is the raw loss smoother with BN? ({net})",
                    endpoint=f"{net}, same rate: raw smoothness",
                    supported=SANTURKAR,
                )
                for net in ("ReLU", "sigmoid")
            ),
        ),
        not_shown="Both nets may sit at 2 / rate while one arrives there later or at a lower loss. The edge is a result about "
        "whole-batch descent on squared error; batches of 60, on which smoothness is measured here, need not reach it.",
        decided_by="Sharpness and smoothness along the same run, from whole batches down to small ones, at several rates.",
    ),
    Dispute(
        id="explosion",
        question="Must gradients explode in every deep BN net?",
        sides={
            YANG: "Yes, at initialisation, in wide nets with any nonlinearity; no scale of the weights mends it (2019).",
            "Meterez et al.": "Not in linear nets with orthogonal weights whose batch is as large as their width (2024).",
        },
        tests=(
            Test(claim="gradient_explosion", asks="Do squared gradients grow by pi / (pi - 1) a layer?", supported=YANG),
            Test(
                claim="orthogonal_linear",
                asks="Do they stay with orthogonal weights and batch = width?",
                supported="Meterez et al.",
            ),
        ),
        not_shown="The second result is about linear nets and a batch as large as the width; it does not carry over to "
        "smaller batches.",
        decided_by="Nonlinearities shaped towards the linear at initialisation, as the second side proposes, trained at depth.",
    ),
    Dispute(
        id="shift",
        question="Does BN make a net robust to other inputs?",
        sides={
            "the blog post": "Trained on black cats, a net with BN copes better with coloured ones.",
            "Schneider et al.": "By its training statistics it is the more fragile one; what helps is to recompute them "
            "on the new inputs (2020).",
            GALLOWAY: "Against small perturbations that are chosen against it, it is the less robust one as well (2019).",
        },
        tests=(
            Test(
                claim="covariate_shift",
                asks="Does it lose less on coloured digits, as trained?",
                supported="the blog post",
                contradicted="Schneider et al.",
            ),
            Test(
                claim="covariate_shift",
                asks="Do recomputed statistics recover accuracy?",
                endpoint="recovery, all five",
                supported="Schneider et al.",
            ),
            Test(
                claim="covariate_shift",
                asks="Is group norm above BN as trained?",
                endpoint="group norm above BN",
                supported="Schneider et al.",
            ),
            Test(claim="adversarial", asks="Does an attack by gradients cost it more digits?", supported=GALLOWAY),
            Test(claim="adversarial", asks="The same in the paper’s sigmoid net?", endpoint="sigmoid", supported=GALLOWAY),
        ),
        not_shown="A shift of pixels is not a shift of meaning: what a new first layer's mean can undo is not what a "
        "new kind of cat is. A perturbation that is chosen against a net is no shift at all: a net may lose to one and "
        "bear the other.",
        decided_by="Shifts of content, on photographs, with statistics recomputed from batches of mixed and of single classes.",
    ),
    Dispute(
        id="noise",
        question="Is the noise of mini-batch statistics a gain or a cost?",
        sides={
            "noise helps": "It regularises: the same example is seen in different company each time (Ioffe & Szegedy "
            "2015, section 3.4; Luo et al. 2019).",
            "noise hurts": "It is the reason BN fails at small batches, where group norm does not, and training and "
            "evaluation disagree (Wu & He 2018; Wu & Johnson 2021).",
        },
        tests=(
            Test(claim="minibatch_noise", asks="Does a net with the noise read more test digits?", supported="noise helps"),
            Test(
                claim="minibatch_noise",
                asks="Does it at equal training loss?",
                endpoint="equal training loss",
                supported="noise helps",
            ),
            Test(claim="shuffle_gain", asks="Does new company help BN more than others?", supported="noise helps"),
            Test(claim="small_batches", asks="Does error grow as groups shrink, above group norm’s?", supported="noise hurts"),
            Test(claim="precise_statistics", asks="Do running statistics lag behind recomputed ones?", supported="noise hurts"),
        ),
        not_shown="Both may be so at different batch sizes; that small groups hurt does not show that a little noise does.",
        decided_by="One curve of test accuracy over the size of groups with training loss held equal, on data that "
        "leave room to overfit.",
    ),
    Dispute(
        id="replaced",
        question="Can something without statistics replace it?",
        sides={
            "Zhu et al.": "A squashing function with a learnable scale does what layer norm does in transformers "
            "(2025); they concede that it does not in convolutional nets with BN.",
            "De & Smith": "In residual nets a scalar on each branch does (2020).",
            SPECIAL: "Normalising over the batch does something in nets with BN that neither gives.",
        },
        tests=(
            Test(
                claim="dyt",
                asks="Does DyT equal layer norm in a small transformer?",
                supported="Zhu et al.",
                contradicted=SPECIAL,
            ),
            Test(
                claim="dyt",
                asks="Does BN read more than DyT in a convolutional net?",
                endpoint="convolutional net",
                supported=SPECIAL,
            ),
            Test(
                claim="skip_init",
                asks="Does SkipInit equal BN in 64 residual blocks?",
                supported="De & Smith",
                contradicted=SPECIAL,
            ),
        ),
        not_shown="Equal accuracy of small nets on digits is no statement about large ones, where the papers made theirs.",
        decided_by="The same pairs where accuracy is far from its ceiling.",
    ),
)

#: What the ten sentences say, for each outcome, of the claims that they rest on; what "matters" is the claim's own bound.
ANSWER: dict[str, dict[str, str]] = {
    "fig1_speed": {
        "SUPPORTED": "With BN the paper's own network learns in fewer steps",
        "CONTRADICTED": "With BN the paper's own network does not learn in fewer steps, by an amount that matters",
        "INCONCLUSIVE": "Whether the paper's own network learns in fewer steps with BN is open",
    },
    "speed_anywhere": {
        "SUPPORTED": "It does so at nearly all learning rates and initial scales that were tried",
        "CONTRADICTED": "That depends on learning rate and initial scale",
        "INCONCLUSIVE": "At how many learning rates and initial scales it learns sooner is open",
    },
    "higher_rates": {
        "SUPPORTED": "Nets with BN stand learning rates at least four times as high",
        "CONTRADICTED": "Nets with BN do not stand learning rates four times as high",
        "INCONCLUSIVE": "Whether nets with BN stand learning rates four times as high is open",
    },
    "pinned_moments": {
        "SUPPORTED": "The inputs of its layers keep almost the same mean and deviation",
        "CONTRADICTED": "The inputs of its layers do not keep almost the same mean and deviation",
        "INCONCLUSIVE": "Whether the inputs of its layers keep almost the same mean and deviation is open",
    },
    "noisy_norm": {
        "SUPPORTED": "Where strong noise shakes its normalised inputs the paper's net still learns sooner than without BN",
        "CONTRADICTED": "Where strong noise shakes its normalised inputs the paper's net does not learn sooner than "
        "without BN, by an amount that matters",
        "INCONCLUSIVE": "Whether the paper's net learns sooner than without BN where strong noise shakes its inputs is open",
    },
    "gradient_shift": {
        "SUPPORTED": "When the layers before it step, a layer's gradient turns less with BN",
        "CONTRADICTED": "When the layers before it step, a layer's gradient does not turn less with BN, by an amount that "
        "matters",
        "INCONCLUSIVE": "Whether a layer's gradient turns less with BN when the layers before it step is open",
    },
    "one_shot_control": {
        "SUPPORTED": "Of the speed that the paper's net gains, more than half needs normalising throughout training",
        "CONTRADICTED": "Of the speed that the paper's net gains, normalising once, at the start, gives half or more",
        "INCONCLUSIVE": "How much of the speed that the paper's net gains comes from normalising once is open",
    },
    "only_the_rate": {
        "SUPPORTED": "At the largest rate that a plain net stands, BN ends at the same accuracy",
        "CONTRADICTED": "At the largest rate that a plain net stands, BN ends at another accuracy, by an amount that matters",
        "INCONCLUSIVE": "Whether BN ends higher at the largest rate that a plain net stands is open",
    },
    "edge_of_stability": {
        "SUPPORTED": "Under whole-batch descent the sharpness of the loss settles at 2 / rate with and without it",
        "CONTRADICTED": "Under whole-batch descent the sharpness of the loss does not settle at 2 / rate in both nets",
        "INCONCLUSIVE": "Whether the sharpness of the loss settles at 2 / rate in both nets is open",
    },
}
