"""The routings of `moesaic bench gemm`, drawn again."""

MASK = (1 << 64) - 1


class SplitMix64:
    """src/spec/split_mix.hpp."""

    def __init__(self, seed):
        self.state = seed & MASK

    def next(self):
        self.state = (self.state + 0x9E3779B97F4A7C15) & MASK
        z = self.state
        z = ((z ^ (z >> 30)) * 0xBF58476D1CE4E5B9) & MASK
        z = ((z ^ (z >> 27)) * 0x94D049BB133111EB) & MASK
        return z ^ (z >> 31)


def routing(point, seed, launch):
    """First row of each expert, [E + 1], as src/bench/gemm_bench.cpp draws it for that launch."""
    generator = SplitMix64(SplitMix64(seed + point["tokens"] + (launch << 32)).next())
    order = list(range(point["experts"]))
    counts = [0] * point["experts"]
    for _ in range(point["tokens"]):
        for i in range(point["top_k"]):
            j = i + generator.next() % (len(order) - i)
            order[i], order[j] = order[j], order[i]
            counts[order[i]] += 1
    first = [0]
    for count in counts:
        first.append(first[-1] + count)
    return first


def touched_experts(first):
    """Experts that have rows."""
    return sum(begin < end for begin, end in zip(first, first[1:]))
