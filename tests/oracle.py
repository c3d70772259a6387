"""Each formula once more: slowly, in 60 digits, from sums that do not cancel. Nothing here uses the package."""

from collections import Counter

import mpmath as mp

mp.mp.dps = 60


def exact(value):
    """Return a float of any library and dtype as the number it stands for."""
    return mp.mpf(float(value))


def split(scores):
    """Return the largest score and the distances of all the others to it; -inf is padding."""
    finite = sorted((float(s) for s in scores if s != -float("inf")), reverse=True)
    distances = {s: exact(finite[0]) - exact(s) for s in set(finite)}
    return exact(finite[0]), [distances[s] for s in finite[1:]]


def sum_of_exp(distances, tau):
    """Return the sum of exp(-tau*d), with one exp for equal distances."""
    return mp.fsum(count * mp.exp(-tau * d) for d, count in Counter(distances).items())


def error(scores, tau):
    _, distances = split(scores)
    return mp.log1p(sum_of_exp(distances, exact(tau))) / exact(tau)


def smooth_max(scores, tau):
    return split(scores)[0] + error(scores, tau)


def weights(scores, tau):
    top, distances = split(scores)
    total = 1 + sum_of_exp(distances, exact(tau))
    padding = -float("inf")
    return [mp.mpf(0) if s == padding else mp.exp(-exact(tau) * (top - exact(s))) / total for s in scores]


def gap(scores):
    _, distances = split(scores)
    return distances[0] if distances else mp.inf


def upper(n, gap, tau):
    return mp.log1p((n - 1) * mp.exp(-exact(tau) * exact(gap))) / exact(tau)


def asymptote(n, gap, tau):
    return (n - 1) * mp.exp(-exact(tau) * exact(gap)) / exact(tau)


def bisect(falling, low, high, rounds=300):
    """Return the root of a falling function by halving on a log scale, which cannot converge to anything else."""
    assert falling(low) >= 0 >= falling(high)
    for _ in range(rounds):
        middle = mp.sqrt(low * high)
        low, high = (middle, high) if falling(middle) > 0 else (low, middle)
        if high - low < mp.mpf(10) ** -30 * high:  # float64 has 16 digits
            return middle
    raise AssertionError("the reference itself did not converge")


def tau_upper(epsilon, n, gap):
    epsilon = exact(epsilon)
    ceiling = mp.log(n) / epsilon
    return bisect(lambda tau: upper_at(n, gap, tau) - epsilon, ceiling * mp.mpf(10) ** -30, ceiling * 2)


def tau_asymptotic(epsilon, n, gap):
    epsilon, gap = exact(epsilon), exact(gap)
    return (n - 1) / epsilon if gap == 0 else mp.lambertw((n - 1) * gap / epsilon).real / gap


def tau_exact(scores, epsilon):
    _, distances = split(scores)
    epsilon = exact(epsilon)
    ceiling = mp.log(1 + len(distances)) / epsilon

    def excess(tau):
        return mp.log1p(sum_of_exp(distances, tau)) / tau - epsilon

    return bisect(excess, ceiling * mp.mpf(10) ** -30, ceiling * 2)


def tau_share(share, gap):
    return mp.log(exact(share) / (1 - exact(share))) / exact(gap)


def tau_share_exact(scores, share):
    _, distances = split(scores)
    odds = (1 - exact(share)) / exact(share)

    def excess(tau):
        return sum_of_exp(distances, tau) - odds

    floor = -mp.log(odds) / distances[0]
    return bisect(excess, floor * mp.mpf("0.999"), 2 * floor + 2 * mp.log(len(distances)) / distances[0])


def upper_at(n, gap, tau):
    """Return the upper bound at a tau that is an mpmath number already."""
    return mp.log1p((n - 1) * mp.exp(-tau * exact(gap))) / tau


def smooth_margin(r, label, tau):
    """Return smooth min of the positives minus smooth max of the negatives."""
    negated = [-x for x, sign in zip(r, label, strict=True) if sign > 0]
    return -smooth_max(negated, tau) - smooth_max([x for x, sign in zip(r, label, strict=True) if sign < 0], tau)


def mellow_max(scores, tau):
    """Return (1/tau) log mean exp."""
    return smooth_max(scores, tau) - mp.log(len(scores)) / exact(tau)


def softplus(x):
    """Return log(1 + exp(x)) = -log sigma(-x)."""
    return mp.log1p(mp.exp(x))


def flipped(x, rate):
    """Return DPO's loss at x = beta m, where the pair is swapped at a rate: cDPO's."""
    return (1 - exact(rate)) * softplus(-x) + exact(rate) * softplus(x)


def unflipped(x, rate):
    """Return what has DPO's loss as its mean over such swaps (arXiv:2403.00409)."""
    rate = exact(rate)
    return ((1 - rate) * softplus(-x) - rate * softplus(x)) / (1 - 2 * rate)


def s_dpo(positive, negatives, beta):
    """Return S-DPO's loss (arXiv:2406.09215, eq. 9): -log sigma(-log sum_j exp(beta (r_j - r_+)))."""
    beta = exact(beta)
    return softplus(mp.log(mp.fsum(mp.exp(beta * (exact(r) - exact(positive))) for r in negatives)))


