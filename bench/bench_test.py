"""The parts of the comparison that need neither a GPU nor torch."""

import unittest

import results
from routing import routing, touched_experts


def point(samples, engine="moesaic"):
    result = {"engine": engine, "variant": "v", "layout": "rows", "dependence": "full", "samples_us": samples}
    made = {"model": "m", "gemm": "down", "tokens": 1, "out": "bf16", "floor_us": 2.0, "results": []}
    results.add_results(made, [result])
    return made


def report(*points):
    return {"device": {"name": "card"}, "points": list(points)}


class Routing(unittest.TestCase):
    def test_is_the_one_that_the_bench_draws(self):
        # tests/bench_gemm_test.cpp holds the same.
        small = {"experts": 6, "top_k": 2, "tokens": 5}
        self.assertEqual(routing(small, 1, 0), [0, 1, 1, 3, 4, 7, 10])
        self.assertEqual(routing(small, 1, 3), [0, 1, 3, 3, 5, 7, 10])

    def test_touched_experts_have_rows(self):
        self.assertEqual(touched_experts([0, 0, 3, 3, 4]), 2)


class Results(unittest.TestCase):
    def test_statistics_are_of_all_samples(self):
        result = point([5, 1, 4, 2, 3])["results"][0]
        self.assertEqual((result["median_us"], result["min_us"]), (3, 1))
        self.assertAlmostEqual(result["p10_us"], 1.4)
        self.assertAlmostEqual(result["p90_us"], 4.6)
        self.assertAlmostEqual(result["of_floor"], 2 / 3)

    def test_turns_join(self):
        first = report(point([1.0, 2.0]))
        merged = results.merge(first, report(point([3.0])))
        self.assertEqual(merged["points"][0]["results"][0]["samples_us"], [1.0, 2.0, 3.0])
        self.assertEqual(merged["points"][0]["results"][0]["median_us"], 2.0)
        merged = results.merge(merged, report(point([9.0], "triton")))
        self.assertEqual(len(merged["points"][0]["results"]), 2)
        self.assertEqual(results.best(merged["points"][0], "triton")["median_us"], 9.0)
        self.assertIsNone(results.best(merged["points"][0], "torch"))
        self.assertIn("4.50x", results.table(merged))

    def test_cards_do_not_mix(self):
        other = report()
        other["device"]["name"] = "another"
        with self.assertRaises(SystemExit):
            results.merge(report(), other)


if __name__ == "__main__":
    unittest.main()
