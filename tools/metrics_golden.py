#!/usr/bin/env python3
"""Writes tests/metrics/golden.h: small samples with the figures that scikit-learn gives for them.

    python3 tools/metrics_golden.py > tests/metrics/golden.h

Where scikit-learn has no such figure (lift, capture, accuracy at the base rate, PSI) the definition is written down here
in its plainest, quadratic form."""
import numpy as np
import sklearn
from sklearn.calibration import calibration_curve
from sklearn.metrics import brier_score_loss, log_loss, roc_auc_score, roc_curve


def top_share(score, k):
    """For each record, the probability of being among the k highest scores when ties are broken at random."""
    above = (score[None, :] > score[:, None]).sum(1)
    tied = (score[None, :] == score[:, None]).sum(1)
    return np.clip((k - above) / tied, 0, 1)


def expected_calibration_error(label, score):
    rate, mean = calibration_curve(label, score, n_bins=10, strategy="uniform")
    count = np.bincount(np.searchsorted(np.linspace(0, 1, 11)[1:-1], score), minlength=10)
    return (count[count > 0] * np.abs(rate - mean)).sum() / len(score)


def psi(expected, actual):
    cuts = np.quantile(expected, np.arange(1, 10) / 10, method="inverted_cdf")
    shares = [np.maximum(np.bincount(np.searchsorted(cuts, x, side="left"), minlength=10) / len(x), 1e-4)
              for x in (expected, actual)]
    return ((shares[1] - shares[0]) * np.log(shares[1] / shares[0])).sum()


def figures(label, score):
    n, positives = len(label), label.sum()
    false_rate, true_rate, _ = roc_curve(label, score, drop_intermediate=False)
    auc = roc_auc_score(label, score)
    capture = (top_share(score, 0.1 * n) * label).sum() / positives
    chosen = top_share(score, positives)
    return {
        "auc": auc, "gini": 2 * auc - 1, "ks": np.abs(true_rate - false_rate).max(),
        "brier": brier_score_loss(label, score), "log_loss": log_loss(label, score),
        "ece": expected_calibration_error(label, score), "lift_10": capture / 0.1, "capture_10": capture,
        "accuracy_base_rate": (chosen * label + (1 - chosen) * (1 - label)).mean(),
    }


def samples():
    random = np.random.default_rng(17)
    for name, n, rate, decimals in [("plain", 150, 0.3, None), ("one decimal", 97, 0.4, 1), ("rare", 230, 0.05, 2),
                                    ("few", 7, 0.5, None), ("two values", 40, 0.5, 0), ("all tied", 20, 0.3, -1)]:
        label = (random.random(n) < rate).astype(float)
        label[:2] = 0, 1
        score = 1 / (1 + np.exp(-(random.normal(size=n) + 1.3 * label - 1)))
        if decimals is not None:
            score = np.round(score, decimals) if decimals >= 0 else np.full(n, 0.5)
            score = np.clip(score, 1e-3, 1 - 1e-3)
        yield name, label, score.astype(np.float32).astype(float)


def array(values, form):
    lines, line = [], "       "
    for value in values:
        text = " " + form(value) + ","
        if len(line) + len(text) > 118:
            lines.append(line)
            line = "       "
        line += text
    return "\n".join(lines + [line])


def c_float(value):
    text = f"{np.float32(value):.9g}"
    return text + ("f" if "." in text or "e" in text else ".0f")


def main():
    found = list(samples())
    print(f"/* Written by tools/metrics_golden.py from scikit-learn {sklearn.__version__}, numpy {np.__version__}. */")
    print("#ifndef SG_TEST_METRICS_GOLDEN_H\n#define SG_TEST_METRICS_GOLDEN_H\n\n#include \"metrics/metrics.h\"\n")
    for i, (name, label, score) in enumerate(found):
        print(f"static const float score_{i}[] = {{\n{array(score, c_float)}\n}};")
        print(f"static const float label_{i}[] = {{\n{array(label, lambda x: str(int(x)))}\n}};\n")
    print("static const struct {\n    const char *name;\n    int64_t n;\n    const float *score, *label;")
    print("    struct sg_metrics want;\n} golden[] = {")
    for i, (name, label, score) in enumerate(found):
        print(f"    {{\"{name}\", {len(label)}, score_{i}, label_{i},\n     {{.n_positive = {int(label.sum())},")
        for key, value in figures(label, score).items():
            print(f"      .{key} = {value!r},".replace("np.float64(", "").replace(")", ""))
        print("     }},")
    print("};\n\n/* Population stability index from the first sample's scores to each sample's. */")
    values = array([psi(found[0][2], score) for _, _, score in found], lambda x: repr(float(x)))
    print(f"static const double golden_psi[] = {{\n{values}\n}};\n\n#endif")


if __name__ == "__main__":
    main()