def circle(positives, negatives, gamma):
    """Return the unified loss of Sun et al. (arXiv:2002.10857, eq. 1) at margin 0: log(1 + sum exp(gamma (n - p)))."""
    gamma = exact(gamma)
    return mp.log1p(mp.fsum(mp.exp(gamma * (exact(n) - exact(p))) for n in negatives for p in positives))


def softmax(x):
    """Return exp(x) over its sum."""
    total = mp.fsum(mp.exp(one) for one in x)
    return [mp.exp(one) / total for one in x]


def info_nca(r, rewards, beta, alpha):
    """Return the cross-entropy of softmax(beta r) against softmax(rewards / alpha) (arXiv:2402.05369)."""
    p = softmax([exact(one) / exact(alpha) for one in rewards])
    q = softmax([exact(beta) * one for one in r])
    return -mp.fsum(one * mp.log(other) for one, other in zip(p, q, strict=True))


def plackett_luce(r, rewards, beta):
    """Return minus the log-chance of each response against those with lower rewards (arXiv:2305.18290, eq. 20)."""
    grown = [mp.exp(exact(beta) * one) for one in r]
    terms = []
    for own, reward in zip(grown, rewards, strict=True):
        lower = mp.fsum(one for one, other in zip(grown, rewards, strict=True) if other < reward)
        terms.append(mp.log(own / (own + lower)))
    return -mp.fsum(terms)


def rloo(logp, ref, rewards, beta):
    """Return the leave-one-out policy gradient's loss (arXiv:2402.14740) and its weights."""
    gains = [exact(w) - exact(beta) * (exact(x) - exact(y)) for w, x, y in zip(rewards, logp, ref, strict=True)]
    count = len(gains)
    left = [gain - (mp.fsum(gains) - gain) / (count - 1) for gain in gains]
    return -mp.fsum(a * exact(x) for a, x in zip(left, logp, strict=True)) / count, [-a / count for a in left]


def standardised(rewards):
    """Return rewards minus their mean over their standard deviation, 0 where all are equal."""
    mean = mp.fsum(map(exact, rewards)) / len(rewards)
    deviation = mp.sqrt(mp.fsum((exact(w) - mean) ** 2 for w in rewards) / len(rewards))
    return [(exact(w) - mean) / deviation if deviation > mp.mpf(10) ** -50 else mp.mpf(0) for w in rewards]


def penalty(r):
    """Return exp(-r) + r - 1 for a float: tiny r cancel twice their digits."""
    with mp.workdps(700):
        return mp.exp(-exact(r)) + exact(r) - 1


def grpo(r, rewards, clip, beta):
    """Return the clipped loss of sequences with its penalty (arXiv:2402.03300, eqs. 3 and 4), r per token."""
    clip, terms = exact(clip), []
    for own, gain in zip(r, standardised(rewards), strict=True):
        ratio = mp.exp(own)
        held = min(max(ratio, 1 - clip), 1 + clip)
        terms.append(min(ratio * gain, held * gain) - exact(beta) * (mp.exp(-own) + own - 1))
    return -mp.fsum(terms) / len(terms)


def log_odds(logp, length):
    """Return log(p / (1 - p)) for p = exp(logp / length)."""
    mean = exact(logp) / int(length)
    return mean - mp.log(-mp.expm1(mean))


def nll(logp, length, label):
    """Return the mean over the positives of -logp / length."""
    chosen = [-exact(x) / int(n) for x, n, sign in zip(logp, length, label, strict=True) if sign > 0]
    return mp.fsum(chosen) / len(chosen)


def hard_margin(r, label):
    """Return the least of the positives minus the largest of the negatives."""
    return min(x for x, sign in zip(r, label, strict=True) if sign > 0) - max(
        x for x, sign in zip(r, label, strict=True) if sign < 0
    )


def tsallis(scores, tau, alpha):
    """Return error and weights by the definition: halve to the threshold, then take entropy and mean as they stand."""
    top, distances = split(scores)
    # Near alpha = 1 the entropy cancels by alpha - 1, and a small error from 1: digits to spare for both.
    with mp.workdps(60 + 2 * int(-mp.log10(alpha - 1)) + 100):
        tau, alpha = exact(tau), mp.mpf(alpha)
        c = alpha - 1
        terms = Counter([-c * tau * d for d in [mp.mpf(0), *distances]])

        def powers(theta, power):
            return {x: (x - theta) ** (power / c) if x > theta else mp.mpf(0) for x in terms}

        def total(theta, power):
            weight = powers(theta, power)
            return mp.fsum(count * weight[x] for x, count in terms.items())

        # The leader's own weight (-theta)^(1/c) is at most 1, and the total at theta = -1 at least that. Halving comes
        # so near that Newton's steps, each of which doubles the digits, cannot go elsewhere.
        low, high = mp.mpf(-1), mp.mpf(0)
        for _ in range(100):
            middle = (low + high) / 2
            low, high = (middle, high) if total(middle, 1) > 1 else (low, middle)
        for _ in range(10):
            low += (total(low, 1) - 1) * c / total(low, 1 - c)
        weight = powers(low, 1)
        spread = mp.fsum(terms[x] * weight[x] * x / c for x in terms)
        entropy = (1 - mp.fsum(terms[x] * weight[x] ** alpha for x in terms)) / (alpha * c)
        padding = -float("inf")
        listed = [mp.mpf(0) if s == padding else weight[-c * tau * (top - exact(s))] for s in scores]
        return max((spread + entropy) / tau, mp.mpf(0)), listed
